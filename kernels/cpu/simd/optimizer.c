/* Optimizer updates: one pass over parameter, gradient and state. Memory-bound, so every value is
 * read and written once. */
#include "kernels/cpu/simd/simd.h"

static inline float clipped(float g, float limit)
{
    float low = g < -limit ? -limit : g;
    return low > limit ? limit : low;
}

