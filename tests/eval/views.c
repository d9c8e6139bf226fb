/* JUnit and Markdown as golden texts, made from one report with everything awkward in it. */
#include "eval/html.h"

#include "base/fs.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#define GOLDEN PAWL_SOURCE_DIR "/tests/golden/report/"

static void expect_golden(const struct str *got, const char *name)
{
    struct arena arena = { 0 };
    struct bytes want;
    struct err err;
    const char *path = path_join(&arena, GOLDEN, name);
    cr_assert_eq(fs_read(&arena, &want, path, 1 << 20, &err), OK, "%s", err.message);
    cr_expect_str_eq(str_text(got), want.at, "%s differs; this is what there is now:\n%s", name,
                     str_text(got));
    arena_release(&arena);
}

static json_t *golden_report(void)
{
    json_t *report = NULL;
    struct err err = { 0 };
    cr_assert_eq(json_read(&report, GOLDEN "report.json", 1 << 20, "report/1", &err), OK, "%s",
                 err.message);
    return report;
}

Test(views, junit_says_fail_and_inconclusive_as_failures_and_never_skips)
{
    json_t *report = golden_report();
    struct str out = { 0 };
    report_junit(&out, report);
    expect_golden(&out, "junit.xml");
    cr_expect_null(strstr(out.at, "<skipped"));
    str_release(&out);
    json_decref(report);
}

Test(views, markdown_puts_what_does_not_pass_first)
{
    json_t *report = golden_report();
    struct str out = { 0 };
    report_markdown(&out, report);
    expect_golden(&out, "report.md");
    str_release(&out);
    json_decref(report);
}

Test(views, markdown_of_a_large_suite_is_cut_to_a_comment)
{
    json_t *report = golden_report();
    json_t *gates = json_object_get(json_object_get(report, "quality"), "gates");
    for (int i = 0; i < 300; i++) json_array_append(gates, json_array_get(gates, (size_t)i % 4));
    struct str out = { 0 };
    report_markdown(&out, report);
    cr_expect_lt(out.len, 8000, "%zu bytes", out.len);
    cr_expect_not_null(strstr(out.at, "277 more gates are in report.html."), "%s", out.at);
    str_release(&out);
    json_decref(report);
}

Test(views, names_from_files_cannot_become_markup)
{
    struct str out = { 0 };
    markup_text(&out, "<script>\"a\" & 'b'");
    cr_expect_str_eq(out.at, "&lt;script&gt;&quot;a&quot; &amp; &#39;b&#39;");
    str_release(&out);
}

/* One grey pixel per row, checked against the bytes that the PNG specification asks for. */
Test(views, png_has_the_signature_and_header_of_its_size)
{
    static const uint8_t pixels[6] = { 0, 50, 100, 150, 200, 250 };
    struct str out = { 0 };
    html_png(&out, pixels, 3, 2, 1);
    static const char start[] = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAIAAAADCAAAAA";
    cr_expect_eq(strncmp(out.at, start, strlen(start)), 0, "%s", out.at);
    cr_expect(text_ends(out.at, "SUVORK5CYII="), "%s", out.at);
    str_release(&out);
}

Test(views, numbers_have_digits_that_say_something_and_their_unit)
{
    static const struct {
        double value;
        enum metric_unit unit;
        const char *text;
    } rows[] = {
        { 0.92314, UNIT_NONE, "0.9231" },
        { 0.00012, UNIT_NONE, "1.20e-04" },
        { 0, UNIT_NONE, "0" },
        { 0.0021, UNIT_SECONDS, "2.1 ms" },
        { 1048576, UNIT_BYTES, "1.00 MiB" },
        { 14060.4, UNIT_PER_SECOND, "14060/s" },
        { 12.34, UNIT_PER_SECOND, "12.3/s" },
        { NAN, UNIT_NONE, "-" },
        { INFINITY, UNIT_SECONDS, "∞" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[NUMBER_TEXT];
        cr_expect_str_eq(number_text(text, rows[i].value, rows[i].unit), rows[i].text, "%zu: %s", i,
                         text);
    }
}
