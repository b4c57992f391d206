/* The edge product and its derivatives on CPUs, in plain C: it knows neither Python nor torch.

   A path (l1, l2, l3) of the product and an edge e give w x[m] y[n] for each pair of components that couple; the
   coupling itself acts on sums over the edges of a receiver, of which there are ten to fifty times fewer:

       ∂T/∂g_i[k] = Σ_mn C[m,n,k] Σ_e w x[m] y[n]        G_i[m,n] = Σ_k C[m,n,k] g_i[k]
       ∂T/∂x[m]   = w Σ_n y[n] G[m,n]      ∂T/∂w = Σ_mn x[m] y[n] G[m,n]      ∂T/∂y[n] = Σ_m w x[m] G[m,n]

   Couplings come as tables (see _cpu.py), so this file holds no degree and no number of channels. It is compiled
   for several sets of instructions; which one runs is decided when the library is first called. */

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

enum {
    LONGEST = 9,  /* sums that a strand holds in registers at most */
    AT_ONCE = 32, /* edges for which what a path reads stays in the first cache */
};

/* Where the numbers of a path lie in the rows of each tensor, and where its tables lie in `index`. */
typedef struct {
    int32_t x, y, w, g;                      /* first number in a row */
    int32_t channels, g_stride;              /* from one component to the next: in x, in g */
    int32_t dim_in, dim_edge, dim_out;       /* 2 l1 + 1, 2 l2 + 1, 2 l3 + 1 */
    int32_t num_strands, strands;            /* each: turned?, count, the fixed component, the others */
    int32_t couplings_out, coefficients_out; /* for each k: which sums, in the order of the strands */
    int32_t couplings_in, coefficients_in;   /* for each m and n: which k */
} path;

typedef struct {
    const path *paths;
    const int32_t *index;
    const void *coefficients;
    int64_t num_paths, most_pairs, num_receivers;
    int64_t x_width, y_width, w_width, g_width; /* numbers in a row */
    const int64_t *first, *sender;              /* the first edge of each receiver, and the end; senders of edges */
    const void *g, *x, *y, *w;
    const void *x2, *y2, *w2; /* all NULL, or tangents: then T is its derivative along them, g held */
    void *sum, *dx, *dy, *dw; /* ∂T/∂g, ∂T/∂x, … or NULL where not wanted; `sum` and `dx` are added to */
} problem;

/* Cubic splines: `functions` of them on `intervals` of length `spacing`, at `r`; see spline.h. */
typedef struct {
    const void *r, *coefficients, *a;
    double spacing;
    int64_t intervals, functions;
    int32_t order;       /* of the derivative */
    void *values, *dots; /* one or the other; `dots` are products with `a` */
} spline;

#define JOIN_(a, b, c) a##_##b##_##c
#define JOIN(a, b, c) JOIN_(a, b, c)
#define NAME(f) JOIN(f, REAL, ISA)

#define LOAD_SOME(from, channels)                                                                                  \
    ({                                                                                                             \
        vec some_ = {0};                                                                                           \
        for (int lane_ = 0; lane_ < (channels); lane_++) some_[lane_] = (from)[lane_];                             \
        some_;                                                                                                     \
    })
#define STORE_SOME(to, value, channels)                                                                            \
    for (int lane_ = 0; lane_ < (channels); lane_++) (to)[lane_] = (value)[lane_]

#define ISA plain
#define TARGET
#define REAL float
#define LANES 4
#include "product.h"
#include "spline.h"
#undef REAL
#undef LANES
#define REAL double
#define LANES 2
#include "product.h"
#include "spline.h"
#undef REAL
#undef LANES
#undef ISA
#undef TARGET

#ifdef __x86_64__
#define ISA avx2
#define TARGET __attribute__((target("avx2,fma")))
#define REAL float
#define LANES 8
#include "product.h"
#include "spline.h"
#undef REAL
#undef LANES
#define REAL double
#define LANES 4
#include "product.h"
#include "spline.h"
#undef REAL
#undef LANES
#undef ISA
#undef TARGET

#undef LOAD_SOME
#undef STORE_SOME
#define FIRST(channels) ((1u << (channels)) - 1)
#define ISA avx512
#define TARGET __attribute__((target("avx512f,avx512vl,avx512dq,fma")))
#define REAL float
#define LANES 16
#define LOAD_SOME(from, channels) ((vec)_mm512_maskz_loadu_ps(FIRST(channels), from))
#define STORE_SOME(to, value, channels) _mm512_mask_storeu_ps(to, FIRST(channels), (__m512)(value))
#include "product.h"
#include "spline.h"
#undef REAL
#undef LANES
#undef LOAD_SOME
#undef STORE_SOME
#define REAL double
#define LANES 8
#define LOAD_SOME(from, channels) ((vec)_mm512_maskz_loadu_pd(FIRST(channels), from))
#define STORE_SOME(to, value, channels) _mm512_mask_storeu_pd(to, FIRST(channels), (__m512d)(value))
#include "product.h"
#include "spline.h"
#undef REAL
#undef LANES
#undef ISA
#undef TARGET
#endif

typedef void (*task)(const problem *, int64_t, int64_t, void *);
typedef struct {
    const char *name;
    task sum[2], slopes[2]; /* of float, of double */
    void (*values[2])(const spline *, int64_t, int64_t);
    void (*dots[2])(const spline *, int64_t, int64_t);
} variant;

#define PAIR(f, isa) {f##_float_##isa, f##_double_##isa}
#define VARIANT(isa) {#isa, PAIR(sum, isa), PAIR(slopes, isa), PAIR(spline_values, isa), PAIR(spline_dots, isa)}

static const variant VARIANTS[] = {
    VARIANT(plain),
#ifdef __x86_64__
    VARIANT(avx2),
    VARIANT(avx512),
#endif
};

static const variant *best(void) {
#ifdef __x86_64__
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
        return &VARIANTS[2];
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return &VARIANTS[1];
#endif
    return &VARIANTS[0];
}

const char *subduce_instructions(void) { return best()->name; }

/* One share of the work: ∂T/∂g of a range of receivers, or the other derivatives for a range of senders.
   Returns 0, or 1 where there is no memory. */
int subduce_edge_product(const problem *p, int is_double, int sum, int64_t begin, int64_t end) {
    void *scratch = NULL;
    if (posix_memalign(&scratch, 64, 64 * (2 * p->most_pairs + AT_ONCE * p->y_width + 1))) return 1;
    const variant *v = best();
    (sum ? v->sum : v->slopes)[is_double](p, begin, end, scratch);
    free(scratch);
    return 0;
}

/* One share of the work on splines: the edges from `begin` to `end`, their values or their products with `a`. */
void subduce_spline(const spline *s, int is_double, int64_t begin, int64_t end) {
    const variant *v = best();
    (s->values ? v->values : v->dots)[is_double](s, begin, end);
}
