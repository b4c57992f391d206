/* What a layer does to each atom apart from its neighbours: linear maps, gates and norms, and their derivatives. */

/* Rows times a matrix, for 1 to MOST_ROWS rows and up to two registers of columns, whose sums stay in registers. */
INLINE void NAME(rows_times)(int num_rows, int registers, int columns, const REAL *const *x, REAL *const *out,
                             const REAL *matrix, int64_t inner, int64_t width, int add) {
    vec sum[MOST_ROWS][2];
    for (int i = 0; i < num_rows; i++) EACH(b) sum[i][b] = add ? NAME(load)(out[i] + b * LANES, columns) : (vec){0};
    for (int64_t k = 0; k < inner; k++, matrix += width) {
        vec row[2];
        EACH(b) row[b] = NAME(load)(matrix + b * LANES, columns);
        for (int i = 0; i < num_rows; i++) EACH(b) sum[i][b] += x[i][k] * row[b];
    }
    for (int i = 0; i < num_rows; i++) EACH(b) NAME(store)(out[i] + b * LANES, sum[i][b], columns);
}

static TARGET void NAME(rows_map)(int num_rows, const REAL *const *x, REAL *const *out, const REAL *matrix,
                                  const block *q, int add) {
    REAL *to[MOST_ROWS];
    for (int c = 0; c < q->channels_out;) {
        const int left = q->channels_out - c, wide = left >= 2 * LANES;
        for (int i = 0; i < num_rows; i++) to[i] = out[i] + c;
#define OF(n)                                                                                                      \
    case n:                                                                                                        \
        if (wide) NAME(rows_times)(n, 2, LANES, x, to, matrix + c, q->channels_in, q->width, add);                 \
        else if (left >= LANES) NAME(rows_times)(n, 1, LANES, x, to, matrix + c, q->channels_in, q->width, add);  \
        else NAME(rows_times)(n, 1, left, x, to, matrix + c, q->channels_in, q->width, add);                       \
        break;
        switch (num_rows) { OF(1) OF(2) OF(3) OF(4) OF(5) OF(6) }
#undef OF
        c += wide ? 2 * LANES : left >= LANES ? LANES : left;
    }
}

/* Each block of the result is a block of x times a matrix, alike for every component; where matrices differ by
   species, rows of one atom go together, else rows of any. */
static TARGET void NAME(linear)(const linear *p, int64_t begin, int64_t end) {
    for (const block *q = p->blocks; q < p->blocks + p->num_blocks; q++) {
        const REAL *x[MOST_ROWS], *matrix = (const REAL *)p->weights + q->weights;
        REAL *out[MOST_ROWS];
        int waiting = 0;
        for (int64_t atom = begin; atom < end; atom++) {
            for (int m = 0; m < q->components; m++) {
                x[waiting] = (const REAL *)p->x + atom * p->x_width + q->from + m * q->channels_in;
                out[waiting++] = (REAL *)p->out + atom * p->out_width + q->to + m * q->channels_out;
                if (waiting == MOST_ROWS || (p->species && m == q->components - 1)) {
                    const REAL *own = p->species ? matrix + p->species[atom] * p->species_width : matrix;
                    NAME(rows_map)(waiting, x, out, own, q, q->add);
                    waiting = 0;
                }
            }
        }
        if (waiting) NAME(rows_map)(waiting, x, out, matrix, q, q->add);
    }
}

/* Sums over rows of x times those of `out`, for some rows and columns of a matrix, and atoms of one species. */
INLINE void NAME(tile)(int num_rows, int registers, int columns, const linear *p, const block *q, int row, int column,
                       const int64_t *atoms, int64_t num_atoms, REAL *matrix) {
    vec sum[MOST_ROWS][2];
    for (int i = 0; i < num_rows; i++) EACH(b) sum[i][b] = (vec){0};
    for (int64_t a = 0; a < num_atoms; a++) {
        const REAL *x = (const REAL *)p->x + atoms[a] * p->x_width + q->from + row;
        const REAL *out = (const REAL *)p->out + atoms[a] * p->out_width + q->to + column;
        for (int m = 0; m < q->components; m++, x += q->channels_in, out += q->channels_out) {
            vec right[2];
            EACH(b) right[b] = NAME(load)(out + b * LANES, columns);
            for (int i = 0; i < num_rows; i++) EACH(b) sum[i][b] += x[i] * right[b];
        }
    }
    for (int i = 0; i < num_rows; i++)
        EACH(b) NAME(store)(matrix + (row + i) * q->width + column + b * LANES, sum[i][b], columns);
}

