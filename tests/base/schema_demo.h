/* Two small kinds for the tests of the schema engine: `demo` uses every type of row, a choice that
 * contains itself and every effect; `bar` refuses the environment. */
#ifndef PAWL_TESTS_SCHEMA_DEMO_H
#define PAWL_TESTS_SCHEMA_DEMO_H

#include "base/schema.h"

extern const struct kind demo_kind, bar_kind;

/* demo, bar and part, NULL-terminated. */
extern const struct kind *const demo_kinds[];

#endif
