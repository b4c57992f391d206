/* The kernels for CPUs, in plain C: this knows neither Python nor torch.

   A path (l1, l2, l3) of the product and an edge e give w x[m] y[n] for each pair of components that couple; the
   coupling itself acts on sums over the edges of a receiver, of which there are ten to fifty times fewer:

       ∂T/∂g_i[k] = Σ_mn C[m,n,k] Σ_e w x[m] y[n]        G_i[m,n] = Σ_k C[m,n,k] g_i[k]
       ∂T/∂x[m]   = w Σ_n y[n] G[m,n]      ∂T/∂w = Σ_mn x[m] y[n] G[m,n]      ∂T/∂y[n] = Σ_m w x[m] G[m,n]

   Couplings come as tables (see _tables.py), so this code holds no degree and no number of channels. It is compiled
   for several sets of instructions; which one runs is decided when the library is first called.

   Besides the product and splines, which torch's operators call one at a time, there are programs: a whole potential,
   from positions to energies and forces, as steps that several threads go through side by side (see _program.py). */

#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

enum {
    LONGEST = 9,         /* sums that a strand holds in registers at most */
    AT_ONCE = 32,        /* edges for which what a path reads stays in the nearest caches */
    TOGETHER = 32,       /* atoms that go through several steps together */
    MOST_ROWS = 6,       /* of a linear map whose sums stay in registers */
    MOST_HARMONICS = 25, /* numbers of an edge: degrees up to 4 */
};

enum { ANY, DIAGONAL, OFF_DIAGONAL }; /* pairs (m, n) that couple: of diagonal ones, m = n */

/* Where the numbers of a path lie in the rows of each tensor, and where its tables lie in `index`. */
typedef struct {
    int32_t x, y, w, g;                      /* first number in a row */
    int32_t channels, g_stride;              /* from one component to the next: in x, in g */
    int32_t dim_in, dim_edge, dim_out;       /* 2 l1 + 1, 2 l2 + 1, 2 l3 + 1 */
    int32_t num_strands, strands;            /* each: turned?, count, the fixed component, the others */
    int32_t couplings_out, coefficients_out; /* for each k: which sums, in the order of the strands */
    int32_t couplings_in, coefficients_in;   /* pairs of m and n with a k each */
    int32_t num_couplings, pattern;
} path;

/* Cubic splines: `functions` of them on `intervals` of length `spacing`, at `r`; see spline.h. */
typedef struct {
    const void *r, *coefficients, *a;
    double spacing;
    int64_t intervals, functions;
    int32_t order;       /* of the derivative */
    void *values, *dots; /* one or the other; `dots` are products with `a` */
    void *sums;          /* or this: for each coefficient, the sum over lengths of what `a` multiplies it with */
    int64_t lengths;
} spline;

/* An edge product. Without a table, `dy` and `dw` are set; `sum` and `dx` are added to. With one, w is its splines at
   the lengths `r`, made for a few edges at a time, `dr` stands in the place of `dw`, and it and `dy` are added to. */
typedef struct {
    const path *paths;
    const int32_t *index;
    const void *coefficients;
    int64_t num_paths, most_pairs, num_receivers;
    int64_t x_width, y_width, w_width, g_width; /* numbers in a row */
    const int64_t *first, *last, *sender;       /* the edges of each receiver, from first to before last; senders */
    const void *g, *x, *y, *w;
    const void *x2, *y2, *w2; /* all NULL, or tangents: then T is its derivative along them, g held */
    void *sum, *dx, *dy, *dw; /* ∂T/∂g, ∂T/∂x, … or NULL where not wanted */
    const int64_t *row; /* of each edge in w and w2, where edges share rows, or NULL; in dw each has its own */
    int64_t in_order;   /* whether edges that follow one another have rows that do so */
    const spline *table;
    const void *r;
    void *dr;
} problem;

/* Weights of the edges at hand and their derivatives: in which rows they stand. */
typedef struct {
    const void *w;
    void *dw;
    const int64_t *from, *to;
} rows;

/* Linear maps: blocks of the result are blocks of x times matrices. */
typedef struct {
    int32_t from, to, components, channels_in, channels_out, add; /* added to what is there, or set */
    int64_t weights, width;                                       /* where the matrix begins, and from row to row */
} block;

typedef struct {
    const block *blocks;
    int64_t num_blocks, x_width, out_width, species_width; /* numbers in a row, and in the matrices of a species */
    const int64_t *species;                                /* NULL where all have the same matrices */
    const void *weights, *x;                               /* weights are written where the outer products are wanted */
    void *out;
    const int64_t *order, *first; /* for these: rows in the order of their species, and the first of each species */
    int64_t num_species;
} linear;

