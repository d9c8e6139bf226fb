/* One line per check, for the programs of this folder. */
#ifndef PAWL_TESTS_CUDA_REPORT_H
#define PAWL_TESTS_CUDA_REPORT_H

#include <stdbool.h>

/* Prints "held" or "FAILED" and what. */
__attribute__((format(printf, 2, 3))) void report(bool held, const char *format, ...);

/* How many failed so far. */
int report_failures(void);

#endif