/* The derivatives by the matrices of the blocks from `begin` to `end`, tile by tile. */
static TARGET void NAME(outer)(const linear *p, int64_t begin, int64_t end) {
    for (const block *q = p->blocks + begin; q < p->blocks + end; q++)
        for (int64_t s = 0; s < p->num_species; s++) {
            const int64_t *atoms = p->order + p->first[s], num_atoms = p->first[s + 1] - p->first[s];
            REAL *matrix = (REAL *)p->weights + s * p->species_width + q->weights;
            for (int row = 0; row < q->channels_in; row += MOST_ROWS)
                for (int c = 0; c < q->channels_out;) {
                    const int left = q->channels_out - c, wide = left >= 2 * LANES;
                    const int num_rows = q->channels_in - row < MOST_ROWS ? q->channels_in - row : MOST_ROWS;
#define OF(n)                                                                                                      \
    case n:                                                                                                        \
        if (wide) NAME(tile)(n, 2, LANES, p, q, row, c, atoms, num_atoms, matrix);                                 \
        else if (left >= LANES) NAME(tile)(n, 1, LANES, p, q, row, c, atoms, num_atoms, matrix);                   \
        else NAME(tile)(n, 1, left, p, q, row, c, atoms, num_atoms, matrix);                                       \
        break;
                    switch (num_rows) { OF(1) OF(2) OF(3) OF(4) OF(5) OF(6) }
#undef OF
                    c += wide ? 2 * LANES : left >= LANES ? LANES : left;
                }
        }
}

typedef INTEGER NAME(integers) __attribute__((vector_size(LANES * sizeof(REAL)), may_alias));

/* Lane by lane, one of two. */
INLINE vec NAME(choose)(NAME(integers) first, vec a, vec b) {
    return (vec)(((NAME(integers))a & first) | ((NAME(integers))b & ~first));
}

/* e^x to the last digits: 2^n e^f with |f| ≤ ln 2 / 2. */
INLINE vec NAME(exponential)(vec x) {
    const vec zero = {0}, limit = zero + (sizeof(REAL) == 4 ? 87 : 708), half = zero + (REAL)0.5;
    x = NAME(choose)(x > limit, limit, x);
    x = NAME(choose)(x < -limit, -limit, x);
    const vec shifted = x * (REAL)1.44269504088896340736 + NAME(choose)(x < zero, -half, half);
    /* What is no number has no whole part: it stays in f, and so in the result. */
    const NAME(integers) n = __builtin_convertvector(NAME(choose)(x == x, shifted, zero), NAME(integers));
    const vec whole = __builtin_convertvector(n, vec);
    const vec f = (x - whole * (sizeof(REAL) == 4 ? (REAL)0.693359375 : (REAL)0.693147180369123816490)) -
                  whole * (sizeof(REAL) == 4 ? (REAL)-2.12194440e-4 : (REAL)1.90821492927058770002e-10);
    vec sum = (vec){0} + 1;
    for (int k = sizeof(REAL) == 4 ? 7 : 13; k > 0; k--) sum = 1 + sum * f / (REAL)k;
    return sum * (vec)((n + BIAS) << MANTISSA);
}

/* The hyperbolic tangent; near zero a series, since there 1 − 2 / (e^2x + 1) loses digits. */
INLINE vec NAME(tangent_of)(vec x) {
    const vec s = x * x, large = 1 - 2 / (NAME(exponential)(2 * x) + 1);
    const vec small = x + x * s * ((REAL)(-1.0 / 3) + s * ((REAL)(2.0 / 15) + s * ((REAL)(-17.0 / 315) + s * ((REAL)(62.0 / 2835) +
                      s * ((REAL)(-1382.0 / 155925) + s * (REAL)(21844.0 / 6081075))))));
    return NAME(choose)(s < (vec){0} + (REAL)0.01, small, large);
}

