/* Edges and their harmonics, from positions; and forces, from the derivatives by lengths and harmonics. */

/* Harmonics of LANES unit vectors, all degrees one after the other: each is a sum of lower ones times a component. */
INLINE void NAME(climb)(const geometry *p, const vec u[3], vec *y) {
    memset(y, 0, p->y_width * sizeof(vec));
    y[0] += 1;
    for (const term *t = p->terms; t < p->terms + p->num_terms; t++) y[t->to] += (REAL)t->factor * y[t->from] * u[t->axis];
}

/* The reverse: from derivatives by the harmonics, which it overwrites, those by the unit vectors. */
INLINE void NAME(descend)(const geometry *p, const vec u[3], const vec *y, vec *dy, vec du[3]) {
    for (const term *t = p->terms + p->num_terms - 1; t >= p->terms; t--) {
        const vec by = (REAL)t->factor * dy[t->to];
        dy[t->from] += by * u[t->axis];
        du[t->axis] += by * y[t->from];
    }
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
            for (int k = 0; k < 3; k++) u[k] = (vec){0};
            for (int i = 0; i < n; i++)
                for (int k = 0; k < 3; k++) u[k][i] = ((const REAL *)p->u)[3 * (e + i) + k];
            NAME(climb)(p, u, y);
            REAL *to = (REAL *)p->y + e * width;
            for (int i = 0; i < n; i++)
                for (int64_t m = 0; m < width; m++) to[i * width + m] = y[m][i];
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
            for (int k = 0; k < 3; k++) u[k] = du[k] = (vec){0};
            for (int64_t m = 0; m < width; m++) dy[m] = (vec){0};
            for (int i = 0; i < n; i++) {
                for (int k = 0; k < 3; k++) u[k][i] = ((const REAL *)p->u)[3 * (e + i) + k];
                for (int64_t m = 0; m < width; m++) dy[m][i] = ((const REAL *)p->dy)[(e + i) * width + m];
            }
            NAME(climb)(p, u, y);
            NAME(descend)(p, u, y, dy, du);
            const vec along = du[0] * u[0] + du[1] * u[1] + du[2] * u[2];
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
