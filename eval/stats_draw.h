/* Drawing resamples: how often each unit was drawn (internal to eval/).
 *
 * A bootstrap resample of n units is a multinomial vector. It is drawn in two exact steps: how many
 * of the n draws fall into each block of units (conditional binomials), then the draws within a
 * block, whose units lie in the first-level cache and whose index needs ten bits, so that one
 * random word serves three draws. Every number is a function of (key, resample) alone. */
#ifndef PAWL_EVAL_STATS_DRAW_H
#define PAWL_EVAL_STATS_DRAW_H

#include <stdint.h>

/* Words one after another from Philox at (key, 0, resample), (key, 1, resample), ... */
struct words {
    uint64_t key, resample, counter;
    uint32_t word[4];
    int left;
};
struct words words_of(uint64_t key, uint64_t resample);
/* Uniform in (0, 1), by 32 bits. */
double words_uniform(struct words *words);

/* A binomial (n, p) number, exact up to the rounding of f64: inversion for small means, otherwise
 * Hormann's transformed rejection (algorithm BTRS, J. Statist. Comput. Simul. 46, 1993). */
int64_t words_binomial(struct words *words, int64_t n, double p);

/* A multinomial vector: `count[i]` of `draws` draws for each i, whose chances are in the ratio of
 * `share` (whole numbers, not all 0). */
void words_multinomial(struct words *words, int64_t *count, const int64_t *share, int64_t kinds,
                       int64_t draws);

enum { UNIT_BLOCK = 1024 };

/* Random words in bulk by the widest instruction set there is. */
typedef void draw_words(uint32_t *words, int64_t count, uint64_t key, uint64_t counter,
                        uint64_t resample);
draw_words *draw_best(void);

/* The units of one resample, block by block. `room` is this thread's. */
enum { DRAWN_AT_ONCE = 3 * 1024 };
struct drawer {
    draw_words *draw;
    uint64_t key;
    int64_t units;
};
typedef void drawn_units(void *context, int64_t first, const uint16_t *index, int64_t count);
/* Calls `visit` with parts of the draws: units first + index[0..count). */
void drawer_run(const struct drawer *drawer, uint64_t resample, drawn_units *visit, void *context);

#endif
