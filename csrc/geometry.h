/* Edges and their harmonics, from positions; and forces, from the derivatives by lengths and harmonics. */

/* A number for each of `wide` registers of vectors: several at once, so that none waits for another. */
#define WIDE(b) for (int b = 0; b < wide; b++)

/* Harmonics of unit vectors, all degrees one after the other: each is a sum of lower ones times a component. */
INLINE void NAME(climb)(int wide, const term *terms, int64_t num_terms, int64_t width, const vec *u, vec *y) {
    for (int64_t m = 0; m < width * wide; m++) y[m] = (vec){0};
    WIDE(b) y[b] += 1;
    for (const term *t = terms; t < terms + num_terms; t++) {
        const REAL factor = (REAL)t->factor;
        WIDE(b) y[t->to * wide + b] += factor * y[t->from * wide + b] * u[t->axis * wide + b];
    }
}

/* The reverse: from derivatives by the harmonics, which it overwrites, those by the unit vectors. */
INLINE void NAME(descend)(int wide, const term *terms, int64_t num_terms, const vec *u, const vec *y, vec *dy, vec *du) {
    for (const term *t = terms + num_terms; t-- > terms;) {
        const REAL factor = (REAL)t->factor;
        WIDE(b) {
            const vec by = factor * dy[t->to * wide + b];
            dy[t->from * wide + b] += by * u[t->axis * wide + b];
            du[t->axis * wide + b] += by * y[t->from * wide + b];
        }
    }
}

/* Rows of `width` numbers as columns, and back: number m of row i is in lane i of column m. */
INLINE void NAME(gather)(int wide, const REAL *rows, int64_t width, int n, vec *columns) {
    REAL *lanes = (REAL *)columns;
    if (n < wide * LANES) memset(columns, 0, width * wide * sizeof(vec));
    for (int i = 0; i < n; i++)
        for (int64_t m = 0; m < width; m++) lanes[m * wide * LANES + i] = rows[i * width + m];
}

INLINE void NAME(scatter)(int wide, const vec *columns, int64_t width, int n, REAL *rows) {
    const REAL *lanes = (const REAL *)columns;
    for (int i = 0; i < n; i++)
        for (int64_t m = 0; m < width; m++) rows[i * width + m] = lanes[m * wide * LANES + i];
}

INLINE vec NAME(dot)(int wide, const vec *a, const vec *b) { return a[0] * b[0] + a[wide] * b[wide] + a[2 * wide] * b[2 * wide]; }

/* The directions of vectors and 1 / length, both zero where there is no length to speak of. */
INLINE void NAME(unit)(int wide, const vec *v, vec *u, vec *inverse) {
    WIDE(b) {
        const vec square = NAME(dot)(wide, v + b, v + b), zero = {0};
        for (int i = 0; i < LANES; i++) inverse[b][i] = 1 / (REAL)__builtin_sqrt(square[i]);
        inverse[b] = NAME(choose)(square < zero + (REAL)SHORT, zero, inverse[b]);
        for (int k = 0; k < 3; k++) u[k * wide + b] = v[k * wide + b] * inverse[b];
    }
}

/* Every step of the harmonics and of their reverse, and how it changes with the direction u by `turn`. */
INLINE void NAME(change)(int wide, const harmonics *p, const vec *u, const vec *turn, const vec *y, vec *y_turn, vec *g,
                         vec *g_turn, vec *du, vec *du_turn) {
    for (int64_t m = 0; m < p->width * wide; m++) y_turn[m] = g_turn[m] = (vec){0};
    for (const term *t = p->terms; t < p->terms + p->num_terms; t++) WIDE(b) {
        const int from = t->from * wide + b, to = t->to * wide + b, axis = t->axis * wide + b;
        y_turn[to] += (REAL)t->factor * (y_turn[from] * u[axis] + y[from] * turn[axis]);
    }
    for (const term *t = p->terms + p->num_terms; t-- > p->terms;) WIDE(b) {
        const int from = t->from * wide + b, to = t->to * wide + b, axis = t->axis * wide + b;
        const vec by = (REAL)t->factor * g[to], by_turn = (REAL)t->factor * g_turn[to];
        g[from] += by * u[axis];
        g_turn[from] += by_turn * u[axis] + by * turn[axis];
        du[axis] += by * y[from];
        du_turn[axis] += by_turn * y[from] + by * y_turn[from];
    }
}