/* A function of each number, its slope, and the slope of that. */
typedef struct {
    vec value, slope, bend;
} NAME(activated);

INLINE void NAME(activation)(int function, REAL scale, vec x, NAME(activated) *f) {
    f->value = x, f->slope = (vec){0} + 1, f->bend = (vec){0};
    if (function == TANH) {
        f->value = NAME(tangent_of)(x);
        f->slope = 1 - f->value * f->value;
        f->bend = -2 * f->value * f->slope;
    } else if (function != IDENTITY) {
        const vec s = 1 / (1 + NAME(exponential)(-x));
        f->value = s, f->slope = s * (1 - s), f->bend = f->slope * (1 - 2 * s);
        if (function == SILU) {
            f->bend = 2 * f->slope + x * f->bend;
            f->slope = s * (1 + x * (1 - s));
            f->value = x * s;
        }
    }
    f->value *= scale, f->slope *= scale, f->bend *= scale;
}

/* The numbers of a gate at a few channels: where they stand in the row of each tensor. */
typedef struct {
    const REAL *x, *along;
    REAL *out, *dx, *change;
} NAME(gated);

/* A gate forward: each channel times a function of a scalar, or, of itself a scalar, that function; or what `order`
   says else (see kernels.c). */
INLINE void NAME(gate_channels)(int function, int order, int channels, const gate_block *q, const NAME(gated) *at) {
    NAME(activated) f;
    NAME(activation)(function, (REAL)q->scale, NAME(load)(at->x + q->gate, channels), &f);
    const vec opening = order == 2 ? NAME(load)(at->along + q->gate, channels) : (vec){0};
    if (!q->components) {
        if (order == 0) NAME(store)(at->out + q->to, f.value, channels);
        if (order == 0) return;
        const vec g = NAME(load)(at->out + q->to, channels);
        NAME(store)(at->dx + q->gate, order == 1 ? g * f.slope : g * f.bend * opening, channels);
        if (order == 2) NAME(store)(at->change + q->to, f.slope * opening, channels);
        return;
    }
    vec by_slope = {0}, by_bend = {0};
    for (int m = 0; m < q->components; m++) {
        const int from = q->from + m * q->channels, to = q->to + m * q->channels;
        const vec x = NAME(load)(at->x + from, channels);
        if (order == 0) {
            NAME(store)(at->out + to, x * f.value, channels);
            continue;
        }
        const vec g = NAME(load)(at->out + to, channels);
        if (order == 1) {
            by_slope += g * x;
            NAME(store)(at->dx + from, g * f.value, channels);
            continue;
        }
        const vec h = NAME(load)(at->along + from, channels);
        by_slope += g * h, by_bend += g * x;
        NAME(store)(at->dx + from, g * f.slope * opening, channels);
        NAME(store)(at->change + to, h * f.value + x * f.slope * opening, channels);
    }
    if (order) NAME(store)(at->dx + q->gate, by_slope * f.slope + by_bend * f.bend * opening, channels);
}

INLINE void NAME(gate_rows)(int order, const gate *p, int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++)
        for (const gate_block *q = p->blocks; q < p->blocks + p->num_blocks; q++)
            for (int c = 0; c < q->channels; c += LANES) {
                const int64_t in = row * p->x_width + c, out = row * p->out_width + c;
                const NAME(gated) at = {(const REAL *)p->x + in, order > 1 ? (const REAL *)p->along + in : NULL,
                                        (REAL *)p->out + out, order ? (REAL *)p->dx + in : NULL,
                                        order > 1 ? (REAL *)p->change + out : NULL};
                const int channels = q->channels - c < LANES ? q->channels - c : LANES;
                switch (q->function) {
                case IDENTITY: NAME(gate_channels)(IDENTITY, order, channels, q, &at); break;
                case SILU: NAME(gate_channels)(SILU, order, channels, q, &at); break;
                case SIGMOID: NAME(gate_channels)(SIGMOID, order, channels, q, &at); break;
                case TANH: NAME(gate_channels)(TANH, order, channels, q, &at); break;
                }
            }
}

