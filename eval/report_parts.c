/* quality, measured and verdict as JSON, made from scores and the decision. */
#include "eval/report_parts.h"

#include "eval/metric_score.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

json_t *real_or_null(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static void set(json_t *json, const char *key, json_t *value)
{
    REQUIRE(json_object_set_new(json, key, value) == 0);
}

static json_t *digest_json(const struct digest *digest)
{
    char text[DIGEST_TEXT];
    return json_string(digest_text(digest, text));
}

static json_t *reals_json(const double *value, int64_t n)
{
    json_t *list = json_array();
    for (int64_t i = 0; i < n; i++) json_array_append_new(list, real_or_null(value[i]));
    return list;
}

json_t *trial_json(const struct trial *trial)
{
    const struct gate *gate = trial->gate;
    const struct answer *answer = &trial->answer;
    json_t *json = json_object();
    set(json, "id", json_string(trial->id));
    set(json, "gate", json_string(gate->id));
    set(json, "goal", json_boolean(gate->goal));
    set(json, "metric", json_string(gate->metric->name));
    set(json, "rule", json_string(rule_text(gate->rule)));
    set(json, "bar", json_real(gate->bar));
    set(json, "decided_at", json_real(trial->bar));
    set(json, "slice", json_string(trial->slice ? trial->slice : "every"));
    set(json, "n", json_integer(trial->n));
    set(json, "value", real_or_null(answer->value));
    set(json, "low", real_or_null(answer->low));
    set(json, "high", real_or_null(answer->high));
    const struct method *method = trial->method;
    bool exact = method && method->guarantee == GUARANTEE_EXACT;
    set(json, "method", json_string(method ? method->name : "none"));
    set(json, "guarantee", json_string(exact ? "exact" : "approximate"));
    set(json, "p_pass", real_or_null(answer->p_pass));
    set(json, "p_fail", real_or_null(answer->p_fail));
    set(json, "fail_level", json_real(trial->level));
    set(json, "verdict", json_string(verdict_text(trial->verdict)));
    set(json, "reason", json_string(reason_word(trial->reason)));
    set(json, "counts", json_boolean(trial->counts));
    set(json, "severity", json_string(gate->warn ? "warn" : "block"));
    set(json, "decide", json_string(gate->point ? "point" : "bound"));
    if (gate->against) set(json, "against", json_string(gate->against));
    if (gate->relative) set(json, "relative", json_true());
    if (gate->perturb) set(json, "perturb", json_string(gate->perturb));
    if (gate->over) set(json, "over", json_string(gate->over));
    if (gate->rule == RULE_GAP) {
        set(json, "gap", json_pack("[s,s]", gate->gap[0], gate->gap[1]));
        set(json, "sides",
            json_pack("[I,I]", (json_int_t)trial->sides[0], (json_int_t)trial->sides[1]));
    }
    if (trial->trend) set(json, "trend", reals_json(trial->trend, trial->n));
    if (gate->metric->takes_class) set(json, "class", json_integer(gate->of_class));
    if (gate->metric->takes_quantile) set(json, "q", json_real(gate->q));
    if (isfinite(answer->check)) set(json, "check", json_real(answer->check));
    if (gate->k) set(json, "k", json_integer(gate->k));
    if (gate->batch) set(json, "batch", json_integer(gate->batch));
    if (gate->machine) set(json, "machine", json_string(gate->machine));
    if (gate->why) set(json, "why", json_string(gate->why));
    if (trial->verdict == VERDICT_INCONCLUSIVE && answer->needed > 0)
        set(json, "needed_n", json_real(answer->needed));
    if (trial->verdict == VERDICT_INCONCLUSIVE && answer->smallest > 0)
        set(json, "smallest_effect", json_real(answer->smallest));
    return json;
}

static json_t *trials_json(const struct decision *decision, bool measured)
{
    json_t *list = json_array();
    for (size_t i = 0; i < decision->count; i++)
        if (decision->trials[i].measured == measured)
            json_array_append_new(list, trial_json(&decision->trials[i]));
    return list;
}

/* Counts of (label, prediction), only those that occur: [[label, prediction, count], ...]. */
static enum code confusion_json(json_t **list, const struct scores *scores,
                                const struct subject *subject, struct err *err)
{
    int64_t k = scores->classes;
    void *memory = NULL;
    TRY(block_alloc(&memory, (size_t)(k * k) * sizeof(int64_t), "confusion matrix", err));
    int64_t *count = memory;
    for (int64_t i = 0; i < scores->n; i++)
        if (subject->prediction[i] >= 0) count[scores->label[i] * k + subject->prediction[i]]++;
    *list = json_array();
    for (int64_t c = 0; c < k * k; c++)
        if (count[c])
            json_array_append_new(*list, json_pack("[I, I, I]", (json_int_t)(c / k),
                                                   (json_int_t)(c % k), (json_int_t)count[c]));
    block_free(memory);
    return OK;
}

/* Rows, mean confidence and accuracy of each bin of confidence. */
static json_t *reliability_json(const struct scores *scores, const struct subject *subject)
{
    int64_t n[ECE_BINS] = { 0 }, right[ECE_BINS] = { 0 };
    double confidence[ECE_BINS] = { 0 };
    for (int64_t i = 0; i < scores->n; i++) {
        if (subject->hard || subject->prediction[i] < 0) continue;
        int bin = ece_bin(subject->confidence[i]);
        n[bin]++;
        right[bin] += subject->prediction[i] == scores->label[i];
        confidence[bin] += (double)subject->confidence[i];
    }
    json_t *list = json_array();
    for (int bin = 0; bin < ECE_BINS; bin++) {
        if (!n[bin]) continue;
        json_array_append_new(list,
                              json_pack("{s:i, s:I, s:f, s:f}", "bin", bin, "n", (json_int_t)n[bin],
                                        "confidence", confidence[bin] / (double)n[bin], "accuracy",
                                        (double)right[bin] / (double)n[bin]));
    }
    return list;
}

enum code part_quality(json_t **part, const struct suite *suite, const struct scores *scores,
                       const struct decision *decision, const struct part_opts *opts,
                       struct err *err)
{
    struct digest digest = scores_digest(scores);
    json_t *json = json_object();
    *part = json;
    set(json, "n", json_integer(scores->n));
    set(json, "scores", digest_json(&digest));
    set(json, "methods", json_string(STATS_VERSION));
    set(json, "resamples", json_integer(decision->resamples));
    set(json, "interval", json_real(1 - 2 * decision->alpha));
    set(json, "gates", trials_json(decision, false));
    json_t *values = json_array();
    set(json, "values", values);
    enum code code = report_values(values, suite, scores, decision, opts, err);
    if (scores->task == TASK_CLASSIFICATION) {
        json_t *confusion = json_object(), *reliability = json_object(), *list = NULL;
        set(json, "confusion", confusion);
        set(json, "reliability", reliability);
        for (size_t s = 0; s < scores->subject_count && !code; s++) {
            const struct subject *subject = &scores->subjects[s];
            if (subject->missing) continue;
            if ((code = confusion_json(&list, scores, subject, err))) break;
            set(confusion, subject->name, list);
            set(reliability, subject->name, reliability_json(scores, subject));
        }
    }
    if (code) {
        json_decref(json);
        *part = NULL;
    }
    return code;
}

static int compare_samples(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static enum code measurement_json(json_t **out, const struct measurement *measurement, double alpha,
                                  struct err *err)
{
    const struct metric *metric = measurement->metric;
    struct arena arena = { 0 };
    double *sorted = ARENA_ARRAY(&arena, measurement->count + 1, double);
    if (measurement->count)
        memcpy(sorted, measurement->sample, (size_t)measurement->count * sizeof *sorted);
    qsort(sorted, (size_t)measurement->count, sizeof *sorted, compare_samples);
    const struct method *method = method_for(metric, metric->higher ? RULE_AT_LEAST : RULE_AT_MOST,
                                             0);
    struct sample sample = { .metric = metric, .n = measurement->count, .measured = sorted };
    struct question question = { .more = metric->higher, .alpha = alpha };
    struct answer answer;
    enum code code = method_ask(method, &answer, &sample, &question, err);
    json_t *json = json_pack("{s:s, s:I, s:s}", "metric", metric->name, "n",
                             (json_int_t)measurement->count, "method", method->name);
    set(json, "value", real_or_null(answer.value));
    set(json, "low", real_or_null(answer.low));
    set(json, "high", real_or_null(answer.high));
    if (measurement->batch) set(json, "batch", json_integer(measurement->batch));
    *out = json;
    arena_release(&arena);
    return code;
}

enum code part_measured(json_t **part, const struct scores *scores, const struct decision *decision,
                        const struct part_opts *opts, struct err *err)
{
    json_t *json = json_object(), *list = json_array();
    *part = json;
    struct digest digest = scores_measured_digest(scores);
    set(json, "machine", opts->machine ? json_string(opts->machine) : json_null());
    set(json, "device", json_string(opts->device ? opts->device : "cpu"));
    set(json, "samples", digest_json(&digest));
    set(json, "gates", trials_json(decision, true));
    set(json, "system", list);
    for (size_t i = 0; i < scores->measurement_count; i++) {
        json_t *item = NULL;
        TRY(measurement_json(&item, &scores->measurements[i], decision->alpha, err));
        json_array_append_new(list, item);
    }
    return OK;
}

json_t *part_verdict(const struct decision *decision)
{
    json_t *json = json_object(), *warned = json_array(), *points = json_array(),
           *ignored = json_array();
    json_t *lists[VERDICT_COUNT];
    for (int v = 0; v < VERDICT_COUNT; v++) lists[v] = json_array();
    for (size_t i = 0; i < decision->count; i++) {
        const struct trial *trial = &decision->trials[i];
        json_t *id = json_string(trial->id);
        if (trial->counts)
            json_array_append(lists[trial->verdict], id);
        else if (!trial->gate->warn)
            json_array_append(ignored, id);
        else if (trial->verdict != VERDICT_PASS)
            json_array_append(warned, id);
        if (trial->gate->point) json_array_append(points, id);
        json_decref(id);
    }
    set(json, "result", json_string(verdict_text(decision->verdict)));
    for (int v = 0; v < VERDICT_COUNT; v++) set(json, verdict_text((enum verdict)v), lists[v]);
    set(json, "warned", warned);
    set(json, "not_counted", ignored);
    set(json, "decided_by_point", points);
    return json;
}

json_t *report_join(json_t *inputs, json_t *quality, json_t *measured, json_t *verdict,
                    struct digest *digest)
{
    const char *const names[] = { "inputs", "quality", "measured", "verdict" };
    json_t *const parts[] = { inputs, quality, measured, verdict };
    json_t *json = json_object(), *digests = json_object();
    set(json, "pawl", json_string("report/1"));
    for (size_t i = 0; i < 4; i++) {
        struct digest part = json_digest(parts[i]);
        set(digests, names[i], digest_json(&part));
        set(json, names[i], parts[i]);
    }
    *digest = json_digest(digests);
    set(digests, "report", digest_json(digest));
    set(json, "digests", digests);
    return json;
}

enum code report_outcome(const struct decision *decision, struct err *err)
{
    if (decision->verdict == VERDICT_PASS) return OK;
    struct str names = { 0 };
    size_t count = 0;
    for (size_t i = 0; i < decision->count; i++) {
        const struct trial *trial = &decision->trials[i];
        if (!trial->counts || trial->verdict != decision->verdict) continue;
        if (count++ < 4) str_addf(&names, "%s'%s'", names.len ? ", " : "", trial->id);
    }
    if (count > 4) str_addf(&names, " and %zu more", count - 4);
    enum code code = verdict_code(decision->verdict);
    err_set(err, code, code == GATE_FAILED ? "gates failed: %s" : "gates are inconclusive: %s",
            str_text(&names));
    str_release(&names);
    return code;
}
