/* The edge product for one type of number and one set of instructions: included by variant.h once for each.

   Channels are independent and lie side by side, so a register holds LANES channels, and the widest loop body
   holds two registers. What is left of the channels, fewer than LANES, is done with a register partly used. */

/* Rows that will be read or written when as many edges as are at hand have gone by, if they follow one another; an
   address only, since it may lie beyond the last row. */
#define SOON(from, ...)                                                                                            \
    if (p->in_order) EACH(b)                                                                                       \
        __builtin_prefetch((const void *)((uintptr_t)(from) + sizeof(REAL) * (AT_ONCE * p->w_width + b * LANES)), \
                           ##__VA_ARGS__)

/* Sums over edges that share a load: `count` of the numbers Σ_e w x[m] y[n], either of one m and several n,
   or, where `turned`, of one n and several m. The sums stay in registers for all edges, of which the first stands in row at[0] of w. */
INLINE void NAME(strand)(int count, int registers, int channels, int tangent, int turned, const problem *p,
                         const path *q, int fixed, const int32_t *others, const REAL *all, const int64_t *at,
                         int64_t begin, int64_t end, ptrdiff_t c, vec *sums) {
    const ptrdiff_t stride = q->channels;
    vec sum[LONGEST][2];
    for (int j = 0; j < count; j++) EACH(b) sum[j][b] = (vec){0};
    for (int64_t e = begin; e < end; e++) {
        const int64_t at_x = p->sender[e] * p->x_width + q->x + c, at_y = e * p->y_width + q->y,
                      at_w = at[e - begin] * p->w_width + q->w + c;
        const REAL *x = (const REAL *)p->x + at_x, *y = (const REAL *)p->y + at_y, *w = all + at_w;
        const REAL *x2 = tangent ? (const REAL *)p->x2 + at_x : NULL, *y2 = tangent ? (const REAL *)p->y2 + at_y : NULL,
                   *w2 = tangent ? (const REAL *)p->w2 + at_w : NULL;
        SOON(w);
        if (tangent) SOON(w2);
        vec z[2], z2[2]; /* z meets the other slot, z2 the tangent of the other slot */
        if (turned) {
            EACH(b) {
                const vec w_e = NAME(load)(w + b * LANES, channels);
                z[b] = z2[b] = w_e * y[fixed];
                if (tangent) z[b] = w_e * y2[fixed] + NAME(load)(w2 + b * LANES, channels) * y[fixed];
            }
            for (int j = 0; j < count; j++) EACH(b) {
                const ptrdiff_t m = others[j] * stride + b * LANES;
                sum[j][b] += z[b] * NAME(load)(x + m, channels);
                if (tangent) sum[j][b] += z2[b] * NAME(load)(x2 + m, channels);
            }
        } else {
            EACH(b) {
                const ptrdiff_t m = fixed * stride + b * LANES;
                const vec w_e = NAME(load)(w + b * LANES, channels), x_e = NAME(load)(x + m, channels);
                z[b] = z2[b] = w_e * x_e;
                if (tangent)
                    z[b] = w_e * NAME(load)(x2 + m, channels) +
                           NAME(load)(w2 + b * LANES, channels) * x_e;
            }
            for (int j = 0; j < count; j++) EACH(b) {
                sum[j][b] += z[b] * y[others[j]];
                if (tangent) sum[j][b] += z2[b] * y2[others[j]];
            }
        }
    }
    for (int j = 0; j < count; j++) EACH(b) sums[j * registers + b] = sum[j][b];
}

/* ∂T/∂g of one path, for one receiver and the edges from `begin` to `end`: sums over edges, then the coupling. */
INLINE void NAME(sum_block)(int registers, int channels, int tangent, const problem *p, const path *q,
                            int64_t receiver, const REAL *w, const int64_t *at, int64_t begin, int64_t end, ptrdiff_t c,
                            vec *sums) {
    const int32_t *strand = p->index + q->strands;
    vec *next = sums;
    for (int s = 0; s < q->num_strands; s++, next += strand[1] * registers, strand += 3 + strand[1]) {
#define OF(count)                                                                                                  \
    case count:                                                                                                    \
        if (strand[0])                                                                                             \
            NAME(strand)(count, registers, channels, tangent, 1, p, q, strand[2], strand + 3, w, at, begin, end, c, next); \
        else                                                                                                       \
            NAME(strand)(count, registers, channels, tangent, 0, p, q, strand[2], strand + 3, w, at, begin, end, c, next); \
        break;
        switch (strand[1]) { OF(1) OF(2) OF(3) OF(4) OF(5) OF(6) OF(7) OF(8) OF(9) }
#undef OF
    }
    const int32_t *first = p->index + q->couplings_out, *place = first + q->dim_out + 1;
    const REAL *coefficient = (const REAL *)p->coefficients + q->coefficients_out;
    REAL *out = (REAL *)p->sum + receiver * p->g_width + q->g + c;
    for (int k = 0; k < q->dim_out; k++, out += q->g_stride) {
        vec total[2];
        EACH(b) total[b] = NAME(load)(out + b * LANES, channels);
        for (int j = first[k]; j < first[k + 1]; j++)
            EACH(b) total[b] += coefficient[j] * sums[place[j] * registers + b];
        EACH(b) NAME(store)(out + b * LANES, total[b], channels);
    }
}

/* The same for some edges of a receiver, for a degree of the harmonics known when compiled: Σ_n stays in registers. */
INLINE void NAME(slopes_edges)(int dim_edge, int pattern, int registers, int channels, int tangent, int want_y, int want_xw, const problem *p,
                               const path *q, const rows *at, const int64_t *edges, int num_edges, ptrdiff_t c,
                               const vec *seen, vec *dy) {
    const ptrdiff_t stride = q->channels;
    const int dim_in = pattern == ANY ? q->dim_in : dim_edge;
    for (int i = 0; i < num_edges; i++) {
        const int64_t e = edges[i], row = p->sender[e] * p->x_width + q->x + c;
        const int64_t at_w = at->from[i] * p->w_width + q->w + c, at_dw = at->to[i] * p->w_width + q->w + c;
        const REAL *x = (const REAL *)p->x + row, *w = (const REAL *)at->w + at_w;
        const REAL *y = (const REAL *)p->y + e * p->y_width + q->y;
        REAL *dx = p->dx ? (REAL *)p->dx + row : NULL;
        SOON(w);
        if (tangent) SOON((const REAL *)p->w2 + at_w);
        if (at->dw) SOON((REAL *)at->dw + at_dw, 1);
        vec *dy_e = dy + i * p->y_width + q->y;
        const REAL *y2 = tangent ? (const REAL *)p->y2 + e * p->y_width + q->y : NULL;
        const REAL *along = tangent ? (const REAL *)p->x2 + row : NULL;
        vec w_e[2], w2[2], dw[2] = {{0}, {0}}, dot[LONGEST];
        EACH(b) w_e[b] = NAME(load)(w + b * LANES, channels);
        if (tangent) EACH(b) w2[b] = NAME(load)((const REAL *)p->w2 + at_w + b * LANES, channels);
        for (int n = 0; n < dim_edge; n++) dot[n] = want_y ? dy_e[n] : (vec){0};
        const vec *seen_m = seen;
#pragma GCC unroll 5
        for (int m = 0; m < dim_in; m++, seen_m += dim_edge * registers) {
            vec x_m[2], x2[2], z[2], dz[2] = {{0}, {0}}, dz2[2] = {{0}, {0}};
            EACH(b) x_m[b] = NAME(load)(x + m * stride + b * LANES, channels);
            if (tangent) EACH(b) x2[b] = NAME(load)(along + m * stride + b * LANES, channels);
            EACH(b) z[b] = tangent ? w_e[b] * x2[b] + w2[b] * x_m[b] : w_e[b] * x_m[b];
            for (int n = 0; n < dim_edge; n++) EACH(b) {
                if ((pattern == DIAGONAL && m != n) || (pattern == OFF_DIAGONAL && m == n)) continue;
                if (want_xw) dz[b] += y[n] * seen_m[n * registers + b];
                if (tangent) dz2[b] += y2[n] * seen_m[n * registers + b];
                if (want_y) dot[n] += z[b] * seen_m[n * registers + b];
            }
            if (!want_xw) continue;
            EACH(b) dw[b] += tangent ? dz[b] * x2[b] + dz2[b] * x_m[b] : dz[b] * x_m[b];
            if (!dx) continue;
            EACH(b) {
                const vec step = tangent ? dz[b] * w2[b] + dz2[b] * w_e[b] : dz[b] * w_e[b];
                NAME(store)(dx + b * LANES, NAME(load)(dx + b * LANES, channels) + step, channels);
            }
            dx += stride;
        }
        for (int n = 0; n < dim_edge; n++) if (want_y) dy_e[n] = dot[n];
        if (want_xw && at->dw) EACH(b) NAME(store)((REAL *)at->dw + at_dw + b * LANES, dw[b], channels);
    }
}

/* ∂T/∂x, ∂T/∂y and ∂T/∂w of one path, for one receiver and some of its edges. The cotangent, seen through the
   coupling once for all edges, is G[m,n] = Σ_k C[m,n,k] g[k]. */
INLINE void NAME(slopes_block)(int registers, int channels, int tangent, int want_y, int want_xw, const problem *p, const path *q,
                               const rows *at, int64_t receiver, const int64_t *edges, int num_edges, ptrdiff_t c,
                               vec *seen, vec *dy) {
    const int num_pairs = q->dim_in * q->dim_edge;
    const int32_t *entry = p->index + q->couplings_in, *end = entry + 2 * q->num_couplings;
    const REAL *coefficient = (const REAL *)p->coefficients + q->coefficients_in;
    const REAL *g = (const REAL *)p->g + receiver * p->g_width + q->g + c;
    for (int j = 0; j < num_pairs * registers; j++) seen[j] = (vec){0};
    for (; entry < end; entry += 2, coefficient++) {
        const REAL *g_k = g + entry[1] * (ptrdiff_t)q->g_stride;
        EACH(b) seen[entry[0] * registers + b] += *coefficient * NAME(load)(g_k + b * LANES, channels);
    }
#define OF(dim, pattern)                                                                                           \
    case 16 * pattern + dim:                                                                                       \
        NAME(slopes_edges)(dim, pattern, registers, channels, tangent, want_y, want_xw, p, q, at, edges, num_edges, c, \
                           seen, dy);                                                                              \
        break;
    switch (16 * q->pattern + q->dim_edge) {
        OF(1, ANY) OF(3, ANY) OF(5, ANY) OF(7, ANY) OF(9, ANY)
        OF(3, DIAGONAL) OF(5, DIAGONAL) OF(3, OFF_DIAGONAL) OF(5, OFF_DIAGONAL)
    }
#undef OF
}

/* Every path of a receiver, its channels in blocks of two registers, of one, and of what is left. */
#define BLOCKS(block, ...)                                                                                         \
    for (const path *q = p->paths; q < p->paths + p->num_paths; q++) {                                             \
        ptrdiff_t c = 0;                                                                                           \
        for (; q->channels - c >= 2 * LANES; c += 2 * LANES) block(2, LANES, __VA_ARGS__);                         \
        if (q->channels - c >= LANES) {                                                                            \
            block(1, LANES, __VA_ARGS__);                                                                          \
            c += LANES;                                                                                            \
        }                                                                                                          \
        if (q->channels > c) block(1, (int)(q->channels - c), __VA_ARGS__);                                        \
    }

static TARGET void NAME(sum_plain)(const problem *p, int64_t receiver, const REAL *w, const int64_t *at, int64_t e,
                                   int64_t stop, vec *sums) {
    BLOCKS(NAME(sum_block), 0, p, q, receiver, w, at, e, stop, c, sums)
}

static TARGET void NAME(sum_tangent)(const problem *p, int64_t receiver, const REAL *w, const int64_t *at, int64_t e,
                                     int64_t stop, vec *sums) {
    BLOCKS(NAME(sum_block), 1, p, q, receiver, w, at, e, stop, c, sums)
}

static TARGET void NAME(sum)(const problem *p, int64_t begin, int64_t end, void *scratch) {
    vec *sums = scratch;
    REAL *made = (REAL *)(sums + 2 * p->most_pairs);
    for (int64_t receiver = begin; receiver < end; receiver++)
        for (int64_t e = p->first[receiver]; e < p->last[receiver]; e += AT_ONCE) {
            const int64_t stop = e + AT_ONCE < p->last[receiver] ? e + AT_ONCE : p->last[receiver];
            const REAL *w = p->table ? made : p->w;
            int64_t at[AT_ONCE];
            for (int64_t i = e; i < stop; i++) {
                at[i - e] = p->table ? i - e : p->row ? p->row[i] : i;
                if (p->table) NAME(spline_row)(p->table, ((const REAL *)p->r)[i], 0, made + (i - e) * p->w_width);
            }
            if (p->x2) NAME(sum_tangent)(p, receiver, w, at, e, stop, sums);
            else NAME(sum_plain)(p, receiver, w, at, e, stop, sums);
        }
}

static TARGET void NAME(slopes_y)(const problem *p, const rows *at, int64_t receiver, const int64_t *edges, int n,
                                  vec *seen, vec *dy) {
    BLOCKS(NAME(slopes_block), 0, 1, 0, p, q, at, receiver, edges, n, c, seen, dy)
}

static TARGET void NAME(slopes_xw)(const problem *p, const rows *at, int64_t receiver, const int64_t *edges, int n,
                                   vec *seen, vec *dy) {
    BLOCKS(NAME(slopes_block), 0, 0, 1, p, q, at, receiver, edges, n, c, seen, dy)
}

static TARGET void NAME(slopes_xyw)(const problem *p, const rows *at, int64_t receiver, const int64_t *edges, int n,
                                    vec *seen, vec *dy) {
    BLOCKS(NAME(slopes_block), 0, 1, 1, p, q, at, receiver, edges, n, c, seen, dy)
}

static TARGET void NAME(slopes_tangent)(const problem *p, const rows *at, int64_t receiver, const int64_t *edges, int n,
                                        vec *seen, vec *dy) {
    BLOCKS(NAME(slopes_block), 1, 1, 1, p, q, at, receiver, edges, n, c, seen, dy)
}

/* Some edges of a receiver: what is kept for each, and what its sums over channels and paths come to. */
static TARGET void NAME(slopes_at)(const problem *p, int64_t receiver, const int64_t *edges, int n, void *scratch) {
    vec *dy = scratch, *seen = dy + AT_ONCE * p->y_width;
    REAL *made = (REAL *)(seen + 2 * p->most_pairs), *by_made = made + AT_ONCE * p->w_width;
    int64_t in_order[AT_ONCE], given[AT_ONCE];
    for (int i = 0; i < n; i++) {
        in_order[i] = i;
        given[i] = p->row ? p->row[edges[i]] : edges[i];
        if (p->table) NAME(spline_row)(p->table, ((const REAL *)p->r)[edges[i]], 0, made + i * p->w_width);
    }
    const rows at = {p->table ? made : p->w, p->table ? by_made : p->dw, p->table ? in_order : given,
                     p->table ? in_order : edges};
    if (p->dy || p->x2) memset(dy, 0, n * p->y_width * sizeof(vec));
    if (p->x2) NAME(slopes_tangent)(p, &at, receiver, edges, n, seen, dy);
    else if (!p->dy) NAME(slopes_xw)(p, &at, receiver, edges, n, seen, dy);
    else if (!p->dx && !at.dw) NAME(slopes_y)(p, &at, receiver, edges, n, seen, dy);
    else NAME(slopes_xyw)(p, &at, receiver, edges, n, seen, dy);
    for (int i = 0; i < n && p->dy; i++)
        for (ptrdiff_t m = 0; m < p->y_width; m++) {
            REAL total = 0, *to = (REAL *)p->dy + edges[i] * p->y_width + m;
            for (int lane = 0; lane < LANES; lane++) total += dy[i * p->y_width + m][lane];
            *to = p->table ? *to + total : total;
        }
    for (int i = 0; i < n && p->table; i++)
        ((REAL *)p->dr)[edges[i]] +=
            NAME(spline_dot)(p->table, ((const REAL *)p->r)[edges[i]], 1, by_made + i * p->w_width);
}

/* The edges that leave the senders from `begin` to `end`, receiver by receiver. Whoever calls this for disjoint
   ranges of senders from several threads gives each of them numbers of its own to write, and each is added up in
   the order of the edges, whatever the ranges. */
static TARGET void NAME(slopes)(const problem *p, int64_t begin, int64_t end, void *scratch) {
    int64_t edges[AT_ONCE];
    for (int64_t receiver = 0; receiver < p->num_receivers; receiver++)
        for (int64_t e = p->first[receiver], last = p->last[receiver]; e < last;) {
            /* Which edges go together does not depend on the range: else sums would be in another order. */
            const int64_t stop = e + AT_ONCE < last ? e + AT_ONCE : last;
            int n = 0;
            for (; e < stop; e++)
                if (p->sender[e] >= begin && p->sender[e] < end) edges[n++] = e;
            if (n) NAME(slopes_at)(p, receiver, edges, n, scratch);
        }
}