/* The first `n` of `wide` registers of vectors from number e on. */
INLINE void NAME(harmonics_of)(int wide, const harmonics *p, int64_t e, int n) {
    enum { MOST = 4 };
    const int64_t width = p->width;
    vec v[3 * MOST], u[3 * MOST], y[MOST_HARMONICS * MOST], g[MOST_HARMONICS * MOST], du[3 * MOST], inverse[MOST];
    NAME(gather)(wide, (const REAL *)p->vectors + 3 * e, 3, n, v);
    NAME(unit)(wide, v, u, inverse);
    NAME(climb)(wide, p->terms, p->num_terms, width, u, y);
    if (!p->g) {
        NAME(scatter)(wide, y, width, n, (REAL *)p->y + e * width);
        return;
    }
    NAME(gather)(wide, (const REAL *)p->g + e * width, width, n, g);
    for (int k = 0; k < 3 * wide; k++) du[k] = (vec){0};
    if (!p->along) {
        NAME(descend)(wide, p->terms, p->num_terms, u, y, g, du);
        WIDE(b) {
            const vec s = NAME(dot)(wide, u + b, du + b);
            for (int k = b; k < 3 * wide; k += wide) du[k] = inverse[b] * (du[k] - u[k] * s);
        }
    } else {
        vec turn[3 * MOST], du_turn[3 * MOST], y_turn[MOST_HARMONICS * MOST], g_turn[MOST_HARMONICS * MOST], stretch[MOST];
        NAME(gather)(wide, (const REAL *)p->along + 3 * e, 3, n, turn);
        WIDE(b) {
            stretch[b] = NAME(dot)(wide, u + b, turn + b);
            for (int k = b; k < 3 * wide; k += wide) turn[k] = inverse[b] * (turn[k] - u[k] * stretch[b]);
        }
        for (int k = 0; k < 3 * wide; k++) du_turn[k] = (vec){0};
        NAME(change)(wide, p, u, turn, y, y_turn, g, g_turn, du, du_turn);
        NAME(scatter)(wide, y_turn, width, n, (REAL *)p->y + e * width);
        WIDE(b) {
            const vec s = NAME(dot)(wide, u + b, du + b);
            const vec s_turn = NAME(dot)(wide, turn + b, du + b) + NAME(dot)(wide, u + b, du_turn + b);
            for (int k = b; k < 3 * wide; k += wide)
                du[k] = inverse[b] * (du_turn[k] - turn[k] * s - u[k] * s_turn -
                                      inverse[b] * stretch[b] * (du[k] - u[k] * s));
        }
    }
    NAME(scatter)(wide, du, 3, n, (REAL *)p->dv + 3 * e);
}

static TARGET void NAME(harmonics)(const harmonics *p, int64_t begin, int64_t end) {
    for (int64_t e = begin; e < end; e += 4 * LANES)
        NAME(harmonics_of)(4, p, e, end - e < 4 * LANES ? (int)(end - e) : 4 * LANES);
}

/* Of pairs of atoms, those within the cutoff become edges, which lie side by side for each receiver. */
static TARGET void NAME(edges_of)(const geometry *p, int64_t receiver) {
    int64_t e = p->first[receiver];
    for (int64_t pair = e; pair < p->first[receiver + 1]; pair++) {
        const double *from = p->positions + 3 * receiver, *to = p->positions + 3 * p->other[pair];
        double v[3], square = 0;
        for (int k = 0; k < 3; k++) {
            v[k] = to[k] - from[k] + p->translations[3 * pair + k];
            square += v[k] * v[k];
            p->pulls[3 * pair + k] = 0;
        }
        if (square >= p->cutoff * p->cutoff) continue; /* what is no number stays, to be seen in the energy */
        const double length = __builtin_sqrt(square);
        for (int k = 0; k < 3; k++) ((REAL *)p->u)[3 * e + k] = length > 0 ? (REAL)(v[k] / length) : (REAL)length;
        for (int k = 0; k < 3; k++) p->vectors[3 * e + k] = v[k];
        ((REAL *)p->r)[e] = (REAL)length;
        p->sender[e] = p->other[pair];
        p->pair[e++] = pair;
    }
    p->last[receiver] = e;
}

