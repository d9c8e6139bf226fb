/* Dropout: Philox for a block of draws at a time, so that the rounds vectorise, then the mask. */
#include "kernels/cpu/simd/simd.h"
#include "kernels/scalar.h"

enum { DRAWS = 64 };

simd_dropout SIMD(simd_dropout_run);

void SIMD(simd_dropout_run)(float *y, const float *x, int64_t count, uint64_t key, int64_t ordinal,
                            int64_t block, float rate)
{
    uint32_t word0[DRAWS], word1[DRAWS], word2[DRAWS], word3[DRAWS];
    float factor = dropout_scale(rate);
    for (int64_t from = 0; from < count; from += 4 * DRAWS, block += DRAWS) {
#pragma omp simd
        for (int i = 0; i < DRAWS; i++) {
            struct philox words = draw_words(key, ordinal, block + i);
            word0[i] = words.word[0];
            word1[i] = words.word[1];
            word2[i] = words.word[2];
            word3[i] = words.word[3];
        }
        const uint32_t *words[] = { word0, word1, word2, word3 };
        int64_t to = from + 4 * DRAWS < count ? from + 4 * DRAWS : count;
        for (int64_t i = from; i < to; i++) {
            uint32_t word = words[(i - from) % 4][(i - from) / 4];
            y[i] = dropout_keeps(word, rate) ? x[i] * factor : 0;
        }
    }
}
