/* Philox 4x32-10 (base/rng.h) on DRAW_LANES counters at once, as a loop that the compiler turns
 * into vectors. tests/eval/stats.c compares every build with philox4x32. */
#include "eval/simd/draw.h"

#define DRAW_PASTE_(suffix) draw_##suffix
#define DRAW_PASTE(suffix)  DRAW_PASTE_(suffix)

#define ROUND                                                                                      \
    do {                                                                                           \
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;                 \
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;         \
        c1 = (uint32_t)p1, c3 = (uint32_t)p0, c0 = n0, c2 = n2;                                    \
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;                                                      \
    } while (0)

void DRAW_PASTE(SIMD_NAME)(uint32_t *words, int64_t count, uint64_t key, uint64_t first,
                           uint64_t resample)
{
    for (int64_t at = 0; at < count; at += DRAW_BLOCK) {
        uint32_t *out = words + at;
        for (int i = 0; i < DRAW_LANES; i++) {
            uint64_t counter = first + (uint64_t)at / 4 + (uint64_t)i;
            uint32_t c0 = (uint32_t)counter, c1 = (uint32_t)(counter >> 32);
            uint32_t c2 = (uint32_t)resample, c3 = (uint32_t)(resample >> 32);
            uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
            ROUND;
            ROUND;
            ROUND;
            ROUND;
            ROUND;
            ROUND;
            ROUND;
            ROUND;
            ROUND;
            ROUND;
            out[i] = c0;
            out[DRAW_LANES + i] = c1;
            out[2 * DRAW_LANES + i] = c2;
            out[3 * DRAW_LANES + i] = c3;
        }
    }
}
