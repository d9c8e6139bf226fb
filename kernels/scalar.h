/* Scalar rules that every device must share bit for bit: which random draw belongs to which
 * element.
 *
 * A draw is Philox 4x32-10 with
 *     key          = rng_mix(rng_mix(seed, path), step)
 *     counter low  = ordinal of the sample in its split
 *     counter high = block of four elements within the sample (element / 4)
 * and element e takes word e % 4. `path` is rng_hash of the layer's path; two random nodes never
 * share one. Augmentations use block 0 alone. Node numbers, local rows, ranks and threads do not
 * enter, so fusion, recompute and the number of ranks change nothing.
 *
 * Common C/C++ subset: CUDA kernels include this file too. */
#ifndef PAWL_KERNELS_SCALAR_H
#define PAWL_KERNELS_SCALAR_H

#include "base/rng.h"

/* The key of one node in one optimizer step. */
RNG_INLINE uint64_t draw_key(uint64_t seed, uint64_t path, int64_t step)
{
    return rng_mix(rng_mix(seed, path), (uint64_t)step);
}

/* The four words of elements 4 * block .. 4 * block + 3 of one sample. */
RNG_INLINE struct philox draw_words(uint64_t key, int64_t ordinal, int64_t block)
{
    return philox4x32(key, (uint64_t)ordinal, (uint64_t)block);
}

/* Dropout: whether the element of this word stays. Exact: 24 random bits against the rate. */
RNG_INLINE int dropout_keeps(uint32_t word, float rate)
{
    return rng_uniform(word) >= rate;
}

/* Factor on what dropout keeps. */
RNG_INLINE float dropout_scale(float rate)
{
    return rate < 1 ? 1 / (1 - rate) : 0;
}

/* Flip: whether the sample is mirrored (word 0 of block 0). */
RNG_INLINE int flip_mirrors(struct philox words, float probability)
{
    return rng_uniform(words.word[0]) < probability;
}

/* Padded crop: rows (axis 0, word 0) or columns (axis 1, word 1) to shift by, in [-pad, pad].
 * Multiply and shift instead of a remainder: the bias is below 2^-25 for any sensible padding. */
RNG_INLINE int crop_shift(struct philox words, int axis, int pad)
{
    uint64_t choices = 2 * (uint64_t)pad + 1;
    return (int)((words.word[axis] * choices) >> 32) - pad;
}

#endif
