/* What a layer does to each atom apart from its neighbours: linear maps and gates, and their reverses. */

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

/* The hyperbolic tangent and its slope; near zero a series, since there 1 − 2 / (e^2x + 1) loses digits. */
INLINE vec NAME(tangent_of)(vec x, vec *slope) {
    const vec s = x * x, large = 1 - 2 / (NAME(exponential)(2 * x) + 1);
    const vec small = x + x * s * ((REAL)(-1.0 / 3) + s * ((REAL)(2.0 / 15) + s * ((REAL)(-17.0 / 315) + s * ((REAL)(62.0 / 2835) +
                      s * ((REAL)(-1382.0 / 155925) + s * (REAL)(21844.0 / 6081075))))));
    const vec value = NAME(choose)(s < (vec){0} + (REAL)0.01, small, large);
    *slope = 1 - value * value;
    return value;
}

/* A function of each number, and its slope. */
INLINE vec NAME(activation)(int function, REAL scale, vec x, vec *slope) {
    vec value = x;
    *slope = (vec){0} + 1;
    if (function == TANH) value = NAME(tangent_of)(x, slope);
    else if (function == SIGMOID) {
        value = 1 / (1 + NAME(exponential)(-x));
        *slope = value * (1 - value);
    } else if (function == SILU) {
        const vec s = 1 / (1 + NAME(exponential)(-x));
        value = x * s;
        *slope = s * (1 + x * (1 - s));
    }
    *slope *= scale;
    return value * scale;
}

/* A gate forward: each channel times a function of a scalar, or, of itself a scalar, that function; or backward: the
   derivatives by x of what has the derivatives `out`. */
INLINE void NAME(gate_channels)(int function, int channels, const gate_block *q, const REAL *x, REAL *out, REAL *dx) {
    vec slope;
    const vec opened = NAME(activation)(function, (REAL)q->scale, NAME(load)(x + q->gate, channels), &slope);
    if (!q->components) {
        if (dx) NAME(store)(dx + q->gate, NAME(load)(out + q->to, channels) * slope, channels);
        else NAME(store)(out + q->to, opened, channels);
        return;
    }
    vec by_gate = {0};
    for (int m = 0; m < q->components; m++) {
        const REAL *x_m = x + q->from + m * q->channels;
        REAL *out_m = out + q->to + m * q->channels;
        if (!dx) {
            NAME(store)(out_m, NAME(load)(x_m, channels) * opened, channels);
            continue;
        }
        const vec by_out = NAME(load)(out_m, channels);
        by_gate += by_out * NAME(load)(x_m, channels);
        NAME(store)(dx + q->from + m * q->channels, by_out * opened, channels);
    }
    if (dx) NAME(store)(dx + q->gate, by_gate * slope, channels);
}

static TARGET void NAME(gate)(const gate *p, int64_t begin, int64_t end) {
    for (int64_t atom = begin; atom < end; atom++)
        for (const gate_block *q = p->blocks; q < p->blocks + p->num_blocks; q++)
            for (int c = 0; c < q->channels; c += LANES) {
                const REAL *x = (const REAL *)p->x + atom * p->x_width + c;
                REAL *out = (REAL *)p->out + atom * p->out_width + c;
                REAL *dx = p->dx ? (REAL *)p->dx + atom * p->x_width + c : NULL;
                const int channels = q->channels - c < LANES ? q->channels - c : LANES;
                switch (q->function) {
                case IDENTITY: NAME(gate_channels)(IDENTITY, channels, q, x, out, dx); break;
                case SILU: NAME(gate_channels)(SILU, channels, q, x, out, dx); break;
                case SIGMOID: NAME(gate_channels)(SIGMOID, channels, q, x, out, dx); break;
                case TANH: NAME(gate_channels)(TANH, channels, q, x, out, dx); break;
                }
            }
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
