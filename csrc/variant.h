/* All kernels for one type of number and one set of instructions: included by numbers.h once for each.

   Given: REAL, and INTEGER of its size, with the bias of its exponent and the bits of its mantissa; LANES, how many
   numbers a register holds; and what numbers.h is given. NAME(f) is the name of f in this variant. */

typedef REAL NAME(vec) __attribute__((vector_size(LANES * sizeof(REAL)), aligned(sizeof(REAL)), may_alias));
#define vec NAME(vec)
#ifdef SUBDUCE_COMPILE_SOON /* for sanitizers, whose checks in every copy take minutes to compile: one copy of each */
#define INLINE static inline TARGET
#else
#define INLINE static inline __attribute__((always_inline)) TARGET
#endif
#define EACH(b) for (int b = 0; b < registers; b++)

INLINE vec NAME(load)(const REAL *from, int channels) {
    return channels >= LANES ? *(const vec *)from : LOAD_SOME(from, channels);
}

INLINE void NAME(store)(REAL *to, vec value, int channels) {
    if (channels >= LANES) *(vec *)to = value;
    else STORE_SOME(to, value, channels);
}

#include "spline.h"
#include "product.h"
#include "layers.h"
#include "geometry.h"

#undef vec
#undef INLINE
#undef EACH
#undef BLOCKS
#undef SOON
