/* The checks of Criterion that shared test code uses, for machines without it: a failed one prints
 * what and where, and ends the program with 1. */
#ifndef PAWL_TESTS_CUDA_CRITERION_H
#define PAWL_TESTS_CUDA_CRITERION_H

/* Prints the message with its place and exits. */
__attribute__((noreturn, format(printf, 3, 4))) void check_failed(const char *file, int line,
                                                                  const char *format, ...);

#define cr_assert_eq(a, b, ...)                                                                    \
    do {                                                                                           \
        if ((a) != (b)) check_failed(__FILE__, __LINE__, __VA_ARGS__);                             \
    } while (0)

#define cr_expect_eq(a, b, ...)                                                                    \
    do {                                                                                           \
        if ((a) != (b)) check_failed(__FILE__, __LINE__, "%s", #a);                                \
    } while (0)

#define cr_assert(...)                                                                             \
    do {                                                                                           \
        if (!(__VA_ARGS__)) check_failed(__FILE__, __LINE__, "%s", #__VA_ARGS__);                  \
    } while (0)

#endif
