/* From the rows of an exam and assumed truths to chances, gate by gate. */
#include "eval/forecast.h"

#include "base/math.h"
#include "eval/gate_rows.h"
#include "eval/gate_try.h"
#include "eval/harness.h"
#include "eval/report_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double DISAGREEMENT = 0.1;

struct forecasting {
    const struct suite *suite;
    const struct scores *scores;
    const struct forecast_opts *opts;
    double chance; /* of all blocking gates so far; NaN when one is not known */
    json_t *gates;
};

static void set(json_t *json, const char *key, json_t *value)
{
    REQUIRE(json_object_set_new(json, key, value) == 0);
}

static bool is_assumed(const struct forecasting *f, double *value, const struct trial *trial)
{
    const struct gate *gate = trial->gate;
    bool metric_alone = gate->rule == RULE_AT_LEAST || gate->rule == RULE_AT_MOST;
    for (int by_metric = 0; by_metric < 2; by_metric++) {
        for (size_t i = 0; i < f->opts->assumed_count; i++) {
            const struct assumption *a = &f->opts->assumed[i];
            bool fits = by_metric
                            ? metric_alone && strcmp(a->what, gate->metric->name) == 0
                            : strcmp(a->what, gate->id) == 0 || strcmp(a->what, trial->id) == 0;
            if (!fits) continue;
            *value = a->value;
            return true;
        }
    }
    return false;
}

/* The gate of the same id in the report that is taken to be typical. */
static const json_t *like_gate(const struct forecasting *f, const struct trial *trial)
{
    static const char *const parts[] = { "quality", "measured" };
    for (size_t p = 0; p < 2; p++) {
        const json_t *gates = json_object_get(json_object_get(f->opts->like, parts[p]), "gates");
        for (size_t i = 0; i < json_array_size(gates); i++) {
            const json_t *gate = json_array_get(gates, i);
            const char *id = json_string_value(json_object_get(gate, "id"));
            if (id && strcmp(id, trial->id) == 0) return gate;
        }
    }
    return NULL;
}

