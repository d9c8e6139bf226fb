/* Reading an effective suite from its JSON, strictly: a report's suite comes through here before a
 * gate is decided, so what is missing, doubled or out of range is damage. */
#include "eval/suite.h"

#include <math.h>
#include <string.h>

static enum code broken(const char *name, const char *what, struct err *err)
{
    return err_set(err, DAMAGED, "cannot use suite in '%s': %s", name, what);
}

static enum code text_of(const char **text, const json_t *object, const char *key, const char *name,
                         struct suite *suite, struct err *err)
{
    TRY(json_get_text(text, object, key, name, err));
    *text = arena_copy(&suite->arena, *text);
    return OK;
}

/* A word out of two: false for the first. */
static enum code word_of(bool *second, const json_t *object, const char *key,
                         const char *const words[2], const char *name, struct err *err)
{
    const char *text;
    TRY(json_get_text(&text, object, key, name, err));
    *second = strcmp(text, words[1]) == 0;
    if (*second || strcmp(text, words[0]) == 0) return OK;
    return err_set(err, DAMAGED, "cannot use '%s': '%s' is '%s'", name, key, text);
}

static enum code optional_real(double *value, const json_t *object, const char *key,
                               const char *name, struct err *err)
{
    *value = NAN;
    return json_object_get(object, key) ? json_get_real(value, object, key, name, err) : OK;
}

static enum code parse_slice(struct suite *suite, struct slice *slice, const json_t *json,
                             const char *name, struct err *err)
{
    json_t *where, *labels;
    TRY(text_of(&slice->name, json, "name", name, suite, err));
    TRY(json_get_object(&where, json, "where", name, err));
    TRY(optional_real(&slice->above, where, "above", name, err));
    TRY(optional_real(&slice->below, where, "below", name, err));
    TRY(optional_real(&slice->equal, where, "equal", name, err));
    TRY(optional_real(&slice->above_quantile, where, "above_quantile", name, err));
    TRY(optional_real(&slice->below_quantile, where, "below_quantile", name, err));
    slice->listed = json_object_get(where, "rows") != NULL;
    if (json_object_get(where, "column"))
        TRY(text_of(&slice->column, where, "column", name, suite, err));
    if (!json_object_get(where, "label")) return OK;
    TRY(json_get_array(&labels, where, "label", name, err));
    slice->label_count = json_array_size(labels);
    int32_t *values = ARENA_ARRAY(&suite->arena, slice->label_count, int32_t);
    for (size_t i = 0; i < slice->label_count; i++) {
        const json_t *item = json_array_get(labels, i);
        if (!json_is_integer(item)) return broken(name, "a label is not an integer", err);
        values[i] = (int32_t)json_integer_value(item);
    }
    slice->labels = values;
    return OK;
}

static enum code parse_rule(struct gate *gate, const json_t *json, const char *name,
                            struct err *err)
{
    const char *text;
    TRY(json_get_text(&text, json, "metric", name, err));
    gate->metric = metric_find(text);
    if (!gate->metric || gate->metric->statistic == STATISTIC_DOCUMENT)
        return broken(name, "it names a metric that is not known", err);
    TRY(json_get_text(&text, json, "rule", name, err));
    for (int r = 0; r < RULE_COUNT; r++) {
        if (strcmp(text, rule_text((enum rule)r)) != 0) continue;
        gate->rule = (enum rule)r;
        return json_get_real(&gate->bar, json, "bar", name, err);
    }
    return broken(name, "it names a rule that is not known", err);
}

static bool names_slice(const struct suite *suite, const char *name)
{
    return strcmp(name, "all") == 0 || suite_slice(suite, name);
}