static TARGET void NAME(gate)(const gate *p, int64_t begin, int64_t end) {
    if (p->along) NAME(gate_rows)(2, p, begin, end);
    else if (p->dx) NAME(gate_rows)(1, p, begin, end);
    else NAME(gate_rows)(0, p, begin, end);
}

/* What a norm reads at a few channels of one component: x, the derivatives g by the result, and u = g w; for the second
   order h, along which x changes, and v = g w', with w' how the scales do. */
typedef struct {
    vec x, u, h, v, g;
} NAME(normed);

/* Less their means. Lanes beyond the channels are zero in x, h and g, one of which is in every product. */
INLINE void NAME(norm_load)(int order, const norm *p, const norm_block *q, int64_t row, int m, int c,
                            const NAME(normed) *mean, NAME(normed) *found) {
    const int64_t at = row * p->width + q->from + m * q->channels + c, scale = q->weights + c;
    const int channels = q->channels - c < LANES ? q->channels - c : LANES;
    const vec x = NAME(load)((const REAL *)p->x + at, channels) - mean->x;
    found->x = NAME(load)((const REAL *)&x, channels);
    if (order) {
        found->g = NAME(load)((const REAL *)p->out + at, channels);
        found->u = found->g * NAME(load)((const REAL *)p->weights + scale, channels) - mean->u;
    }
    if (order == 2) {
        const vec h = NAME(load)((const REAL *)p->along + at, channels) - mean->h;
        found->h = NAME(load)((const REAL *)&h, channels);
        found->v = found->g * NAME(load)((const REAL *)p->weights_along + scale, channels) - mean->v;
    }
}

INLINE REAL NAME(total)(vec value) {
    REAL sum = 0;
    for (int lane = 0; lane < LANES; lane++) sum += value[lane];
    return sum;
}

/* The means over the channels of a centred block; zero for others. */
INLINE void NAME(norm_means)(int order, const norm *p, const norm_block *q, int64_t row, NAME(normed) *mean) {
    const NAME(normed) none = {0};
    NAME(normed) sum = none, one;
    *mean = none;
    if (q->bias < 0) return;
    for (int c = 0; c < q->channels; c += LANES) {
        NAME(norm_load)(order, p, q, row, 0, c, &none, &one);
        sum.x += one.x;
        if (order) sum.u += one.u;
        if (order == 2) sum.h += one.h, sum.v += one.v;
    }
    mean->x += NAME(total)(sum.x) / q->channels;
    if (order) mean->u += NAME(total)(sum.u) / q->channels;
    if (order == 2) mean->h += NAME(total)(sum.h) / q->channels, mean->v += NAME(total)(sum.v) / q->channels;
}

/* Blocks that share a size s = ε + Σ a x², of one row. With r = s^(-1/2) and n = r x the result is y = w n + b; with
   u = g w, its derivatives are ∂T/∂x = r (u − (u·n) a n), ∂T/∂w = g n and ∂T/∂b = g; and these, times h, w' and b', are

       Q = r u·h − r (u·n) (a n·h) + v·n + g·b',

   whose derivatives by x, g and w are the second order. Centring is a symmetric projection: of x, u, h and v alike. */
