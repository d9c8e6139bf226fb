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

/* Half the bits of the smallest power of four that holds the range. */
static unsigned half_bits_of(uint64_t size)
{
    unsigned half_bits = 1;
    while (half_bits < 32 && ((uint64_t)1 << (2 * half_bits)) < size) half_bits++;
    return half_bits;
}

/* Four values through one network: their multiplications overlap, which one value's cannot. */
static void feistel4(uint64_t key, unsigned half_bits, uint64_t value[4])
{
    uint64_t mask = ((uint64_t)1 << half_bits) - 1, left[4], right[4];
    for (int i = 0; i < 4; i++) {
        left[i] = value[i] >> half_bits;
        right[i] = value[i] & mask;
    }
    for (uint64_t round = 0; round < FEISTEL_ROUNDS; round++) {
        for (int i = 0; i < 4; i++) {
            uint64_t next = left[i] ^ (rng_mix(key + round, right[i]) & mask);
            left[i] = right[i];
            right[i] = next;
        }
    }
    for (int i = 0; i < 4; i++) value[i] = left[i] << half_bits | right[i];
}

void rng_permute_range(uint64_t key, uint64_t size, uint64_t first, uint64_t count, int64_t *image)
{
    REQUIRE(count <= size && first <= size - count);
    unsigned half_bits = half_bits_of(size);
    for (uint64_t at = 0; at < count; at += 4) {
        uint64_t value[4], part = count - at < 4 ? count - at : 4;
        for (uint64_t i = 0; i < 4; i++) value[i] = first + at + (i < part ? i : 0);
        feistel4(key, half_bits, value);
        for (uint64_t i = 0; i < part; i++) {
            while (value[i] >= size) value[i] = feistel(key, half_bits, value[i]);
            image[at + i] = (int64_t)value[i];
        }
    }
}

uint64_t rng_permute(uint64_t key, uint64_t size, uint64_t index)
{
    REQUIRE(index < size);
    unsigned half_bits = half_bits_of(size);
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
