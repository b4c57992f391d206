/* Cubic splines of many functions at many lengths, for one type of number and one set of instructions: included by
   variant.h once for each.

   Splines are sums of cubic B-splines, of which four reach any length: a value is a sum of four rows of coefficients,
   one number a function, and a derivative the same sum with other factors, so one loop serves every order. */

/* The factors of four rows of coefficients at a length, for a derivative; and the first row, NULL beyond the cutoff. */
static TARGET const REAL *NAME(rows_at)(const spline *s, REAL r, int order, REAL factor[4]) {
    const REAL place = r / (REAL)s->spacing, h = (REAL)(1 / s->spacing);
    if (place >= (REAL)s->intervals) return NULL;
    const int64_t i = place > 0 ? (int64_t)place : 0; /* no number is in the first interval, and stays none */
    const REAL t = place - (REAL)i, u = 1 - t;
    const REAL cubic[4][4] = {
        {u * u * u / 6, (t * t * (3 * t - 6) + 4) / 6, (u * u * (3 * u - 6) + 4) / 6, t * t * t / 6},
        {-u * u / 2 * h, (3 * t - 4) * t / 2 * h, (4 - 3 * u) * u / 2 * h, t * t / 2 * h},
        {u * h * h, (3 * t - 2) * h * h, (3 * u - 2) * h * h, t * h * h},
        {-h * h * h, 3 * h * h * h, -3 * h * h * h, h * h * h}};
    for (int p = 0; p < 4; p++) factor[p] = cubic[order][p];
    return (const REAL *)s->coefficients + i * s->functions;
}

/* All functions at one length. */
static TARGET void NAME(spline_row)(const spline *s, REAL r, int order, REAL *restrict to) {
    const int64_t n = s->functions;
    REAL f[4];
    const REAL *restrict c = NAME(rows_at)(s, r, order, f);
    if (!c) memset(to, 0, n * sizeof(REAL));
    else
        for (int64_t j = 0; j < n; j++)
            to[j] = f[0] * c[j] + f[1] * c[n + j] + f[2] * c[2 * n + j] + f[3] * c[3 * n + j];
}

/* The product of all functions at one length with as many numbers. */
static TARGET REAL NAME(spline_dot)(const spline *s, REAL r, int order, const REAL *restrict a) {
    enum { SUMS = 32 };
    const int64_t n = s->functions;
    REAL f[4], sum[SUMS] = {0}, total = 0;
    const REAL *restrict c = NAME(rows_at)(s, r, order, f);
    if (!c) return 0;
    int64_t j = 0;
    for (; j + SUMS <= n; j += SUMS)
        for (int l = 0; l < SUMS; l++)
            sum[l] += a[j + l] * (f[0] * c[j + l] + f[1] * c[n + j + l] + f[2] * c[2 * n + j + l] + f[3] * c[3 * n + j + l]);
    for (; j < n; j++) total += a[j] * (f[0] * c[j] + f[1] * c[n + j] + f[2] * c[2 * n + j] + f[3] * c[3 * n + j]);
    for (int l = 0; l < SUMS; l++) total += sum[l];
    return total;
}

static TARGET void NAME(spline_values)(const spline *s, int64_t begin, int64_t end) {
    for (int64_t e = begin; e < end; e++)
        NAME(spline_row)(s, ((const REAL *)s->r)[e], s->order, (REAL *)s->values + e * s->functions);
}

static TARGET void NAME(spline_dots)(const spline *s, int64_t begin, int64_t end) {
    for (int64_t e = begin; e < end; e++)
        ((REAL *)s->dots)[e] =
            NAME(spline_dot)(s, ((const REAL *)s->r)[e], s->order, (const REAL *)s->a + e * s->functions);
}

static TARGET void NAME(spline_sums)(const spline *s, int64_t begin, int64_t end) {
    const int64_t n = s->functions;
    for (int64_t e = 0; e < s->lengths; e++) {
        REAL f[4];
        const REAL *first = NAME(rows_at)(s, ((const REAL *)s->r)[e], s->order, f);
        if (!first) continue;
        const REAL *restrict a = (const REAL *)s->a + e * n;
        REAL *restrict to = (REAL *)s->sums + (first - (const REAL *)s->coefficients);
        for (int64_t j = begin; j < end; j++) to[j] += f[0] * a[j];
        for (int64_t j = begin; j < end; j++) to[n + j] += f[1] * a[j];
        for (int64_t j = begin; j < end; j++) to[2 * n + j] += f[2] * a[j];
        for (int64_t j = begin; j < end; j++) to[3 * n + j] += f[3] * a[j];
    }
}
