/* Views of report.json: JUnit XML for CI, Markdown for a pull request, the explanation of a
 * gate. */
#include "eval/report_parts.h"

#include <math.h>
#include <string.h>

const char *number_text(char text[NUMBER_TEXT], double value, enum metric_unit unit)
{
    if (!isfinite(value))
        snprintf(text, NUMBER_TEXT, isnan(value) ? "-" : value > 0 ? "∞" : "-∞");
    else if (unit == UNIT_SECONDS)
        units_time_text(text, value);
    else if (unit == UNIT_BYTES)
        units_bytes_text(text, value);
    else if (unit == UNIT_PER_SECOND)
        snprintf(text, NUMBER_TEXT, value < 100 ? "%.3g/s" : "%.0f/s", value);
    else
        snprintf(text, NUMBER_TEXT, fabs(value) < 0.001 && value != 0 ? "%.2e" : "%.4f", value);
    return text;
}

static const char *text_of(const json_t *json, const char *key)
{
    const char *text = json_string_value(json_object_get(json, key));
    return text ? text : "";
}

static double real_of(const json_t *json, const char *key)
{
    const json_t *value = json_object_get(json, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static enum reason reason_of(const json_t *gate)
{
    for (int r = 0; r < REASON_COUNT; r++)
        if (strcmp(text_of(gate, "reason"), reason_word((enum reason)r)) == 0)
            return (enum reason)r;
    return REASON_BOUND;
}

/* "accuracy on footwear, better by 0.02 than linear". */
void demand_text(struct str *out, const json_t *gate)
{
    const struct metric *metric = metric_find(text_of(gate, "metric"));
    char bar[NUMBER_TEXT];
    number_text(bar, real_of(gate, "bar"), metric->unit);
    static const struct {
        const char *rule, *words;
    } rules[] = { { "at_least", "at least" },
                  { "at_most", "at most" },
                  { "not_worse_by", "not worse by" },
                  { "better_by", "better by" },
                  { "gain_at_most", "gain at most" } };
    const char *words = "";
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (strcmp(rules[i].rule, text_of(gate, "rule")) == 0) words = rules[i].words;
    str_add(out, metric->name);
    if (json_object_get(gate, "k")) str_addf(out, " (k = %g)", real_of(gate, "k"));
    if (json_object_get(gate, "batch")) str_addf(out, " (batch %g)", real_of(gate, "batch"));
    str_addf(out, " %s %s", words, bar);
    if (*text_of(gate, "against")) str_addf(out, " against %s", text_of(gate, "against"));
    if (strcmp(text_of(gate, "slice"), "all") != 0) str_addf(out, " on %s", text_of(gate, "slice"));
}

/* "0.9231 [0.9186, 0.9274], n = 10000"; with the bar decided at when it was moved. */
static void add_numbers(struct str *out, const json_t *gate)
{
    const struct metric *metric = metric_find(text_of(gate, "metric"));
    char value[NUMBER_TEXT], low[NUMBER_TEXT], high[NUMBER_TEXT];
    str_addf(out, "%s [%s, %s], n = %.0f", number_text(value, real_of(gate, "value"), metric->unit),
             number_text(low, real_of(gate, "low"), metric->unit),
             number_text(high, real_of(gate, "high"), metric->unit), real_of(gate, "n"));
}

void gate_reason(struct str *out, const json_t *gate)
{
    const struct metric *metric = metric_find(text_of(gate, "metric"));
    char text[NUMBER_TEXT];
    bool fails = strcmp(text_of(gate, "verdict"), "fail") == 0;
    if (fails && reason_of(gate) == REASON_BOUND && real_of(gate, "fail_level") > 0)
        str_addf(out, "it lies on the wrong side of the bar: p = %.2g, at most %.2g fails",
                 real_of(gate, "p_fail"), real_of(gate, "fail_level"));
    else
        str_add(out, reason_text(reason_of(gate)));
    if (json_object_get(gate, "needed_n"))
        str_addf(out, "; about %.0f rows would decide", real_of(gate, "needed_n"));
    if (json_object_get(gate, "smallest_effect"))
        str_addf(out, "; these rows can see a distance of %s",
                 number_text(text, real_of(gate, "smallest_effect"), metric->unit));
}

static void add_xml(struct str *out, const char *text)
{
    for (; *text; text++) {
        switch (*text) {
        case '&':
            str_add(out, "&amp;");
            break;
        case '<':
            str_add(out, "&lt;");
            break;
        case '>':
            str_add(out, "&gt;");
            break;
        case '"':
            str_add(out, "&quot;");
            break;
        default:
            str_add_char(out, (unsigned char)*text < 0x20 ? ' ' : *text);
        }
    }
}

static void add_case(struct str *out, const json_t *gate, const char *suite)
{
    const char *verdict = text_of(gate, "verdict");
    struct str message = { 0 };
    demand_text(&message, gate);
    str_add(out, "  <testcase classname=\"");
    add_xml(out, suite);
    str_add(out, "\" name=\"");
    add_xml(out, text_of(gate, "id"));
    bool blocks = json_is_true(json_object_get(gate, "counts"));
    if (strcmp(verdict, "pass") == 0 || !blocks) {
        str_add(out, "\">\n    <system-out>");
        add_xml(out, str_text(&message));
        str_addf(out, ": %s%s, ", verdict, blocks ? "" : " (not counted)");
        str_clear(&message);
        add_numbers(&message, gate);
        add_xml(out, str_text(&message));
        str_add(out, "</system-out>\n  </testcase>\n");
    } else {
        str_addf(out, "\">\n    <failure type=\"%s\" message=\"", verdict);
        add_xml(out, str_text(&message));
        str_add(out, "\">");
        str_clear(&message);
        add_numbers(&message, gate);
        str_add(&message, "; ");
        gate_reason(&message, gate);
        add_xml(out, str_text(&message));
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
    add_xml(out, suite);
    str_addf(out, "\" tests=\"%zu\" failures=\"%zu\" errors=\"0\" skipped=\"0\">\n", count, failed);
    for (size_t p = 0; p < 2; p++) {
        const json_t *gates = json_object_get(json_object_get(report, parts[p]), "gates");
        json_array_foreach(gates, index, gate) add_case(out, gate, suite);
    }
    str_add(out, " </testsuite>\n</testsuites>\n");
}

/* Markdown cells: a bar would end the cell. */
static void add_cell(struct str *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '|') str_add_char(out, '\\');
        str_add_char(out, *text == '\n' ? ' ' : *text);
    }
}

enum { MARKDOWN_ROWS = 30 };

/* Gates that do not pass come first, so that a long list may be cut. */
static size_t add_rows(struct str *out, const json_t *report, bool passing, size_t room)
{
    static const char *const marks[] = { "✅ pass", "❌ fail", "❔ inconclusive" };
    size_t index, left_out = 0;
    json_t *gate;
    for (size_t p = 0; p < 2; p++) {
        const json_t *gates = json_object_get(json_object_get(report, parts[p]), "gates");
        json_array_foreach(gates, index, gate)
        {
            const char *verdict = text_of(gate, "verdict");
            if ((strcmp(verdict, "pass") == 0) != passing) continue;
            if (room == 0) {
                left_out++;
                continue;
            }
            room--;
            struct str cell = { 0 };
            int mark = *verdict == 'p' ? 0 : *verdict == 'f' ? 1 : 2;
            str_addf(out, "| %s%s | ", marks[mark],
                     json_is_true(json_object_get(gate, "counts")) ? "" : " (not counted)");
            demand_text(&cell, gate);
            add_cell(out, str_text(&cell));
            str_add(out, " | ");
            str_clear(&cell);
            add_numbers(&cell, gate);
            if (mark || strcmp(text_of(gate, "reason"), "bound") != 0) {
                str_add(&cell, "; ");
                gate_reason(&cell, gate);
            }
            add_cell(out, str_text(&cell));
            str_add(out, " |\n");
            str_release(&cell);
        }
    }
    return left_out;
}

void report_markdown(struct str *out, const json_t *report)
{
    const json_t *inputs = json_object_get(report, "inputs"), *model, *data;
    const char *result = text_of(json_object_get(report, "verdict"), "result");
    model = json_object_get(inputs, "model");
    data = json_object_get(inputs, "data");
    str_addf(out, "### %s %s: %s\n\n",
             *result == 'p'   ? "✅"
             : *result == 'f' ? "❌"
                              : "❔",
             text_of(json_object_get(inputs, "suite"), "name"), result);
    str_addf(out, "Model `%s` (%.19s…) on %lld rows of split `%s`. Intervals are %g %%.\n\n",
             text_of(model, "name"), text_of(model, "digest"),
             (long long)json_integer_value(json_object_get(data, "rows")), text_of(data, "split"),
             100 * real_of(json_object_get(report, "quality"), "interval"));
    str_add(out, "| verdict | gate | found |\n|---|---|---|\n");
    size_t before = out->len;
    size_t cut = add_rows(out, report, false, MARKDOWN_ROWS), used = 0;
    for (const char *c = out->at + before; *c; c++) used += *c == '\n';
    cut += add_rows(out, report, true, used < MARKDOWN_ROWS ? MARKDOWN_ROWS - used : 0);
    if (cut) str_addf(out, "\n%zu more gates are in report.html.\n", cut);
    str_addf(out, "\nReport `%.19s…`%s\n", text_of(json_object_get(report, "digests"), "report"),
             json_is_null(json_object_get(inputs, "registry")) ? ", unsealed" : "");
}

void explain_trial(struct str *out, const struct trial *trial, const struct suite *suite,
                   const struct decision *decision)
{
    json_t *gate = trial_json(trial);
    const struct answer *answer = &trial->answer;
    enum metric_unit unit = trial->gate->metric->unit;
    char a[NUMBER_TEXT], b[NUMBER_TEXT];
    bool more = rule_wants_more(trial->gate->rule);
    str_addf(out, "gate      %s\ndemand    ", trial->id);
    demand_text(out, gate);
    str_addf(out, "\nbar       %s", number_text(a, trial->gate->bar, unit));
    if (trial->bar != trial->gate->bar)
        str_addf(out, ", decided at %s (tolerate %g)", number_text(a, trial->bar, unit),
                 trial->gate->tolerate);
    str_addf(out, "\nrows      %lld\nmethod    %s: %s\n", (long long)trial->n, trial->method->name,
             trial->method->help);
    str_addf(out, "value     %s\n", number_text(a, answer->value, unit));
    str_addf(out, "bounds    %s below, %s above, each at alpha = %g\n",
             number_text(a, answer->low, unit), number_text(b, answer->high, unit), suite->alpha);
    str_addf(out, "to pass   %s bound %s %s: p = %.6g\n", more ? "lower" : "upper",
             more ? ">=" : "<=", number_text(a, trial->bar, unit), answer->p_pass);
    str_addf(out, "to fail   p = %.6g must be <= %.6g (Holm over %zu gates)\n", answer->p_fail,
             trial->level, decision->families[trial->measured]);
    str_addf(out, "verdict   %s: ", verdict_text(trial->verdict));
    gate_reason(out, gate);
    str_add(out, "\n");
    json_decref(gate);
}
