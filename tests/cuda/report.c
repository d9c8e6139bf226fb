/* Lines of checks, and the end of a program whose set-up fails (tests/cuda/criterion). */
#include "tests/cuda/report.h"

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static int failures;

void check_failed(const char *file, int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s:%d: ", file, line);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

void report(bool held, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    printf("%-7s", held ? "held" : "FAILED");
    vprintf(format, args);
    putchar('\n');
    va_end(args);
    failures += !held;
}

int report_failures(void)
{
    return failures;
}
