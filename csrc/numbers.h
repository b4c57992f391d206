/* The kernels for both types of number and one set of instructions. Given: ISA; TARGET, the attribute that asks for
   the instructions; REGISTER, the bytes of a register; LOAD_SOME and STORE_SOME, the first few numbers of one. */

#define LANES (REGISTER / (int)sizeof(REAL))

#define REAL float
#define INTEGER int32_t
#define BIAS 127
#define MANTISSA 23
#define SHORT 7e-16f
#include "variant.h"
#undef REAL
#undef INTEGER
#undef BIAS
#undef MANTISSA
#undef SHORT

#define REAL double
#define INTEGER int64_t
#define BIAS 1023
#define MANTISSA 52
#define SHORT 8e-124
#include "variant.h"
#undef REAL
#undef INTEGER
#undef BIAS
#undef MANTISSA
#undef SHORT

#undef LANES
#undef ISA
#undef TARGET
#undef REGISTER
