/* Gates in words: what one demands, what was found, why the verdict is what it is, and how it was
 * reached. Every view (terminal, Markdown, JUnit, HTML) says it with these. */
#include "base/math.h"
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
    else if (value == 0)
        snprintf(text, NUMBER_TEXT, "0");
    else
        snprintf(text, NUMBER_TEXT, fabs(value) < 0.001 ? "%.2e" : "%.4f", value);
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

/* The bar as it is written: "0.02", "2 %", "2 ms". */
static const char *bar_text(char text[NUMBER_TEXT], const json_t *gate, enum metric_unit unit)
{
    double bar = real_of(gate, "bar");
    if (!json_is_true(json_object_get(gate, "relative"))) return number_text(text, bar, unit);
    snprintf(text, NUMBER_TEXT, "%.4g %%", 100 * bar);
    return text;
}

static void add_options(struct str *out, const json_t *gate)
{
    static const struct {
        const char *key, *words;
    } options[] = { { "k", "k =" }, { "class", "class" }, { "q", "q =" }, { "batch", "batch" } };
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (json_object_get(gate, options[i].key))
            str_addf(out, " (%s %g)", options[i].words, real_of(gate, options[i].key));
}

const char *rule_words(const char *rule)
{
    static const struct {
        const char *rule, *words;
    } rules[] = { { "at_least", "at least" },
                  { "at_most", "at most" },
                  { "not_worse_by", "not worse by" },
                  { "better_by", "better by" },
                  { "gain_at_most", "gain at most" },
                  { "gap", "gap at most" },
                  { "trend", "slope per version at least" } };
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (strcmp(rules[i].rule, rule) == 0) return rules[i].words;
    return "";
}

/* "accuracy better by 0.02 against linear on footwear". */
void demand_text(struct str *out, const json_t *gate)
{
    const struct metric *metric = metric_find(text_of(gate, "metric"));
    char bar[NUMBER_TEXT];
    str_add(out, metric->name);
    add_options(out, gate);
    str_addf(out, " %s %s", rule_words(text_of(gate, "rule")), bar_text(bar, gate, metric->unit));
    if (*text_of(gate, "against")) str_addf(out, " against %.26s", text_of(gate, "against"));
    if (*text_of(gate, "over")) str_addf(out, " over %s", text_of(gate, "over"));
    const json_t *gap = json_object_get(gate, "gap");
    if (gap)
        str_addf(out, " between %s and %s", json_string_value(json_array_get(gap, 0)),
                 json_string_value(json_array_get(gap, 1)));
    else if (strcmp(text_of(gate, "slice"), "all") != 0)
        str_addf(out, " on %s", text_of(gate, "slice"));
    if (*text_of(gate, "perturb")) str_addf(out, " under %s", text_of(gate, "perturb"));
}

void exposure_text(struct str *out, const json_t *report)
{
    const json_t *inputs = json_object_get(report, "inputs");
    const json_t *registry = json_object_get(inputs, "registry");
    double models = real_of(registry, "exposures");
    double alpha = real_of(json_object_get(inputs, "suite"), "alpha");
    if (!(models >= 1)) return;
    double chance = 1 - math_exp(models * math_log1p(-alpha));
    str_addf(out,
             "At least %.0f model%s looked at on these rows: the chance that one of as many at "
             "the bar slips through is %.3g %%.",
             models, models == 1 ? " was" : "s were", 100 * chance);
}

/* "0.9231 [0.9186, 0.9274], n = 10000"; with the bar decided at when it was moved. */
void numbers_text(struct str *out, const json_t *gate)
{
    const struct metric *metric = metric_find(text_of(gate, "metric"));
    char value[NUMBER_TEXT], low[NUMBER_TEXT], high[NUMBER_TEXT];
    if (!isfinite(real_of(gate, "value"))) {
        str_addf(out, "no value, n = %.0f", real_of(gate, "n"));
        return;
    }
    const char *what = *text_of(gate, "against") ? "gain " : *text_of(gate, "over") ? "slope " : "";
    str_addf(out, "%s%s [%s, %s], n = %.0f", what,
             number_text(value, real_of(gate, "value"), metric->unit),
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
        str_addf(out,
                 reason_of(gate) == REASON_COVERS ? "; about %.0f rows would decide"
                                                  : "; at least %.0f are needed",
                 real_of(gate, "needed_n"));
    if (json_object_get(gate, "smallest_effect"))
        str_addf(out, "; these rows can see a distance of %s",
                 number_text(text, real_of(gate, "smallest_effect"), metric->unit));
}
