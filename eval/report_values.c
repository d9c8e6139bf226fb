/* The values of a report: every metric that the scores hold, on all rows and on every slice, for
 * each subject under each condition, with the intervals of the method that a gate would use. */
#include "eval/gate_rows.h"
#include "eval/report_parts.h"

#include <math.h>
#include <string.h>

static void set(json_t *json, const char *key, json_t *value)
{
    REQUIRE(json_object_set_new(json, key, value) == 0);
}

/* Above this many rows of an evaluation nothing is drawn row by row for a value that no gate asks
 * for: its interval decides nothing, and would take longer than everything else together. */
enum { DRAWN_ROWS = 100000 };

/* What a list of values is made with. */
struct valuing {
    json_t *list;
    const struct suite *suite;
    const struct scores *scores;
    const struct decision *decision;
    const struct part_opts *opts;
    struct row_question *asked; /* the metrics, without subjects */
    size_t asked_count;
};

static bool is_asked(const struct valuing *v, const struct row_question *question)
{
    for (size_t i = 0; i < v->asked_count; i++) {
        const struct row_question *q = &v->asked[i];
        if (q->metric == question->metric && q->k == question->k &&
            q->of_class == question->of_class && q->q == question->q)
            return true;
    }
    return false;
}

static void ask_for(struct valuing *v, const struct row_question *question)
{
    bool value = question->metric->score || question->metric->corpus || question->metric->needs;
    if (!value || !(question->metric->fits & 1u << v->scores->task) || is_asked(v, question))
        return;
    v->asked[v->asked_count++] = *question;
}

/* Per-example metrics, metrics over many rows that need no options, and whatever gates name. */
static void choose_metrics(struct valuing *v, struct arena *arena)
{
    const struct scores *scores = v->scores;
    const struct suite *suite = v->suite;
    v->asked = ARENA_ARRAY(arena, metric_count + scores->kind_count + suite->gate_count,
                           struct row_question);
    for (size_t k = 0; k < scores->kind_count; k++)
        ask_for(v, &(struct row_question){ .metric = scores->kinds[k].metric,
                                           .k = scores->kinds[k].k,
                                           .of_class = 1,
                                           .q = 0.5 });
    for (size_t m = 0; m < metric_count; m++) {
        const struct metric *metric = &metrics[m];
        bool plain = !metric->score && !metric->takes_k && !metric->takes_quantile &&
                     (!metric->takes_class || scores->classes == 2);
        if (plain) ask_for(v, &(struct row_question){ .metric = metric, .of_class = 1, .q = 0.5 });
    }
    for (size_t g = 0; g < suite->gate_count; g++)
        ask_for(v, &(struct row_question){ .metric = suite->gates[g].metric,
                                           .k = suite->gates[g].k,
                                           .of_class = suite->gates[g].of_class,
                                           .q = suite->gates[g].q });
}

static enum code answer_value(struct valuing *v, struct answer *answer, bool *bounded,
                              const char **method_name, const struct rows *rows,
                              const struct row_question *question, const char *slice,
                              struct err *err)
{
    const struct metric *metric = question->metric;
    struct arena arena = { 0 };
    struct demand demand = { .metric = metric,
                             .rule = metric->higher ? RULE_AT_LEAST : RULE_AT_MOST,
                             .clustered = rows->cluster != NULL };
    const struct method *method = method_of(&demand);
    struct sample sample = rows_sample(rows, question);
    sample.kept = v->decision->kept;
    sample.path = resample_path(&arena, question, slice);
    sample.seed = v->opts->seed;
    sample.resamples = method ? v->decision->resamples : 0;
    sample.sparing = v->scores->n > DRAWN_ROWS;
    sample.threads = v->opts->threads;
    *bounded = method != NULL;
    *method_name = method ? method->name : "none";
    if (!method) method = method_for(metric, demand.rule, 0);
    struct question plain = { .more = metric->higher, .alpha = v->decision->alpha };
    enum code code = OK;
    if (method && rows->finite && rows->other_finite)
        code = method_ask(method, answer, &sample, &plain, err);
    *bounded = *bounded && !answer->few && !answer->degenerate;
    if (answer->spared) *method_name = "none";
    arena_release(&arena);
    return code;
}