/* What is compared with what: baseline, two slices, earlier versions, changed rows. */
static enum code parse_sides(struct suite *suite, struct gate *gate, const json_t *json,
                             const char *name, struct err *err)
{
    gate->relative = json_is_true(json_object_get(json, "relative"));
    if (json_object_get(json, "against"))
        TRY(text_of(&gate->against, json, "against", name, suite, err));
    if (rule_is_paired(gate->rule) && !gate->against)
        return broken(name, "a gate has no baseline", err);
    if (gate->relative && !rule_is_paired(gate->rule))
        return broken(name, "a relative margin has no baseline", err);
    if (json_object_get(json, "perturb")) {
        TRY(text_of(&gate->perturb, json, "perturb", name, suite, err));
        bool known = false;
        for (size_t p = 0; p < suite->perturb_count; p++)
            known = known || strcmp(suite->perturbs[p].name, gate->perturb) == 0;
        if (!known) return broken(name, "a gate names a perturbation that is not there", err);
    }
    if (gate->rule == RULE_TREND) {
        TRY(text_of(&gate->over, json, "over", name, suite, err));
        TRY(json_get_int(&gate->last, json, "last", name, err));
        if (gate->last < 3 || gate->last > 100) return broken(name, "a trend is too short", err);
    }
    if (gate->rule != RULE_GAP) return OK;
    json_t *gap;
    TRY(json_get_array(&gap, json, "gap", name, err));
    for (size_t i = 0; i < 2; i++) {
        const char *side = json_string_value(json_array_get(gap, i));
        bool rest = side && i == 1 && strcmp(side, "rest") == 0;
        if (!side || (!rest && !names_slice(suite, side)))
            return broken(name, "a gap names a slice that is not there", err);
        gate->gap[i] = arena_copy(&suite->arena, side);
    }
    return OK;
}

static enum code parse_gate(struct suite *suite, struct gate *gate, const json_t *json,
                            const char *name, struct err *err)
{
    static const char *const severities[] = { "block", "warn" }, *const decides[] = { "bound",
                                                                                      "point" };
    TRY(text_of(&gate->id, json, "id", name, suite, err));
    if (!json_is_boolean(json_object_get(json, "goal")))
        return broken(name, "'goal' is missing or not a boolean", err);
    gate->goal = json_is_true(json_object_get(json, "goal"));
    TRY(parse_rule(gate, json, name, err));
    TRY(json_get_real(&gate->tolerate, json, "tolerate", name, err));
    TRY(json_get_int(&gate->min_examples, json, "min_examples", name, err));
    TRY(word_of(&gate->warn, json, "severity", severities, name, err));
    TRY(word_of(&gate->point, json, "decide", decides, name, err));
    if (json_object_get(json, "why")) TRY(text_of(&gate->why, json, "why", name, suite, err));
    TRY(parse_sides(suite, gate, json, name, err));
    if (gate->metric->takes_k) TRY(json_get_int(&gate->k, json, "k", name, err));
    gate->of_class = 1;
    gate->q = 0.5;
    int64_t of_class = 1;
    if (gate->metric->takes_class) TRY(json_get_int(&of_class, json, "class", name, err));
    if (of_class < 0 || of_class > 1000000) return broken(name, "a class is out of range", err);
    gate->of_class = (int32_t)of_class;
    if (gate->metric->takes_quantile) TRY(json_get_real(&gate->q, json, "q", name, err));
    if (!(gate->q > 0 && gate->q < 1)) return broken(name, "a quantile is out of range", err);
    if (gate->metric->takes_batch) {
        TRY(json_get_int(&gate->batch, json, "batch", name, err));
        TRY(text_of(&gate->machine, json, "machine", name, suite, err));
    }
    const json_t *slice = json_object_get(json, "slice");
    if (json_is_string(slice)) {
        gate->slice = arena_copy(&suite->arena, json_string_value(slice));
        return names_slice(suite, gate->slice)
                   ? OK
                   : broken(name, "a gate names a slice that is not there", err);
    }
    return json_object_get(slice, "every") ? OK : broken(name, "a gate has no slice", err);
}

