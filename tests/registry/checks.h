/* Checks on a `struct support s`, and the registries that several files of tests begin with. */
#ifndef PAWL_TESTS_REGISTRY_CHECKS_H
#define PAWL_TESTS_REGISTRY_CHECKS_H

#include "tests/registry/shared_support.h"

#include <criterion/criterion.h>
#include <string.h>

#define MUST(call)  cr_assert_eq((call), OK, "%s", s.err.message)
#define SAYS(text)  cr_expect(strstr(s.err.message, (text)), "'%s' in '%s'", (text), s.err.message)
#define HINTS(text) cr_expect(strstr(s.err.hint, (text)), "'%s' in '%s'", (text), s.err.hint)

/* An open, empty registry; fsync does nothing. */
static inline void begin(struct support *support)
{
    fs_calls.fsync = support_no_fsync;
    cr_assert_eq(support_open(support), OK, "%s", support->err.message);
}

/* Versions 1..count of fashion, each with a passing report. */
static inline void fill(struct support *support, int count)
{
    struct added added;
    for (int i = 1; i <= count; i++) {
        cr_assert_eq(
            support_add(&support->registry, &added, support->dir, "fashion", i, &support->err), OK,
            "%s", support->err.message);
        cr_assert_eq(support_report(&support->registry, NULL, support->dir, "fashion", i, "suite",
                                    "pass", &support->err),
                     OK, "%s", support->err.message);
    }
}

#endif
