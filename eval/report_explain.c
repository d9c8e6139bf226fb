/* One gate step by step, for `pawl gate --explain`: from its demand over rows, method and bounds
 * to the verdict, so that each number can be checked by hand. */
#include "eval/report_parts.h"

#include <math.h>
#include <string.h>

/* What is written down of one gate. */
struct telling {
    struct str *out;
    const struct trial *trial;
    const struct suite *suite;
    const struct decision *decision;
    enum metric_unit unit;
};

static const char *shown(char text[NUMBER_TEXT], const struct telling *t, double value)
{
    return number_text(text, value, t->unit);
}

static void tell_bar(const struct telling *t)
{
    char a[NUMBER_TEXT], b[NUMBER_TEXT];
    const struct trial *trial = t->trial;
    const struct gate *gate = trial->gate;
    double stated = gate->rule == RULE_NOT_WORSE_BY ? -gate->bar : gate->bar;
    if (gate->relative)
        str_addf(t->out,
                 "bar       %.6g %% of the baseline: the model less %.6g times the baseline, "
                 "at %s %s",
                 100 * gate->bar, trial->question.scale, trial->question.more ? "least" : "most",
                 shown(a, t, trial->bar));
    else
        str_addf(t->out, "bar       %s", shown(a, t, gate->bar));
    if (!gate->relative && trial->bar != stated)
        str_addf(t->out, ", decided at %s (tolerate %g)", shown(b, t, trial->bar), gate->tolerate);
    else if (gate->relative && gate->tolerate != 0)
        str_addf(t->out, " (tolerate %g)", gate->tolerate);
    str_add(t->out, "\n");
}

static void tell_rows(const struct telling *t)
{
    const struct trial *trial = t->trial;
    if (trial->trend) {
        str_addf(t->out, "versions  %lld, oldest first:", (long long)trial->n);
        for (int64_t i = 0; i < trial->n; i++) str_addf(t->out, " %.6g", trial->trend[i]);
        str_add(t->out, "\n");
        return;
    }
    str_addf(t->out, "rows      %lld", (long long)trial->n);
    if (trial->gate->rule == RULE_GAP)
        str_addf(t->out, ": %lld in %s, %lld in %s", (long long)trial->sides[0],
                 trial->gate->gap[0], (long long)trial->sides[1], trial->gate->gap[1]);
    bool clusters = t->suite->cluster && !trial->measured && isfinite(trial->answer.count) &&
                    trial->answer.count > 0;
    if (clusters)
        str_addf(t->out, " in %.0f clusters of '%s'", trial->answer.count, t->suite->cluster);
    if (trial->gate->min_examples > 0)
        str_addf(t->out, ", at least %lld wanted", (long long)trial->gate->min_examples);
    str_add(t->out, "\n");
}

/* The level of every bound, and where it comes from. */
static void tell_alpha(const struct telling *t, const json_t *inputs)
{
    const json_t *registry = json_object_get(inputs, "registry");
    long long look = (long long)json_integer_value(json_object_get(registry, "look"));
    if (look > 0)
        str_addf(t->out,
                 "alpha     %.6g: the suite's %.6g halved %lld time%s, for look %lld at this "
                 "model\n",
                 t->decision->alpha, t->suite->alpha, look, look == 1 ? "" : "s", look);
    else
        str_addf(t->out, "alpha     %.6g\n", t->decision->alpha);
}

static void tell_method(const struct telling *t)
{
    const struct method *method = t->trial->method;
    if (!method) {
        str_add(t->out, "method    none\n");
        return;
    }
    str_addf(t->out, "method    %s (%s): %s\n", method->name,
             method->guarantee == GUARANTEE_EXACT ? "exact" : "approximate", method->help);
    str_addf(t->out, "smallest  %lld %s\n", (long long)method->smallest_n,
             method->clustered                    ? "clusters"
             : t->trial->gate->rule == RULE_TREND ? "versions"
             : t->trial->measured                 ? "samples"
                                                  : "rows");
    if (method->smallest_rare)
        str_addf(t->out, "          and %lld rows of the rarer kind\n",
                 (long long)method->smallest_rare);
}

static void tell_tests(const struct telling *t)
{
    char a[NUMBER_TEXT], b[NUMBER_TEXT];
    const struct trial *trial = t->trial;
    const struct answer *answer = &trial->answer;
    bool more = trial->question.more;
    str_addf(t->out, "value     %s\n", shown(a, t, answer->value));
    str_addf(t->out, "bounds    %s below, %s above, each at alpha = %g\n", shown(a, t, answer->low),
             shown(b, t, answer->high), t->decision->alpha);
    if (trial->question.both)
        str_addf(t->out, "to pass   lower bound >= %s and upper bound <= %s: p = %.6g\n",
                 shown(a, t, -trial->bar), shown(b, t, trial->bar), answer->p_pass);
    else
        str_addf(t->out, "to pass   %s bound %s %s: p = %.6g\n", more ? "lower" : "upper",
                 more ? ">=" : "<=", shown(a, t, trial->bar), answer->p_pass);
    if (isfinite(answer->check))
        str_addf(t->out, "check     by flipping signs: p = %.6g\n", answer->check);
    str_addf(t->out, "to fail   p = %.6g must be <= %.6g (Holm over %zu gates)\n", answer->p_fail,
             trial->level, t->decision->families[trial->measured]);
}

void explain_trial(struct str *out, const struct trial *trial, const struct suite *suite,
                   const struct decision *decision, const json_t *inputs)
{
    json_t *gate = trial_json(trial);
    struct telling t = { out, trial, suite, decision, trial->gate->metric->unit };
    str_addf(out, "gate      %s\ndemand    ", trial->id);
    demand_text(out, gate);
    str_add(out, "\n");
    tell_bar(&t);
    tell_rows(&t);
    tell_alpha(&t, inputs);
    tell_method(&t);
    tell_tests(&t);
    str_addf(out, "verdict   %s: ", verdict_text(trial->verdict));
    gate_reason(out, gate);
    str_add(out, "\n");
    json_decref(gate);
}
