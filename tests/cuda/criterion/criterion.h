/* The two checks of Criterion that the comparer and the case table use, for machines without it: a
 * failed one prints what and where, and ends the program with 1. */
#ifndef PAWL_TESTS_CUDA_CRITERION_H
#define PAWL_TESTS_CUDA_CRITERION_H

/* Prints the message with its place and exits. */
__attribute__((noreturn, format(printf, 3, 4))) void check_failed(const char *file, int line,
                                                                  const char *format, ...);

#define cr_assert_eq(a, b, ...)                                                                    \
    do {                                                                                           \
        if ((a) != (b)) check_failed(__FILE__, __LINE__, __VA_ARGS__);                             \
    } while (0)

#endif