enum { IDENTITY, SILU, SIGMOID, TANH }; /* functions of a gate */

/* Gates: channels from `from` times a function of those from `gate`; without components, that function alone. */
typedef struct {
    int32_t from, gate, to, components, channels, function;
    double scale;
} gate_block;

/* A function of rows x and what else it reads, T the sum of its results times numbers g, and one of three: the results,
   in `out`; with `dx`, of g in `out` the derivatives of T; or with `along` too, those of their product with what stands
   in `along`: by x in `dx`, by g in `change`. */
typedef struct {
    const gate_block *blocks;
    int64_t num_blocks, x_width, out_width;
    const void *x;
    void *out, *dx;
    const void *along;
    void *change;
} gate;

/* Norms: a block's mean of squares, or with `joint` that of all, has `share` of each square. */
typedef struct {
    int32_t from, components, channels, weights, bias, reserved; /* without bias, and not centred: −1 */
    double share;
} norm_block;

/* Derivatives by scales and biases, where wanted, are added in `dw` and `db`, in a row for `together` rows of x. */
typedef struct {
    const norm_block *blocks;
    int64_t num_blocks, width, num_weights, num_biases, joint;
    double eps;
    const void *x, *weights, *bias;
    void *out, *dx;
    const void *along, *weights_along, *bias_along;
    void *change, *dw, *db;
    int64_t together;
} norm;

typedef struct {
    const int64_t *species;
    const void *rows;
    void *out;
    int64_t width;
} embed;

/* Energies of atoms: shift and scale of their species with one number each; its derivatives in `slopes`, if any. */
typedef struct {
    const int64_t *species;
    const double *shifts, *scales;
    const void *output;
    double *energies;
    void *slopes;
} energies;

/* A component of the harmonics is a sum of lower ones times components of the unit vector. */
typedef struct {
    int32_t from, to, axis, reserved;
    double factor;
} term;

/* Harmonics of vectors, whatever their lengths; of what `g` gives by the harmonics, the derivatives by the vectors; or,
   with `along` too, how these and the harmonics change along those vectors. See geometry.h. */
typedef struct {
    const term *terms;
    int64_t num_terms, width;
    const void *vectors, *g, *along;
    void *y, *dv; /* harmonics or their changes; derivatives or theirs */
} harmonics;

/* Pairs of atoms by receiver, of which those within the cutoff become edges; see geometry.h. */
typedef struct {
    const int64_t *first, *other;            /* pairs of each receiver, and the other atom of each */
    const int64_t *leaving_first, *leaving;  /* pairs of each sender */
    const double *positions, *translations;  /* of atoms; of pairs */
    double cutoff;
    const term *terms;
    int64_t num_terms, y_width;
    int64_t *last, *sender, *pair;           /* of edges: the end for each receiver; and of each, sender and pair */
    double *vectors, *pulls;                 /* of edges; of pairs: derivatives of the energy by the vector */
    void *u, *r, *y, *dy, *dr;               /* of edges: unit vector, length, harmonics; derivatives */
    double *forces, *virials;                /* of atoms */
} geometry;

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
#define REGISTER 16
#include "numbers.h"

#ifdef __x86_64__
#define ISA avx2
#define TARGET __attribute__((target("avx2,fma")))
#define REGISTER 32
#include "numbers.h"

#undef LOAD_SOME
#undef STORE_SOME
#define FIRST(channels) ((1u << (channels)) - 1)
#define LOAD_SOME(from, channels)                                                                                  \
    (sizeof(*(from)) == 4 ? (vec)_mm512_maskz_loadu_ps(FIRST(channels), from)                                      \
                          : (vec)_mm512_maskz_loadu_pd(FIRST(channels), from))
#define STORE_SOME(to, value, channels)                                                                            \
    if (sizeof(*(to)) == 4) _mm512_mask_storeu_ps(to, FIRST(channels), (__m512)(value));                           \
    else _mm512_mask_storeu_pd(to, FIRST(channels), (__m512d)(value))
#define ISA avx512
#define TARGET __attribute__((target("avx512f,avx512vl,avx512dq,fma")))
#define REGISTER 64
#include "numbers.h"
#endif

