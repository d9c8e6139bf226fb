/* Drills of the registry: crash states and races, each with its figures. */
#ifndef PAWL_TESTS_REGISTRY_DRILL_H
#define PAWL_TESTS_REGISTRY_DRILL_H

#include "tests/registry/shared_support.h"

/* Every operation is recorded and stopped after each `step`-th of its calls, `variants` times; each
 * state is verified and compared with what was acknowledged. Prints a line per operation; the
 * number of states that are wrong is returned. `work` is an empty folder. With `forgetful` the
 * record has no fsync, and there must be states that are wrong. */
int drill_crashes(const char *work, int variants, int step, uint64_t seed, bool forgetful);

/* Every `step`-th bit and length of each small document, and `flips` random bits of a large one:
 * verify must notice each. Then the last k entries removed, for every k. Returns what was not. */
int drill_damage(const char *work, int step, int flips, uint64_t seed);

/* `races` races of 2 to 64 promoters for one channel, one of them slow between its check and its
 * entry; exactly one must win each, and the history must say so. Returns what is wrong. */
int drill_races(const char *work, int races, uint64_t seed);

#endif