static enum code add_value(struct valuing *v, const struct row_question *question,
                           const struct row_choice *choice, const char *slice, struct err *err)
{
    struct rows rows;
    struct answer answer = { .value = NAN, .low = NAN, .high = NAN };
    bool bounded = false;
    const char *method = "none";
    TRY(rows_gather(&rows, v->scores, choice, question, err));
    bool held = rows.held && rows.other_held;
    enum code code = held ? answer_value(v, &answer, &bounded, &method, &rows, question, slice, err)
                          : OK;
    if (held) {
        json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:I, s:s}", "metric", question->metric->name,
                                 "slice", slice, "subject", question->subject->name, "condition",
                                 question->subject->condition, "n", (json_int_t)rows.n, "method",
                                 method);
        set(json, "value", real_or_null(answer.value));
        set(json, "low", real_or_null(bounded ? answer.low : NAN));
        set(json, "high", real_or_null(bounded ? answer.high : NAN));
        if (question->k) set(json, "k", json_integer(question->k));
        if (question->metric->takes_class) set(json, "class", json_integer(question->of_class));
        if (question->metric->takes_quantile) set(json, "q", json_real(question->q));
        json_array_append_new(v->list, json);
    }
    rows_release(&rows);
    return code;
}

/* A question about one subject; false when the metric compares two and there is no second one. */
static bool about(struct row_question *question, const struct valuing *v, size_t asked, size_t who,
                  size_t condition)
{
    *question = v->asked[asked];
    question->subject = scores_subject(v->scores, who, condition);
    if (!(question->metric->needs & NEEDS_BASELINE)) return true;
    bool drop = strcmp(question->metric->name, "robustness_drop") == 0;
    if (!drop || condition == 0) return false; /* churn is a gate's: against which baseline? */
    question->other = scores_subject(v->scores, who, 0);
    return !question->other->missing;
}

/* Per-example metrics on the suite's slices, and accuracy on each label. */
static enum code add_slices(struct valuing *v, size_t who, struct err *err)
{
    const struct scores *scores = v->scores;
    struct row_question question;
    for (size_t s = 0; s < scores->slice_count; s++) {
        struct row_choice choice = { scores->slices[s].name, -1, NULL };
        for (size_t m = 0; m < v->asked_count; m++) {
            if (!v->asked[m].metric->score || !about(&question, v, m, who, 0)) continue;
            TRY(add_value(v, &question, &choice, choice.slice, err));
        }
    }
    bool classes = scores->task == TASK_CLASSIFICATION;
    for (int32_t label = 0; classes && label < scores->classes; label++) {
        char slice[32];
        snprintf(slice, sizeof slice, "label=%d", label);
        struct row_choice choice = { slice, label, NULL };
        question = (struct row_question){ .metric = metric_find("accuracy"),
                                          .subject = scores_subject(scores, who, 0) };
        TRY(add_value(v, &question, &choice, slice, err));
    }
    return OK;
}

enum code report_values(json_t *values, const struct suite *suite, const struct scores *scores,
                        const struct decision *decision, const struct part_opts *opts,
                        struct err *err)
{
    struct arena arena = { 0 };
    struct valuing v = {
        .list = values, .suite = suite, .scores = scores, .decision = decision, .opts = opts
    };
    struct row_choice all = { "all", -1, NULL };
    struct row_question question;
    enum code code = OK;
    choose_metrics(&v, &arena);
    for (size_t c = 0; c < scores->condition_count && !code; c++) {
        for (size_t s = 0; s < scores->subject_count && !code; s++) {
            if (scores_subject(scores, s, c)->missing) continue;
            for (size_t m = 0; m < v.asked_count && !code; m++)
                if (about(&question, &v, m, s, c))
                    code = add_value(&v, &question, &all, "all", err);
            if (!code && c == 0) code = add_slices(&v, s, err);
        }
    }
    arena_release(&arena);
    return code;
}

/* {gate: [{version, value}]} -> {gate: [value]} */
static json_t *history_values(const json_t *history)
{
    const char *gate;
    json_t *list, *item, *values = json_object();
    size_t index;
    json_object_foreach((json_t *)(uintptr_t)history, gate, list)
    {
        json_t *numbers = json_array();
        json_array_foreach(list, index, item)
        {
            const json_t *value = json_object_get(item, "value");
            if (json_is_number(value))
                json_array_append_new(numbers, json_real(json_number_value(value)));
        }
        set(values, gate, numbers);
    }
    return values;
}

struct decide_opts part_deciding(const json_t *inputs, const struct part_opts *opts)
{
    const json_t *history = json_object_get(inputs, "history");
    const json_t *registry = json_object_get(inputs, "registry");
    return (struct decide_opts){
        .seed = opts->seed,
        .machine = opts->machine,
        .threads = opts->threads,
        .look = json_integer_value(json_object_get(registry, "look")),
        .history = json_is_object(history) ? history_values(history) : NULL,
    };
}