static double number_in(const json_t *json, const char *key)
{
    const json_t *value = json_object_get(json, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

/* One row's part, from the width of an interval of 1 - 2 alpha over n rows. */
static double deviation_in(const struct forecasting *f, const json_t *gate)
{
    double interval = number_in(json_object_get(f->opts->like, "quality"), "interval");
    double reach = math_normal_quantile(0.5 + interval / 2);
    double width = number_in(gate, "high") - number_in(gate, "low");
    return width / (2 * reach) * sqrt(number_in(gate, "n"));
}

/* What one row contributes where nothing was measured: known for zeros and ones, not for losses. */
static double deviation_of(const struct forecasting *f, const struct trial *trial, double truth)
{
    const struct gate *gate = trial->gate;
    double disagree = f->opts->disagreement > 0 ? f->opts->disagreement : DISAGREEMENT;
    if (gate->metric->statistic != STATISTIC_PROPORTION) return NAN;
    if (rule_is_paired(gate->rule)) return sqrt(disagree);
    double share = isnan(truth) || gate->rule == RULE_GAP ? 0.5 : truth;
    return sqrt(share * (1 - share));
}

static int compare_ids(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

/* Distinct clusters among the chosen rows. */
static enum code count_units(int64_t *n, const struct forecasting *f, struct row_choice *choice,
                             struct err *err)
{
    void *memory = NULL;
    *n = rows_count(f->scores, choice);
    if (!f->scores->cluster || *n == 0) return OK;
    TRY(block_alloc(&memory, (size_t)f->scores->n * sizeof(int64_t), "clusters", err));
    int64_t *id = memory, kept = rows_list(id, f->scores, choice), distinct = 0;
    for (int64_t i = 0; i < kept; i++) id[i] = f->scores->cluster[id[i]];
    qsort(id, (size_t)kept, sizeof *id, compare_ids);
    for (int64_t i = 0; i < kept; i++) distinct += i == 0 || id[i] != id[i - 1];
    *n = distinct;
    block_free(memory);
    return OK;
}

static json_t *line_json(const struct trial *trial, int64_t n, double truth, double deviation,
                         const struct prospect *prospect)
{
    json_t *gate = trial_json(trial), *json = json_object();
    struct str demand = { 0 };
    const struct method *method = trial->method;
    demand_text(&demand, gate);
    set(json, "id", json_string(trial->id));
    set(json, "demand", json_string(str_text(&demand)));
    set(json, "metric", json_string(trial->gate->metric->name));
    set(json, "counts", json_boolean(trial->counts));
    set(json, "method", json_string(method ? method->name : "none"));
    set(json, "guarantee",
        json_string(method && method->guarantee == GUARANTEE_EXACT ? "exact" : "approximate"));
    set(json, "n", json_integer(n));
    set(json, "smallest_n", json_integer(method ? method->smallest_n : 0));
    set(json, "truth", real_or_null(truth));
    set(json, "deviation", real_or_null(deviation));
    set(json, "chance", real_or_null(prospect->chance));
    set(json, "smallest_effect", real_or_null(prospect->smallest));
    set(json, "needed_n", prospect->needed > 0 ? json_real(prospect->needed) : json_null());
    str_release(&demand);
    json_decref(gate);
    return json;
}

/* What can be said without rows: sizes are exact, and a trend rests on the registry. */
static bool speaks_of_rows(const struct trial *trial)
{
    return !trial->measured && trial->gate->rule != RULE_TREND && trial->slice && trial->method;
}

static enum code look_ahead(struct forecasting *f, const struct trial *trial, struct err *err)
{
    const struct gate *gate = trial->gate;
    struct row_choice choice = { trial->slice, trial->label,
                                 gate->rule == RULE_GAP ? gate->gap : NULL };
    struct prospect prospect = { NAN, NAN, 0 };
    double truth = NAN, deviation = NAN;
    int64_t n = trial->measured ? gate->metric->samples : 0;
    const json_t *like = like_gate(f, trial);
    if (like) truth = number_in(like, "value");
    is_assumed(f, &truth, trial);
    if (speaks_of_rows(trial)) {
        TRY(count_units(&n, f, &choice, err));
        if (like) deviation = deviation_in(f, like);
        if (!isfinite(deviation)) deviation = deviation_of(f, trial, truth);
        struct outlook outlook = { n, isnan(truth) ? trial->bar : truth, deviation };
        bool usable = n > 0 && isfinite(deviation);
        if (usable) prospect = method_prospect(trial->method, &trial->question, &outlook);
        if (isnan(truth)) prospect.chance = NAN, prospect.needed = 0;
        if (n < trial->method->smallest_n || n < gate->min_examples) prospect.chance = 0;
    } else if (gate->metric->statistic == STATISTIC_EXACT && !isnan(truth)) {
        prospect.chance = trial->question.more ? truth >= trial->bar : truth <= trial->bar;
    }
    json_array_append_new(f->gates, line_json(trial, n, truth, deviation, &prospect));
    if (trial->counts) f->chance *= prospect.chance;
    return OK;
}

/* Whether a gate can have this value: of the metric, or of a difference of two. */
static bool is_possible(const struct gate *gate, double value)
{
    struct metric_range range = metric_range(gate->metric);
    bool apart = rule_is_paired(gate->rule) || gate->rule == RULE_GAP || gate->rule == RULE_TREND;
    double span = range.high - range.low;
    return apart ? fabs(value) <= span : value >= range.low && value <= range.high;
}

static enum code check_assumptions(const struct suite *suite, const struct decision *decision,
                                   const struct forecast_opts *opts, struct err *err)
{
    for (size_t i = 0; i < opts->assumed_count; i++) {
        const struct gate *found = NULL;
        const char *what = opts->assumed[i].what;
        for (size_t t = 0; t < decision->count && !found; t++) {
            const struct trial *trial = &decision->trials[t];
            const char *names[] = { trial->id, trial->gate->id, trial->gate->metric->name };
            for (size_t n = 0; n < 3; n++)
                if (strcmp(names[n], what) == 0) found = trial->gate;
        }
        if (found && !is_possible(found, opts->assumed[i].value)) {
            err_set(err, USAGE, "cannot assume %s=%g: '%s' is never that", what,
                    opts->assumed[i].value, found->metric->name);
            return err_hint(err, "It is in the unit of the metric: shares are written as 0.93, "
                                 "not 93.");
        }
        if (!found)
            return err_set(err, USAGE, "suite '%s' has neither a gate nor a metric '%s'",
                           suite->name, what);
    }
    return OK;
}

enum code forecast(json_t **json, const struct suite *suite, const struct exam *exam,
                   const struct forecast_opts *opts, struct err *err)
{
    struct scores scores;
    struct decision decision = { 0 };
    *json = NULL;
    TRY(harness_rows(&scores, suite, exam, err));
    struct forecasting f = {
        .suite = suite, .scores = &scores, .opts = opts, .chance = 1, .gates = json_array()
    };
    decision_expand(&decision, suite, &scores);
    enum code code = check_assumptions(suite, &decision, opts, err);
    for (size_t i = 0; i < decision.count && !code; i++)
        code = look_ahead(&f, &decision.trials[i], err);
    if (!code) {
        double disagree = opts->disagreement > 0 ? opts->disagreement : DISAGREEMENT;
        *json = json_pack("{s:s,s:s,s:I,s:f,s:f,s:O,s:o}", "pawl", "forecast/1", "suite",
                          suite->name, "rows", (json_int_t)scores.n, "alpha", decision.alpha,
                          "disagreement", disagree, "gates", f.gates, "chance",
                          real_or_null(f.chance));
    }
    json_decref(f.gates);
    decision_release(&decision);
    scores_release(&scores);
    return code;
}

static const char *text_in(const json_t *json, const char *key)
{
    const char *text = json_string_value(json_object_get(json, key));
    return text ? text : "";
}

static void add_chance(struct str *out, double chance)
{
    if (chance > 0.9995 && chance < 1)
        str_add(out, "more than 99.9 %");
    else
        str_addf(out, "%.1f %%", 100 * chance);
}

static void add_line(struct str *out, const json_t *gate)
{
    const struct metric *metric = metric_find(text_in(gate, "metric"));
    enum metric_unit unit = metric ? metric->unit : UNIT_NONE;
    double n = number_in(gate, "n"), smallest_n = number_in(gate, "smallest_n");
    double chance = number_in(gate, "chance"), effect = number_in(gate, "smallest_effect");
    char text[NUMBER_TEXT];
    str_addf(out, "  %s%s\n", text_in(gate, "demand"),
             json_is_true(json_object_get(gate, "counts")) ? "" : " (not counted)");
    str_addf(out, "      n = %.0f, %s (%s)", n, text_in(gate, "method"),
             text_in(gate, "guarantee"));
    if (n < smallest_n) str_addf(out, ": inconclusive, it needs %.0f", smallest_n);
    if (isfinite(effect)) str_addf(out, "; sees a distance of %s", number_text(text, effect, unit));
    str_add(out, "\n");
    if (!isfinite(chance) || !json_is_number(json_object_get(gate, "truth"))) return;
    str_addf(out, "      at a truth of %s it passes with a chance of ",
             number_text(text, number_in(gate, "truth"), unit));
    add_chance(out, chance);
    if (json_is_number(json_object_get(gate, "needed_n")))
        str_addf(out, "; %.0f rows give 80 %%", number_in(gate, "needed_n"));
    str_add(out, "\n");
}

void forecast_text(struct str *out, const json_t *json)
{
    const json_t *gates = json_object_get(json, "gates");
    double chance = number_in(json, "chance");
    str_addf(out, "%s on %.0f rows, alpha %g\n\n", text_in(json, "suite"), number_in(json, "rows"),
             number_in(json, "alpha"));
    for (size_t i = 0; i < json_array_size(gates); i++) add_line(out, json_array_get(gates, i));
    if (isfinite(chance)) {
        str_add(out, "\nthe whole suite passes with a chance of ");
        add_chance(out, chance);
        str_add(out, ", as if its gates were independent\n");
    } else {
        str_add(out, "\nthe chance of the whole suite is not known: some gates have no assumed "
                     "truth\n  (--assume METRIC=VALUE, --assume GATE=VALUE, --like REPORT)\n");
    }
}
