/* Cubic splines of many functions at many lengths, for one type of number and one set of instructions: included by
   product.c once for each. Given: REAL, TARGET and NAME(f), as for product.h.

   An interval holds four rows of coefficients, one number a function; a derivative of a cubic is another sum of
   the same four with other factors, so one loop serves every order. */

/* The factors of the four coefficients at r, and where they lie; NULL beyond the last knot. */
static TARGET const REAL *NAME(interval)(const spline *s, int64_t e, REAL factor[4]) {
    const REAL place = ((const REAL *)s->r)[e] / (REAL)s->spacing;
    if (place >= (REAL)s->intervals) return NULL;
    const int64_t i = place > 0 ? (int64_t)place : 0; /* no number is in the first interval, and stays none */
    const REAL t = place - (REAL)i, h = (REAL)(1 / s->spacing);
    const REAL cubic[4][4] = {
        {1, t, t * t, t * t * t}, {0, h, 2 * t * h, 3 * t * t * h}, {0, 0, 2 * h * h, 6 * t * h * h}, {0, 0, 0, 6 * h * h * h}};
    for (int p = 0; p < 4; p++) factor[p] = cubic[s->order][p];
    return (const REAL *)s->coefficients + i * 4 * s->functions;
}

static TARGET void NAME(spline_values)(const spline *s, int64_t begin, int64_t end) {
    const int64_t n = s->functions;
    for (int64_t e = begin; e < end; e++) {
        REAL f[4], *restrict to = (REAL *)s->values + e * n;
        const REAL *restrict c = NAME(interval)(s, e, f);
        if (!c) memset(to, 0, n * sizeof(REAL));
        else
            for (int64_t j = 0; j < n; j++) to[j] = f[0] * c[j] + f[1] * c[n + j] + f[2] * c[2 * n + j] + f[3] * c[3 * n + j];
    }
}

static TARGET void NAME(spline_dots)(const spline *s, int64_t begin, int64_t end) {
    const int64_t n = s->functions;
    enum { LANES_OF_SUM = 32 };
    for (int64_t e = begin; e < end; e++) {
        REAL f[4], sum[LANES_OF_SUM] = {0}, total = 0;
        const REAL *restrict a = (const REAL *)s->a + e * n, *restrict c = NAME(interval)(s, e, f);
        int64_t j = 0;
        if (c) {
            for (; j + LANES_OF_SUM <= n; j += LANES_OF_SUM)
                for (int l = 0; l < LANES_OF_SUM; l++)
                    sum[l] += a[j + l] * (f[0] * c[j + l] + f[1] * c[n + j + l] + f[2] * c[2 * n + j + l] + f[3] * c[3 * n + j + l]);
            for (; j < n; j++) total += a[j] * (f[0] * c[j] + f[1] * c[n + j] + f[2] * c[2 * n + j] + f[3] * c[3 * n + j]);
            for (int l = 0; l < LANES_OF_SUM; l++) total += sum[l];
        }
        ((REAL *)s->dots)[e] = total;
    }
}
