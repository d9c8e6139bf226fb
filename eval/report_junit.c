/* JUnit XML as Jenkins and GitLab read it: one test case a gate. Inconclusive is a failure of its
 * own type and never "skipped": what was not decided was not passed. Gates that do not count pass
 * with their outcome as output. */
#include "eval/markup.h"
#include "eval/report_parts.h"

#include <math.h>
#include <string.h>

static const char *text_of(const json_t *json, const char *key)
{
    const char *text = json_string_value(json_object_get(json, key));
    return text ? text : "";
}

static void add_case(struct str *out, const json_t *gate, const char *suite)
{
    const char *verdict = text_of(gate, "verdict");
    struct str message = { 0 };
    demand_text(&message, gate);
    str_add(out, "  <testcase classname=\"");
    markup_text(out, suite);
    str_add(out, "\" name=\"");
    markup_text(out, text_of(gate, "id"));
    bool blocks = json_is_true(json_object_get(gate, "counts"));
    if (strcmp(verdict, "pass") == 0 || !blocks) {
        str_add(out, "\">\n    <system-out>");
        markup_text(out, str_text(&message));
        str_addf(out, ": %s%s, ", verdict, blocks ? "" : " (not counted)");
        str_clear(&message);
        numbers_text(&message, gate);
        markup_text(out, str_text(&message));
        str_add(out, "</system-out>\n  </testcase>\n");
    } else {
        str_addf(out, "\">\n    <failure type=\"%s\" message=\"", verdict);
        markup_text(out, str_text(&message));
        str_add(out, "\">");
        str_clear(&message);
        numbers_text(&message, gate);
        str_add(&message, "; ");
        gate_reason(&message, gate);
        markup_text(out, str_text(&message));
        str_add(out, "</failure>\n  </testcase>\n");
    }
    str_release(&message);
}

static const char *const parts[] = { "quality", "measured" };

void report_junit(struct str *out, const json_t *report)
{
    const json_t *inputs = json_object_get(report, "inputs");
    const char *suite = text_of(json_object_get(inputs, "suite"), "name");
    size_t count = 0, failed = 0, index;
    json_t *gate;
    for (size_t p = 0; p < 2; p++) {
        const json_t *gates = json_object_get(json_object_get(report, parts[p]), "gates");
        json_array_foreach(gates, index, gate)
        {
            count++;
            failed += strcmp(text_of(gate, "verdict"), "pass") != 0 &&
                      json_is_true(json_object_get(gate, "counts"));
        }
    }
    str_add(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n <testsuite name=\"");
    markup_text(out, suite);
    str_addf(out, "\" tests=\"%zu\" failures=\"%zu\" errors=\"0\" skipped=\"0\">\n", count, failed);
    for (size_t p = 0; p < 2; p++) {
        const json_t *gates = json_object_get(json_object_get(report, parts[p]), "gates");
        json_array_foreach(gates, index, gate) add_case(out, gate, suite);
    }
    str_add(out, " </testsuite>\n</testsuites>\n");
}