static TARGET void NAME(edges)(const geometry *p, int64_t begin, int64_t end) {
    const int64_t width = p->y_width;
    vec u[3], y[MOST_HARMONICS];
    for (int64_t receiver = begin; receiver < end; receiver++) {
        NAME(edges_of)(p, receiver);
        for (int64_t e = p->first[receiver]; e < p->last[receiver]; e += LANES) {
            const int n = p->last[receiver] - e < LANES ? (int)(p->last[receiver] - e) : LANES;
            NAME(gather)(1, (const REAL *)p->u + 3 * e, 3, n, u);
            NAME(climb)(1, p->terms, p->num_terms, width, u, y);
            NAME(scatter)(1, y, width, n, (REAL *)p->y + e * width);
            memset((REAL *)p->dy + e * width, 0, n * width * sizeof(REAL));
            memset((REAL *)p->dr + e, 0, n * sizeof(REAL));
        }
    }
}

/* What each edge of a receiver adds to the derivative of the energy by its vector. */
static TARGET void NAME(pulls)(const geometry *p, int64_t begin, int64_t end) {
    const int64_t width = p->y_width;
    vec u[3], du[3], y[MOST_HARMONICS], dy[MOST_HARMONICS];
    for (int64_t receiver = begin; receiver < end; receiver++) {
        double *virial = p->virials + 9 * receiver;
        memset(virial, 0, 9 * sizeof(double));
        for (int64_t e = p->first[receiver]; e < p->last[receiver]; e += LANES) {
            const int n = p->last[receiver] - e < LANES ? (int)(p->last[receiver] - e) : LANES;
            for (int k = 0; k < 3; k++) du[k] = (vec){0};
            NAME(gather)(1, (const REAL *)p->u + 3 * e, 3, n, u);
            NAME(gather)(1, (const REAL *)p->dy + e * width, width, n, dy);
            NAME(climb)(1, p->terms, p->num_terms, width, u, y);
            NAME(descend)(1, p->terms, p->num_terms, u, y, dy, du);
            const vec along = NAME(dot)(1, du, u);
            for (int i = 0; i < n; i++) {
                const double r = ((const REAL *)p->r)[e + i], dr = ((const REAL *)p->dr)[e + i];
                for (int k = 0; k < 3; k++) {
                    const double turning = r > 0 ? ((double)du[k][i] - (double)along[i] * (double)u[k][i]) / r : 0;
                    const double pull = dr * (double)u[k][i] + turning;
                    p->pulls[3 * p->pair[e + i] + k] = pull;
                    for (int j = 0; j < 3; j++) virial[3 * j + k] += p->vectors[3 * (e + i) + j] * pull;
                }
            }
        }
    }
}

/* Forces: an edge pulls its receiver one way and its sender the other. */
static TARGET void NAME(forces)(const geometry *p, int64_t begin, int64_t end) {
    for (int64_t atom = begin; atom < end; atom++) {
        double *force = p->forces + 3 * atom;
        memset(force, 0, 3 * sizeof(double));
        for (int64_t pair = p->first[atom]; pair < p->first[atom + 1]; pair++)
            for (int k = 0; k < 3; k++) force[k] += p->pulls[3 * pair + k];
        for (int64_t i = p->leaving_first[atom]; i < p->leaving_first[atom + 1]; i++)
            for (int k = 0; k < 3; k++) force[k] -= p->pulls[3 * p->leaving[i] + k];
    }
}

#undef WIDE