INLINE void NAME(norm_blocks)(int order, const norm *p, const norm_block *begin, const norm_block *end, int64_t row) {
    NAME(normed) mean, at;
    vec sizes = {0}, ux = {0}, xh = {0}, uh = {0}, vx = {0};
    NAME(norm_means)(order, p, begin, row, &mean);
    for (const norm_block *q = begin; q < end; q++)
        for (int m = 0; m < q->components; m++)
            for (int c = 0; c < q->channels; c += LANES) {
                NAME(norm_load)(order, p, q, row, m, c, &mean, &at);
                sizes += (REAL)q->share * at.x * at.x;
                if (order) ux += at.u * at.x;
                if (order == 2) xh += (REAL)q->share * at.x * at.h, uh += at.u * at.h, vx += at.v * at.x;
            }
    const REAL r = 1 / (REAL)__builtin_sqrt((REAL)p->eps + NAME(total)(sizes));
    const REAL un = r * NAME(total)(ux), nh = r * NAME(total)(xh);
    const REAL by_n = r * (r * (3 * un * nh - NAME(total)(uh)) - r * NAME(total)(vx));
    const int64_t part = p->together ? row / p->together : 0;
    for (const norm_block *q = begin; q < end; q++)
        for (int c = 0; c < q->channels; c += LANES) {
            const int channels = q->channels - c < LANES ? q->channels - c : LANES;
            const REAL share = (REAL)q->share;
            const void *biases = order == 0 ? p->bias : order == 2 ? p->bias_along : NULL;
            const vec w = NAME(load)((const REAL *)p->weights + q->weights + c, channels);
            const vec w2 = order == 2 ? NAME(load)((const REAL *)p->weights_along + q->weights + c, channels) : w;
            const vec b = q->bias >= 0 && biases ? NAME(load)((const REAL *)biases + q->bias + c, channels) : (vec){0};
            vec dw = {0}, db = {0};
            for (int m = 0; m < q->components; m++) {
                const int64_t to = row * p->width + q->from + m * q->channels + c;
                NAME(norm_load)(order, p, q, row, m, c, &mean, &at);
                const vec n = r * at.x;
                if (order == 0) NAME(store)((REAL *)p->out + to, w * n + b, channels);
                if (order == 1) {
                    NAME(store)((REAL *)p->dx + to, r * (at.u - un * share * n), channels);
                    dw += at.g * n, db += at.g;
                }
                if (order == 2) {
                    const vec turned = r * (at.h - nh * n);
                    const vec dx = share * (by_n * n - r * r * un * at.h) - r * r * nh * at.u + r * at.v;
                    NAME(store)((REAL *)p->dx + to, dx, channels);
                    NAME(store)((REAL *)p->change + to, w * turned + w2 * n + b, channels);
                    dw += at.g * turned;
                }
            }
            if (!order || !p->dw) continue;
            REAL *weights = (REAL *)p->dw + part * p->num_weights + q->weights + c;
            NAME(store)(weights, NAME(load)(weights, channels) + dw, channels);
            if (order == 2 || q->bias < 0) continue;
            REAL *bias = (REAL *)p->db + part * p->num_biases + q->bias + c;
            NAME(store)(bias, NAME(load)(bias, channels) + db, channels);
        }
}

INLINE void NAME(norm_rows)(int order, const norm *p, int64_t begin, int64_t end) {
    const norm_block *last = p->blocks + p->num_blocks;
    for (int64_t row = begin; row < end; row++)
        for (const norm_block *q = p->blocks, *next; q < last; q = next) {
            next = p->joint ? last : q + 1;
            NAME(norm_blocks)(order, p, q, next, row);
        }
}

static TARGET void NAME(norm)(const norm *p, int64_t begin, int64_t end) {
    if (p->along) NAME(norm_rows)(2, p, begin, end);
    else if (p->dx) NAME(norm_rows)(1, p, begin, end);
    else NAME(norm_rows)(0, p, begin, end);
}

/* The row of each atom's species; without `dx`, energies: shift + scale times the one number of an atom; with it,
   their derivatives by that number. */
static TARGET void NAME(embed)(const embed *p, int64_t begin, int64_t end) {
    for (int64_t atom = begin; atom < end; atom++)
        memcpy((REAL *)p->out + atom * p->width, (const REAL *)p->rows + p->species[atom] * p->width,
               p->width * sizeof(REAL));
}

static TARGET void NAME(energies)(const energies *p, int64_t begin, int64_t end) {
    for (int64_t atom = begin; atom < end; atom++) {
        const int64_t s = p->species[atom];
        p->energies[atom] = p->shifts[s] + p->scales[s] * (double)((const REAL *)p->output)[atom];
        if (p->slopes) ((REAL *)p->slopes)[atom] = (REAL)p->scales[s];
    }
}
