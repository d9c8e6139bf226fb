/* Drawing the rows of a resample, built once per instruction set; integers only, so every build
 * gives the same bits.
 *
 * Positions go by blocks of DRAW_BLOCK: word w of Philox at (key, counter DRAW_LANES * block +
 * lane, resample) is position DRAW_BLOCK * block + DRAW_LANES * w + lane, scaled to [0, n) by
 * multiplication (its bias is below n / 2^32). */
#ifndef PAWL_EVAL_SIMD_DRAW_H
#define PAWL_EVAL_SIMD_DRAW_H

#include <stdint.h>

enum { DRAW_LANES = 16, DRAW_BLOCK = 4 * DRAW_LANES };

/* Fills pick[0..n), which has room for n rounded up to DRAW_BLOCK. */
void draw_plain(int32_t *pick, int64_t n, uint64_t key, uint64_t resample);
void draw_avx2(int32_t *pick, int64_t n, uint64_t key, uint64_t resample);
void draw_avx512(int32_t *pick, int64_t n, uint64_t key, uint64_t resample);

#endif
