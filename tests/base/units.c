/* Numbers as people write them: what is read, and what is refused with which reason. */
#include "base/units.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static const struct {
    const char *text;
    bool fine;
    int64_t value;
    const char *reason; /* part of it */
} whole[] = {
    { "5", true, 5, NULL },
    { "-3", true, -3, NULL },
    { "3_000", true, 3000, NULL },
    { "10k", true, 10000, NULL },
    { "1.5M", true, 1500000, NULL },
    { "1e6", true, 1000000, NULL },
    { "2.50e1", true, 25, NULL },
    { "0", true, 0, NULL },
    { "0x1F", true, 31, NULL },
    { "0o17", true, 15, NULL },
    { "9007199254740993", true, 9007199254740993, NULL },
    { "9223372036854775807", true, INT64_MAX, NULL },
    { "9223372036854775808", false, 0, "too large" },
    { "1e19", false, 0, "too large" },
    { "10T", true, 10000000000000, NULL },
    { "99999999T", false, 0, "too large" },
    { "0.5", false, 0, "not whole" },
    { "1e-4", false, 0, "not whole" },
    { "010", false, 0, "leading zeros" },
    { "3__000", false, 0, "'_'" },
    { "3_", false, 0, "'_'" },
    { "_3", false, 0, NULL },
    { "5ep", false, 0, "k, M, G and T" },
    { "five", false, 0, NULL },
    { "", false, 0, NULL },
    { " 5", false, 0, NULL },
    { "5 ", false, 0, "k, M, G and T" },
    { "0x", false, 0, NULL },
    { "1:30", false, 0, "k, M, G and T" },
};

Test(units, whole_numbers)
{
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) {
        int64_t value = 0;
        const char *reason, *wanted = whole[i].reason;
        bool fine = units_int(&value, whole[i].text, &reason);
        cr_expect_eq(fine, whole[i].fine, "'%s'", whole[i].text);
        if (fine)
            cr_expect_eq(value, whole[i].value, "'%s' gives %ld", whole[i].text, (long)value);
        else
            cr_expect(wanted ? reason && strstr(reason, wanted) : !reason, "'%s': %s",
                      whole[i].text, reason ? reason : "no reason");
    }
}

static const struct {
    const char *text;
    bool infinite, fine;
    double value;
} reals[] = {
    { "1e-4", false, true, 1e-4 },      { "0.05", false, true, 0.05 },
    { "3_000.5", false, true, 3000.5 }, { ".5", false, true, 0.5 },
    { "5.", false, true, 5 },           { "-1.5e3", false, true, -1500 },
    { "1E+2", false, true, 100 },       { "10k", false, true, 1e4 },
    { "0.1", false, true, 0.1 },        { "inf", true, true, INFINITY },
    { ".inf", true, true, INFINITY },   { "-.Inf", true, true, -INFINITY },
    { ".inf", false, false, 0 },        { ".nan", true, false, 0 },
    { "nan", true, false, 0 },          { "1e999", true, false, 0 },
    { "yes", false, false, 0 },         { ".", false, false, 0 },
    { "1e", false, false, 0 },          { "0x10", false, false, 0 },
    { "1,5", false, false, 0 },         { "--1", false, false, 0 },
};

Test(units, real_numbers)
{
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) {
        double value = 0;
        bool fine = units_real(&value, reals[i].text, reals[i].infinite, NULL);
        cr_expect_eq(fine, reals[i].fine, "'%s'", reals[i].text);
        if (fine) cr_expect(value == reals[i].value, "'%s' gives %.17g", reals[i].text, value);
    }
}

Test(units, booleans_are_true_and_false_only)
{
    static const char *const yes[] = { "true", "True", "TRUE" }, *const no[] = { "false", "False",
                                                                                 "FALSE" };
    static const char *const neither[] = { "yes", "no",  "on",   "off", "1", "0",
                                           "Yes", "OFF", "tRue", "",    "y" };
    bool value;
    const char *reason;
    for (size_t i = 0; i < 3; i++) {
        cr_expect(units_bool(&value, yes[i], NULL) && value, "%s", yes[i]);
        cr_expect(units_bool(&value, no[i], NULL) && !value, "%s", no[i]);
    }
    for (size_t i = 0; i < sizeof neither / sizeof *neither; i++)
        cr_expect_not(units_bool(&value, neither[i], NULL), "%s", neither[i]);
    units_bool(&value, "off", &reason);
    cr_expect_str_eq(reason, "write false");
}

static const struct {
    const char *text;
    int64_t bytes; /* -1: refused */
} sizes[] = {
    { "4096", 4096 },  { "64KiB", 65536 },       { "8MiB", 8388608 },       { "7B", 7 },
    { "10kB", 10000 }, { "1.5GiB", 1610612736 }, { "2TiB", 2199023255552 }, { "64kib", -1 },
    { "64K", -1 },     { "0.1KiB", -1 },         { "10000000TiB", -1 },
};

static const struct {
    const char *text, *unit;
    double seconds; /* -1: refused */
} times[] = {
    { "2ms", NULL, 0.002 },   { "30s", NULL, 30 },    { "5min", NULL, 300 }, { "2h", NULL, 7200 },
    { "1.5d", NULL, 129600 }, { "10us", NULL, 1e-5 }, { "7", "s", 7 },       { "7", "min", 420 },
    { "7", NULL, -1 },        { "7m", "s", -1 },      { "h", NULL, -1 },
};

Test(units, sizes_and_times)
{
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int64_t value = -1;
        bool fine = units_bytes(&value, sizes[i].text, NULL);
        cr_expect_eq(fine ? value : -1, sizes[i].bytes, "'%s'", sizes[i].text);
    }
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        double value = -1;
        bool fine = units_time(&value, times[i].text, times[i].unit, NULL);
        cr_expect((fine ? value : -1) == times[i].seconds, "'%s' gives %.17g", times[i].text,
                  value);
    }
}

static const struct {
    const char *text, *unit, *spelled; /* NULL: refused */
} spans[] = {
    { "5ep", NULL, "5ep" },     { "0.5ep", NULL, "0.5ep" },
    { "500st", NULL, "500st" }, { "10Mtok", NULL, "10000000tok" },
    { "5", "ep", "5ep" },       { "3_000", "st", "3000st" },
    { "2kst", "ep", "2000st" }, { "5", NULL, NULL },
    { "0.5st", NULL, NULL },    { "5epochs", "ep", NULL },
    { "ep", "ep", NULL },
};

Test(units, spans)
{
    for (size_t i = 0; i < sizeof spans / sizeof *spans; i++) {
        struct span span;
        char text[UNITS_TEXT];
        bool fine = units_span(&span, spans[i].text, spans[i].unit, NULL);
        cr_expect_eq(fine, spans[i].spelled != NULL, "'%s'", spans[i].text);
        if (fine && spans[i].spelled)
            cr_expect_str_eq(units_span_text(text, span), spans[i].spelled, "'%s'", spans[i].text);
    }
}

Test(units, texts_for_people)
{
    char text[UNITS_TEXT];
    cr_expect_str_eq(units_bytes_text(text, 512), "512 B");
    cr_expect_str_eq(units_bytes_text(text, 1536 * 1024), "1.50 MiB");
    cr_expect_str_eq(units_time_text(text, 0.0123), "12.3 ms");
    cr_expect_str_eq(units_time_text(text, 75), "1 min 15 s");
    cr_expect_str_eq(units_time_text(text, 7500), "2 h 5 min");
}
