/* Counter-based random numbers: Philox 4x32-10, and the keyed permutation built on it.
 *
 * Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011). A
 * draw is a pure function of key and counter, so there is no state to save, and the number of
 * threads or ranks changes nothing. Common C/C++ subset: CUDA kernels include this file too. */
#ifndef PAWL_BASE_RNG_H
#define PAWL_BASE_RNG_H

#include <stdint.h>

#ifdef __CUDACC__
#define RNG_INLINE static inline __host__ __device__
#else
#define RNG_INLINE static inline
#endif

struct philox {
    uint32_t word[4];
};

/* Four random words for (key, counter). */
RNG_INLINE struct philox philox4x32(uint64_t key, uint64_t counter_low, uint64_t counter_high)
{
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    uint32_t c0 = (uint32_t)counter_low, c1 = (uint32_t)(counter_low >> 32);
    uint32_t c2 = (uint32_t)counter_high, c3 = (uint32_t)(counter_high >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    struct philox out;
    out.word[0] = c0;
    out.word[1] = c1;
    out.word[2] = c2;
    out.word[3] = c3;
    return out;
}

/* A 64-bit mix of two words (splitmix64 finaliser), to derive keys from seed and path hash. */
RNG_INLINE uint64_t rng_mix(uint64_t a, uint64_t b)
{
    uint64_t z = a + 0x9E3779B97F4A7C15u * (b + 1);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* Uniform in [0, 1) with 24 bits. */
RNG_INLINE float rng_uniform(uint32_t word)
{
    return (float)(word >> 8) * 0x1p-24f;
}

/* FNV-1a 64 of a string: the hash of a layer's path that goes into keys. */
RNG_INLINE uint64_t rng_hash(const char *text)
{
    uint64_t hash = 0xCBF29CE484222325u;
    for (; *text; text++) hash = (hash ^ (unsigned char)*text) * 0x100000001B3u;
    return hash;
}

/* The image of `index` under a keyed permutation of [0, size): a balanced Feistel network over the
 * next power of four with cycle walking. O(1), no table. */
uint64_t rng_permute(uint64_t key, uint64_t size, uint64_t index);

/* The images of first, first + 1, ... first + count - 1: the same numbers, several at a time. */
void rng_permute_range(uint64_t key, uint64_t size, uint64_t first, uint64_t count, int64_t *image);

/* Standard normal number for (key, counter): Box-Muller on two Philox words, in f64. */
double rng_normal(uint64_t key, uint64_t counter);

#endif
