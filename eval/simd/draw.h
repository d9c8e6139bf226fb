/* Random words, built once per instruction set; integers only, so every build gives the same bits.
 *
 * Words go by blocks of DRAW_BLOCK: word w of Philox at (key, counter + DRAW_LANES * block + lane,
 * resample) is number DRAW_BLOCK * block + DRAW_LANES * w + lane. */
#ifndef PAWL_EVAL_SIMD_DRAW_H
#define PAWL_EVAL_SIMD_DRAW_H

#include <stdint.h>

enum { DRAW_LANES = 16, DRAW_BLOCK = 4 * DRAW_LANES };

/* Fills words[0..count), which has room for count rounded up to DRAW_BLOCK. */
void draw_plain(uint32_t *words, int64_t count, uint64_t key, uint64_t counter, uint64_t resample);
void draw_avx2(uint32_t *words, int64_t count, uint64_t key, uint64_t counter, uint64_t resample);
void draw_avx512(uint32_t *words, int64_t count, uint64_t key, uint64_t counter, uint64_t resample);

#endif
