/* A report for a terminal: the same facts as report.md, laid out in columns.
 *
 * Gates that do not pass come first, each with its reason on a line of its own. Columns are as wide
 * as their widest cell; a cell may hold characters of several bytes, so width is not length. */
#include "base/utf8.h"
#include "eval/report_parts.h"

#include <math.h>
#include <string.h>

enum { VERDICT_WIDTH = 12, COLUMNS = 3 };

/* One gate's cells: what it demands, what was found, on how many rows. */
struct line {
    const json_t *gate;
    struct str cells[COLUMNS];
};

static const char *word(const json_t *json, const char *key)
{
    const char *text = json_string_value(json_object_get(json, key));
    return text ? text : "";
}

static double real(const json_t *json, const char *key)
{
    const json_t *value = json_object_get(json, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static int width_of(const char *text)
{
    return utf8_columns(text, strlen(text));
}

static void add_padded(struct str *out, const char *text, int width)
{
    str_add(out, text);
    for (int i = width_of(text); i < width; i++) str_add_char(out, ' ');
}

static bool passes(const json_t *gate)
{
    return strcmp(word(gate, "verdict"), "pass") == 0;
}

static void fill(struct line *line, const json_t *gate)
{
    const struct metric *metric = metric_find(word(gate, "metric"));
    char value[NUMBER_TEXT], low[NUMBER_TEXT], high[NUMBER_TEXT];
    line->gate = gate;
    demand_text(&line->cells[0], gate);
    str_add(&line->cells[1], number_text(value, real(gate, "value"), metric->unit));
    double from = real(gate, "low"), to = real(gate, "high");
    bool bounded = isfinite(from) || isfinite(to);
    if (bounded && !(from == to)) /* a size has no interval */
        str_addf(&line->cells[1], " [%s, %s]", number_text(low, from, metric->unit),
                 number_text(high, to, metric->unit));
    str_addf(&line->cells[2], "n = %.0f", real(gate, "n"));
}

static size_t collect(struct line *lines, const json_t *report)
{
    static const char *const parts[] = { "quality", "measured" };
    size_t used = 0, index;
    json_t *gate;
    for (int passing = 0; passing < 2; passing++) {
        for (size_t p = 0; p < 2; p++) {
            const json_t *gates = json_object_get(json_object_get(report, parts[p]), "gates");
            json_array_foreach(gates, index, gate)
            {
                if (passes(gate) == passing) fill(&lines[used++], gate);
            }
        }
    }
    return used;
}

static void add_line(struct str *out, const struct line *line, const int widths[COLUMNS])
{
    const json_t *gate = line->gate;
    str_add(out, "  ");
    add_padded(out, word(gate, "verdict"), VERDICT_WIDTH);
    for (int c = 0; c < COLUMNS; c++) {
        str_add(out, "  ");
        add_padded(out, str_text(&line->cells[c]), c + 1 < COLUMNS ? widths[c] : 0);
    }
    if (!json_is_true(json_object_get(gate, "counts"))) str_add(out, "  (not counted)");
    str_add(out, "\n");
    if (passes(gate) && strcmp(word(gate, "reason"), "bound") == 0) return;
    add_padded(out, "", VERDICT_WIDTH + 4);
    gate_reason(out, gate);
    str_add(out, "\n");
}

static void add_gates(struct str *out, const json_t *report)
{
    struct arena arena = { 0 };
    size_t room = 0;
    int widths[COLUMNS] = { 0 };
    room += json_array_size(json_object_get(json_object_get(report, "quality"), "gates"));
    room += json_array_size(json_object_get(json_object_get(report, "measured"), "gates"));
    struct line *lines = ARENA_ARRAY(&arena, room ? room : 1, struct line);
    size_t count = collect(lines, report);
    for (size_t i = 0; i < count; i++) {
        for (int c = 0; c < COLUMNS; c++) {
            int width = width_of(str_text(&lines[i].cells[c]));
            if (width > widths[c]) widths[c] = width;
        }
    }
    for (size_t i = 0; i < count; i++) {
        add_line(out, &lines[i], widths);
        for (int c = 0; c < COLUMNS; c++) str_release(&lines[i].cells[c]);
    }
    arena_release(&arena);
}

void report_text(struct str *out, const json_t *report)
{
    const json_t *inputs = json_object_get(report, "inputs"), *model, *data, *registry;
    model = json_object_get(inputs, "model");
    data = json_object_get(inputs, "data");
    registry = json_object_get(inputs, "registry");
    str_addf(out, "%s: %s\n", word(json_object_get(inputs, "suite"), "name"),
             word(json_object_get(report, "verdict"), "result"));
    str_addf(out, "  model   %s  %.19s\n", word(model, "name"), word(model, "digest"));
    str_addf(out, "  data    %.0f rows of split '%s'; intervals are %g %%\n", real(data, "rows"),
             word(data, "split"), 100 * real(json_object_get(report, "quality"), "interval"));
    if (json_is_object(registry))
        str_addf(out, "  seal    entry %.0f, look %.0f at this model under this suite\n",
                 real(registry, "seal"), real(registry, "look"));
    else
        str_add(out, "  seal    none: the model is no version of a registry\n");
    struct str exposure = { 0 };
    exposure_text(&exposure, report);
    if (exposure.len) str_addf(out, "  used    %s\n", str_text(&exposure));
    str_release(&exposure);
    str_add(out, "\n");
    add_gates(out, report);
}
