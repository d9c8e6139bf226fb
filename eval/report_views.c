/* report.md: short enough for a comment on a pull request. */
#include "eval/report_parts.h"

#include <math.h>
#include <string.h>

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

static const char *const parts[] = { "quality", "measured" };

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
            numbers_text(&cell, gate);
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
    struct str exposure = { 0 };
    exposure_text(&exposure, report);
    if (exposure.len) str_addf(out, "\n%s\n", str_text(&exposure));
    str_release(&exposure);
    str_addf(out, "\nReport `%.19s…`%s\n", text_of(json_object_get(report, "digests"), "report"),
             json_is_null(json_object_get(inputs, "registry")) ? ", unsealed" : "");
}