static enum code parse_perturbs(struct suite *suite, const char *name, struct err *err)
{
    const json_t *list = json_object_get(suite->json, "perturb");
    suite->perturbs = ARENA_ARRAY(&suite->arena, json_array_size(list) + 1, struct suite_perturb);
    for (size_t i = 0; i < json_array_size(list); i++) {
        struct suite_perturb *perturb = &suite->perturbs[i];
        const json_t *item = json_array_get(list, i);
        json_t *with;
        TRY(text_of(&perturb->name, item, "name", name, suite, err));
        TRY(json_get_object(&with, item, "with", name, err));
        TRY(perturb_read(&perturb->how, with, name, err));
        suite->perturb_count++;
    }
    return OK;
}

/* A member that may be null: there is no data section. */
static enum code optional_text(const char **text, const char *key, const char *name,
                               struct suite *suite, struct err *err)
{
    *text = NULL;
    if (json_is_null(json_object_get(suite->json, key))) return OK;
    return text_of(text, suite->json, key, name, suite, err);
}

static void note_baselines(struct suite *suite)
{
    suite->baselines = ARENA_ARRAY(&suite->arena, suite->gate_count, const char *);
    for (size_t i = 0; i < suite->gate_count; i++) {
        const char *against = suite->gates[i].against;
        bool fresh = against != NULL;
        for (size_t b = 0; fresh && b < suite->baseline_count; b++)
            fresh = strcmp(against, suite->baselines[b]) != 0;
        if (fresh) suite->baselines[suite->baseline_count++] = against;
    }
}

static enum code parse(struct suite *suite, const char *name, struct err *err)
{
    static const char *const firsts[] = { "hold", "pass" }, *const smalls[] = { "inconclusive",
                                                                                "report" };
    const json_t *json = suite->json;
    json_t *slices, *gates;
    TRY(text_of(&suite->name, json, "name", name, suite, err));
    TRY(optional_text(&suite->split, "split", name, suite, err));
    TRY(optional_text(&suite->train_split, "train_split", name, suite, err));
    if (json_object_get(json, "cluster"))
        TRY(text_of(&suite->cluster, json, "cluster", name, suite, err));
    TRY(parse_perturbs(suite, name, err));
    TRY(json_get_real(&suite->alpha, json, "alpha", name, err));
    if (!(suite->alpha > 0 && suite->alpha <= 0.2))
        return broken(name, "alpha is out of range", err);
    TRY(word_of(&suite->first_passes, json, "first", firsts, name, err));
    TRY(word_of(&suite->small_reported, json, "small_slices", smalls, name, err));
    TRY(json_get_array(&slices, json, "slices", name, err));
    TRY(json_get_array(&gates, json, "gates", name, err));
    suite->slices = ARENA_ARRAY(&suite->arena, json_array_size(slices), struct slice);
    for (; suite->slice_count < json_array_size(slices); suite->slice_count++)
        TRY(parse_slice(suite, &suite->slices[suite->slice_count],
                        json_array_get(slices, suite->slice_count), name, err));
    if (json_array_size(gates) == 0) return broken(name, "it has no gates", err);
    suite->gates = ARENA_ARRAY(&suite->arena, json_array_size(gates), struct gate);
    for (; suite->gate_count < json_array_size(gates); suite->gate_count++)
        TRY(parse_gate(suite, &suite->gates[suite->gate_count],
                       json_array_get(gates, suite->gate_count), name, err));
    note_baselines(suite);
    suite->digest = json_digest(json);
    return OK;
}

enum code suite_parse(struct suite *suite, json_t *json, const char *name, struct err *err)
{
    *suite = (struct suite){ .json = json_incref(json) };
    const char *kind = json_string_value(json_object_get(json, "pawl"));
    enum code code = kind && strcmp(kind, "suite/1") == 0
                         ? parse(suite, name, err)
                         : broken(name, "it is not a suite/1 document", err);
    if (code) suite_release(suite);
    return code;
}

void suite_release(struct suite *suite)
{
    json_decref(suite->json);
    arena_release(&suite->arena);
    *suite = (struct suite){ 0 };
}

const struct slice *suite_slice(const struct suite *suite, const char *name)
{
    for (size_t i = 0; i < suite->slice_count; i++)
        if (strcmp(suite->slices[i].name, name) == 0) return &suite->slices[i];
    return NULL;
}