typedef struct {
    const char *name;
    void (*sum[2])(const problem *, int64_t, int64_t, void *); /* of float, of double */
    void (*slopes[2])(const problem *, int64_t, int64_t, void *);
    void (*values[2])(const spline *, int64_t, int64_t);
    void (*dots[2])(const spline *, int64_t, int64_t);
    void (*sums[2])(const spline *, int64_t, int64_t);
    void (*linear[2])(const linear *, int64_t, int64_t);
    void (*outer[2])(const linear *, int64_t, int64_t);
    void (*gate[2])(const gate *, int64_t, int64_t);
    void (*norm[2])(const norm *, int64_t, int64_t);
    void (*embed[2])(const embed *, int64_t, int64_t);
    void (*energies[2])(const energies *, int64_t, int64_t);
    void (*harmonics[2])(const harmonics *, int64_t, int64_t);
    void (*edges[2])(const geometry *, int64_t, int64_t);
    void (*pulls[2])(const geometry *, int64_t, int64_t);
    void (*forces[2])(const geometry *, int64_t, int64_t);
} variant;

#define PAIR(f, isa) {f##_float_##isa, f##_double_##isa}
#define VARIANT(isa)                                                                                               \
    {#isa,           PAIR(sum, isa),   PAIR(slopes, isa),   PAIR(spline_values, isa), PAIR(spline_dots, isa), PAIR(spline_sums, isa),      \
     PAIR(linear, isa), PAIR(outer, isa), PAIR(gate, isa), PAIR(norm, isa), PAIR(embed, isa), PAIR(energies, isa), PAIR(harmonics, isa), PAIR(edges, isa), PAIR(pulls, isa), \
     PAIR(forces, isa)}

static const variant VARIANTS[] = {
    VARIANT(plain),
#ifdef __x86_64__
    VARIANT(avx2),
    VARIANT(avx512),
#endif
};

enum { NUM_VARIANTS = sizeof(VARIANTS) / sizeof(VARIANTS[0]) };

/* How many of the variants this CPU has the instructions for: each needs those before it. */
static int num_supported(void) {
#ifdef __x86_64__
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return 1;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512dq"))
        return 2;
#endif
    return NUM_VARIANTS;
}

/* What was asked for, or NULL. */
static _Atomic(const variant *) wanted;

static const variant *best(void) {
    const variant *asked = atomic_load(&wanted);
    return asked ? asked : &VARIANTS[num_supported() - 1];
}

const char *subduce_instructions(void) { return best()->name; }

/* The instructions that this CPU has, from the plainest on; NULL after the last. */
const char *subduce_supported(int which) {
    return which >= 0 && which < num_supported() ? VARIANTS[which].name : NULL;
}

/* Have all further calls use these instructions, or, for NULL, the best. Returns whether this CPU has them. */
int subduce_use(const char *name) {
    const variant *found = NULL;
    for (int i = 0; i < num_supported() && name; i++)
        if (!strcmp(VARIANTS[i].name, name)) found = &VARIANTS[i];
    if (name && !found) return 0;
    atomic_store(&wanted, found);
    return 1;
}

/* Bytes that an edge product needs to work in. */
static size_t scratch_bytes(const problem *p) {
    return 64 * (size_t)(2 * p->most_pairs + AT_ONCE * p->y_width + 1) +
           (p->table ? 2 * sizeof(double) * (size_t)(AT_ONCE * p->w_width) : 0);
}

static void *aligned(size_t bytes) {
    void *found = NULL;
    return posix_memalign(&found, 64, bytes) ? NULL : found;
}

/* One share of the work: ∂T/∂g of a range of receivers, or the other derivatives for a range of senders.
   Returns 0, or 1 where there is no memory. */
int subduce_edge_product(const problem *p, int is_double, int sum, int64_t begin, int64_t end) {
    void *scratch = aligned(scratch_bytes(p));
    if (!scratch) return 1;
    const variant *v = best();
    (sum ? v->sum : v->slopes)[is_double](p, begin, end, scratch);
    free(scratch);
    return 0;
}

/* One share of the work on splines: the lengths from `begin` to `end`, their values or their products with `a`; or, for
   the sums, the functions from `begin` to `end`. */
void subduce_spline(const spline *s, int is_double, int64_t begin, int64_t end) {
    const variant *v = best();
    (s->sums ? v->sums : s->values ? v->values : v->dots)[is_double](s, begin, end);
}

/* One share of a linear map: its rows from `begin` to `end`, or, where `outer`, the derivatives by its matrices, block
   by block. */
void subduce_linear(const linear *p, int is_double, int outer, int64_t begin, int64_t end) {
    const variant *v = best();
    (outer ? v->outer : v->linear)[is_double](p, begin, end);
}

