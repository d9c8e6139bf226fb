/* The keyed permutation (Feistel with cycle walking) and normal numbers over Philox. */
#include "base/rng.h"

#include "base/err.h"

#include <math.h>

enum { FEISTEL_ROUNDS = 6 };

static uint64_t feistel(uint64_t key, unsigned half_bits, uint64_t value)
{
    uint64_t mask = ((uint64_t)1 << half_bits) - 1;
    uint64_t left = value >> half_bits, right = value & mask;
    for (uint64_t round = 0; round < FEISTEL_ROUNDS; round++) {
        uint64_t next = left ^ (rng_mix(key + round, right) & mask);
        left = right;
        right = next;
    }
    return left << half_bits | right;
}

uint64_t rng_permute(uint64_t key, uint64_t size, uint64_t index)
{
    REQUIRE(index < size);
    unsigned half_bits = 1;
    while (half_bits < 32 && ((uint64_t)1 << (2 * half_bits)) < size) half_bits++;
    /* A walk of a permutation from inside the range returns to the range, at worst to its start. */
    do index = feistel(key, half_bits, index);
    while (index >= size);
    return index;
}

double rng_normal(uint64_t key, uint64_t counter)
{
    struct philox draw = philox4x32(key, counter, 0x6E6F726D);
    double u = ((double)draw.word[0] + 0.5) * 0x1p-32;
    double v = ((double)draw.word[1] + 0.5) * 0x1p-32;
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}
