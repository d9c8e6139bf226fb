/* The table of this build. */
#include "kernels/cpu/simd/simd.h"
#include "kernels/cpu/simd/vector.h"

#define NAME_TEXT_(name) #name
#define NAME_TEXT(name)  NAME_TEXT_(name)

extern const struct simd_elementwise SIMD(simd_elementwise);
extern const struct simd_reduce SIMD(simd_reduce);
extern const struct simd_norm SIMD(simd_norm);
extern const struct simd_row SIMD(simd_row);
extern const struct simd_pool SIMD(simd_pool);
extern const struct simd_conv SIMD(simd_conv);
extern const struct simd_optimizer SIMD(simd_optimizer);
simd_dropout SIMD(simd_dropout_run);

const struct simd SIMD(simd) = {
    .name = NAME_TEXT(SIMD_NAME),
    .width = VECTOR_FLOATS,
    .map = &SIMD(simd_elementwise),
    .reduce = &SIMD(simd_reduce),
    .norm = &SIMD(simd_norm),
    .row = &SIMD(simd_row),
    .pool = &SIMD(simd_pool),
    .dropout = SIMD(simd_dropout_run),
    .conv = &SIMD(simd_conv),
    .optimizer = &SIMD(simd_optimizer),
};