/* One share of harmonics: the vectors from `begin` to `end`. */
void subduce_harmonics(const harmonics *p, int is_double, int64_t begin, int64_t end) {
    best()->harmonics[is_double](p, begin, end);
}

/* One share of a gate or of a norm: its rows from `begin` to `end`. */
void subduce_gate(const gate *p, int is_double, int64_t begin, int64_t end) { best()->gate[is_double](p, begin, end); }

void subduce_norm(const norm *p, int is_double, int64_t begin, int64_t end) { best()->norm[is_double](p, begin, end); }

/* The steps of a program: what each does, and to whose rows. */
enum { EDGES, EMBED, LINEAR, SUM, GATE, NORM, ENERGIES, SLOPES, PULLS, FORCES };

typedef struct {
    int64_t kind;
    const void *task;
} step;

/* Where threads meet after each step: whoever comes last lets the others go on. */
typedef struct {
    _Atomic int64_t waiting, round;
} meeting;

static void meet(meeting *at, int64_t threads) {
    if (threads == 1) return;
    const int64_t round = atomic_load(&at->round);
    if (atomic_fetch_add(&at->waiting, 1) + 1 == threads) {
        atomic_store(&at->waiting, 0);
        atomic_fetch_add(&at->round, 1);
        return;
    }
    for (int spins = 0; atomic_load(&at->round) == round; spins++)
        if (spins > 2000) sched_yield();
}

/* What a step writes of the rows from `begin` to `end`, and, for SLOPES, of all that these atoms send. */
static void take(const variant *v, const step *s, int is_double, int64_t begin, int64_t end, void *scratch) {
    const size_t size = is_double ? sizeof(double) : sizeof(float);
    const problem *p = s->task;
    switch (s->kind) {
    case EDGES: v->edges[is_double](s->task, begin, end); break;
    case EMBED: v->embed[is_double](s->task, begin, end); break;
    case LINEAR: v->linear[is_double](s->task, begin, end); break;
    case SUM:
        memset((char *)p->sum + begin * p->g_width * size, 0, (end - begin) * p->g_width * size);
        v->sum[is_double](p, begin, end, scratch);
        break;
    case GATE: v->gate[is_double](s->task, begin, end); break;
    case NORM: v->norm[is_double](s->task, begin, end); break;
    case ENERGIES: v->energies[is_double](s->task, begin, end); break;
    case SLOPES:
        if (p->dx) memset((char *)p->dx + begin * p->x_width * size, 0, (end - begin) * p->x_width * size);
        v->slopes[is_double](p, begin, end, scratch);
        break;
    case PULLS: v->pulls[is_double](s->task, begin, end); break;
    case FORCES: v->forces[is_double](s->task, begin, end); break;
    }
}

/* Whether a step reads what other threads have written. */
static int reads_others(const step *s) {
    return s->kind == SUM || s->kind == SLOPES || s->kind == PULLS || s->kind == FORCES;
}

/* One thread's part in a program: the atoms from `begin` to `end`. Steps that read nothing of other atoms than what was
   there when the threads last met follow one another for a few atoms at a time, whose numbers stay in the cache.
   Returns 0, or 1 where there is no memory, which all threads learn before they begin. */
int subduce_run(const step *steps, int64_t num_steps, int is_double, meeting *at, int64_t begin, int64_t end,
                int64_t threads, _Atomic int64_t *failed) {
    const variant *v = best();
    size_t bytes = 64;
    for (const step *s = steps; s < steps + num_steps; s++)
        if (s->kind == SUM || s->kind == SLOPES) {
            const size_t needed = scratch_bytes(s->task);
            bytes = needed > bytes ? needed : bytes;
        }
    void *scratch = aligned(bytes);
    if (!scratch) atomic_store(failed, 1);
    meet(at, threads);
    const int stop = atomic_load(failed) != 0;
    for (const step *s = steps, *next; s < steps + num_steps && !stop; s = next) {
        if (reads_others(s)) meet(at, threads);
        const step *together = s;
        if (s->kind == SLOPES) take(v, together++, is_double, begin, end, scratch);
        for (next = s + 1; next < steps + num_steps && !reads_others(next); next++);
        for (int64_t row = begin; row < end; row += TOGETHER)
            for (const step *one = together; one < next; one++)
                take(v, one, is_double, row, row + TOGETHER < end ? row + TOGETHER : end, scratch);
    }
    free(scratch);
    return stop;
}
