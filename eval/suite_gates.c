/* Gates of a document: what the table of keys cannot say is checked here, and every gate gets every
 * member that decides it.
 *
 * A key that would do nothing is refused: it was meant to do something. */
#include "eval/suite_reader.h"

#include <math.h>
#include <string.h>

static void set(json_t *json, const char *key, json_t *value)
{
    REQUIRE(json_object_set_new(json, key, value) == 0);
}

static const struct metric *read_metric(struct reader *reader, const struct node *gate)
{
    const struct node *node = node_at(gate, "metric");
    const struct metric *metric = metric_find(node->text);
    if (metric && metric->statistic != STATISTIC_DOCUMENT) return metric;
    const char **names = ARENA_ARRAY(reader->arena, metric_count + 1, const char *);
    struct str allowed = { 0 };
    size_t count = 0;
    for (size_t i = 0; i < metric_count; i++) {
        if (metrics[i].statistic == STATISTIC_DOCUMENT) continue;
        str_addf(&allowed, "%s%s", count ? ", " : "metrics: ", metrics[i].name);
        names[count++] = metrics[i].name;
    }
    struct problem *problem = reader_refuse(
        reader, node,
        metric ? arena_format(reader->arena, "metric '%s' is a table and has no bar", node->text)
               : arena_format(reader->arena, "unknown metric '%s'",
                              text_shown(reader->arena, node->text)));
    problem->allowed = arena_copy(reader->arena, str_text(&allowed));
    problem->nearest = metric ? NULL : text_nearest(node->text, names);
    if (problem->nearest)
        problem->hint = arena_format(reader->arena, "did you mean '%s'?", problem->nearest);
    str_release(&allowed);
    return NULL;
}

/* The node that states a rule's bar: a gap has its bar under at_most. */
static const struct node *limit_of(const struct node *gate, enum rule rule)
{
    return node_at(gate, rule == RULE_GAP ? "at_most" : rule_text(rule));
}

/* Exactly one rule; -1 after a problem. */
static int read_rule(struct reader *reader, const struct node *gate)
{
    int found = -1;
    const struct node *gap = node_at(gate, "gap");
    for (int r = 0; r < RULE_COUNT; r++) {
        const struct node *node = node_at(gate, rule_text((enum rule)r));
        if (!node || (gap && r == RULE_AT_MOST)) continue; /* at_most bounds the gap */
        if (found >= 0) {
            struct problem *problem = reader_refuse(
                reader, node,
                arena_format(reader->arena, "a gate has one rule, this one has %s and %s",
                             rule_text((enum rule)found), rule_text((enum rule)r)));
            problem->hint = "make two gates of it";
            return -1;
        }
        found = r;
    }
    if (found == RULE_GAP && !limit_of(gate, RULE_GAP)) {
        reader_refuse(reader, gap, "a gap needs its bar")->hint = "add 'at_most: 0.10'";
        return -1;
    }
    if (found >= 0) return found;
    reader_refuse(reader, gate, "this gate has no rule")->allowed =
        "rules: at_least, at_most, not_worse_by, better_by, gain_at_most, gap, trend";
    return -1;
}

const char *against_text(struct arena *arena, const struct node *gate)
{
    if (!node_has(gate, "against")) return NULL;
    const struct node *options = node_options(gate, "against");
    if (strcmp(node_choice(gate, "against"), "anchor") == 0)
        return arena_format(arena, "anchor:%s", node_text(options, "digest"));
    return node_text(options, "ref");
}

static bool check_against(struct reader *reader, const struct node *gate,
                          const struct metric *metric)
{
    const char *text = against_text(reader->arena, gate);
    const struct node *options = node_options(gate, "against");
    struct digest digest;
    if (text_starts(text, "anchor:") && !digest_parse(&digest, text + 7)) {
        reader_refuse(
            reader, node_at(options, "digest"),
            arena_format(reader->arena, "'%s' is no digest", text_shown(reader->arena, text + 7)))
            ->hint = "write sha256: and 64 hexadecimal digits";
        return false;
    }
    if (strcmp(text, "majority") == 0 && !(metric->fits & FITS_CLASSIFICATION)) {
        reader_refuse(reader, node_at(options, "ref"),
                      "the baseline 'majority' is for classification");
        return false;
    }
    return true;
}

/* One number about two subjects: churn against a baseline, the drop under a perturbation. */
static bool check_two(struct reader *reader, const struct node *gate, const struct metric *metric,
                      enum rule rule)
{
    bool drop = strcmp(metric->name, "robustness_drop") == 0;
    if (rule != RULE_AT_MOST) {
        reader_refuse(reader, limit_of(gate, rule),
                      arena_format(reader->arena, "'%s' is a distance: '%s' does not guard it",
                                   metric->name, rule_text(rule)))
            ->hint = "use at_most";
        return false;
    }
    const char *needed = drop ? "perturb" : "against", *other = drop ? "against" : "perturb";
    if (!node_has(gate, needed)) {
        reader_refuse(reader, node_at(gate, "metric"),
                      arena_format(reader->arena, "'%s' needs '%s'", metric->name, needed));
        return false;
    }
    if (drop && node_has(gate, other)) {
        reader_refuse(
            reader, node_options(gate, other),
            arena_format(reader->arena, "'%s' compares the model with itself", metric->name));
        return false;
    }
    return drop || check_against(reader, gate, metric);
}

/* Whether rule, metric and `against` go together. */
static bool check_rule(struct reader *reader, const struct node *gate, const struct metric *metric,
                       enum rule rule)
{
    const struct node *node = limit_of(gate, rule), *against = node_at(gate, "against");
    bool pair = rule_is_paired(rule);
    if (!pair && metric->needs & NEEDS_BASELINE) return check_two(reader, gate, metric, rule);
    if (pair && !against) {
        reader_refuse(reader, node,
                      arena_format(reader->arena, "'%s' needs a baseline", rule_text(rule)))
            ->hint = "add 'against: majority', 'against: linear' or a model";
        return false;
    }
    if (!pair && against) {
        reader_refuse(reader, node_options(gate, "against"),
                      arena_format(reader->arena,
                                   "'%s' looks at the model alone and has no baseline",
                                   rule_text(rule)))
            ->hint = "with 'against' the rules are not_worse_by, better_by and gain_at_most";
        return false;
    }
    bool system = metric->statistic == STATISTIC_SYSTEM || metric->statistic == STATISTIC_EXACT;
    if (system && rule != RULE_AT_LEAST && rule != RULE_AT_MOST) {
        reader_refuse(reader, node,
                      arena_format(reader->arena,
                                   "'%s' is measured for the model alone: '%s' does not fit",
                                   metric->name, rule_text(rule)))
            ->hint = "use at_most or at_least";
        return false;
    }
    bool alone = rule == RULE_AT_LEAST || rule == RULE_AT_MOST;
    if (alone && metric->higher != (rule == RULE_AT_LEAST)) {
        reader_refuse(
            reader, node,
            arena_format(reader->arena, "'%s' is better when it is %s: '%s' does not guard it",
                         metric->name, metric->higher ? "larger" : "smaller", rule_text(rule)))
            ->hint = metric->higher ? "use at_least" : "use at_most";
        return false;
    }
    return !against || check_against(reader, gate, metric);
}

/* Keys that say something only for some metrics; elsewhere they would silently do nothing. */
static void check_extras(struct reader *reader, const struct node *gate,
                         const struct metric *metric)
{
    const struct {
        const char *key;
        bool fits;
    } extras[] = { { "k", metric->takes_k },
                   { "class", metric->takes_class },
                   { "q", metric->takes_quantile },
                   { "batch", metric->takes_batch },
                   { "machine", metric->takes_batch } };
    for (size_t i = 0; i < sizeof extras / sizeof *extras; i++) {
        const struct node *node = node_at(gate, extras[i].key);
        if (!node || extras[i].fits) continue;
        problem_add(reader->problems, node->key_mark, "'%s' does nothing for metric '%s'",
                    extras[i].key, metric->name)
            ->hint = "remove it";
    }
    bool system = metric->statistic == STATISTIC_SYSTEM || metric->statistic == STATISTIC_EXACT;
    const char *slice = node_choice(gate, "slice");
    bool whole = strcmp(slice, "named") == 0 &&
                 strcmp(node_text(node_options(gate, "slice"), "slice"), "all") == 0;
    const struct node *few = node_at(gate, "min_examples");
    if (system && !whole)
        reader_refuse(reader, node_options(gate, "slice"),
                      arena_format(reader->arena, "'%s' is not measured by slices", metric->name));
    if (system && node_has(gate, "perturb"))
        reader_refuse(
            reader, node_at(gate, "perturb"),
            arena_format(reader->arena, "'%s' is measured on the rows as they are", metric->name));
    if (system && !few->is_default)
        problem_add(reader->problems, few->key_mark, "'min_examples' does nothing for metric '%s'",
                    metric->name)
            ->hint = "remove it";
}

/* Keys of one rule, and rules that say by themselves which rows they are about. */
static void check_places(struct reader *reader, const struct node *gate, enum rule rule)
{
    static const char *const trend_keys[] = { "over", "last" };
    for (size_t i = 0; i < 2; i++) {
        const struct node *node = node_at(gate, trend_keys[i]);
        if (!node || rule == RULE_TREND) continue;
        problem_add(reader->problems, node->key_mark, "'%s' does nothing for '%s'", trend_keys[i],
                    rule_text(rule))
            ->hint = "remove it";
    }
    const struct node *options = node_options(gate, "slice");
    bool every = strcmp(node_choice(gate, "slice"), "every") == 0;
    bool whole = !every && strcmp(node_text(options, "slice"), "all") == 0;
    if (rule == RULE_TREND && !node_has(gate, "over"))
        reader_refuse(reader, node_at(gate, "trend"), "a trend needs the channel it looks back at")
            ->hint = "add 'over: NAME@CHANNEL'";
    if (rule == RULE_TREND && every)
        reader_refuse(reader, options, "a trend is looked at on one slice");
    if (rule == RULE_TREND && node_has(gate, "perturb"))
        reader_refuse(reader, node_at(gate, "perturb"), "a trend is looked at on clean rows");
    if (rule == RULE_GAP && !whole)
        reader_refuse(reader, options, "a gap names its slices itself")->hint = "remove 'slice'";
}

/* The two sides of a gap as JSON; NULL after a problem. */
static json_t *read_gap(struct reader *reader, const struct node *gate)
{
    const struct node *list = node_at(gate, "gap");
    if (node_count(gate, "gap") != 2) {
        reader_refuse(reader, list, "a gap is between two slices")->hint = "write [NAME, rest]";
        return NULL;
    }
    const struct node *first = list->first, *second = list->first->next;
    bool rest = strcmp(second->text, "rest") == 0;
    bool vain = strcmp(first->text, second->text) == 0 || strcmp(first->text, "rest") == 0 ||
                strcmp(first->text, "all") == 0 || strcmp(second->text, "all") == 0;
    if (vain) {
        reader_refuse(reader, first, "a gap is between two slices")->hint = "write [NAME, rest]";
        return NULL;
    }
    if (!reader_named(reader, "slices", "slice", first)) return NULL;
    if (!rest && !reader_named(reader, "slices", "slice", second)) return NULL;
    return json_pack("[s,s]", first->text, second->text);
}

/* The slice of a gate as JSON: a name, or {"every": "label"}; NULL after a problem. */
static json_t *read_slice(struct reader *reader, const struct node *gate)
{
    const struct node *options = node_options(gate, "slice");
    if (strcmp(options->key, "every") == 0) return json_pack("{s:s}", "every", "label");
    const struct node *node = node_at(options, "slice");
    if (strcmp(node->text, "all") == 0) return json_string("all");
    return reader_named(reader, "slices", "slice", node) ? json_string(node->text) : NULL;
}

/* The id as written, or one made from what the gate says; unique in either case. */
static const char *read_id(struct reader *reader, const struct node *gate, const json_t *slice,
                           const struct metric *metric, enum rule rule)
{
    const struct node *node = node_at(gate, "id");
    if (node) {
        if (json_object_get(reader->ids, node->text)) {
            reader_refuse(reader, node,
                          arena_format(reader->arena, "two gates have the id '%s'", node->text));
            return NULL;
        }
        json_object_set_new(reader->ids, node->text, json_true());
        return node->text;
    }
    const char *part = json_string_value(slice);
    const char *against = against_text(reader->arena, gate);
    struct str stem = { 0 };
    str_addf(&stem, "%s-%s", metric->name, rule_text(rule));
    if (against) str_addf(&stem, "-%.19s", against);
    if (rule == RULE_GAP)
        str_addf(&stem, "-%s-%s", node_at(gate, "gap")->first->text,
                 node_at(gate, "gap")->first->next->text);
    if (!part) str_add(&stem, "-every-label");
    if (part && strcmp(part, "all") != 0) str_addf(&stem, "-%s", part);
    if (node_has(gate, "perturb")) str_addf(&stem, "-%s", node_text(gate, "perturb"));
    const char *id = arena_copy(reader->arena, str_text(&stem));
    for (int i = 2; json_object_get(reader->ids, id); i++)
        id = arena_format(reader->arena, "%s-%d", str_text(&stem), i);
    str_release(&stem);
    json_object_set_new(reader->ids, id, json_true());
    return id;
}

/* Members that only some gates have. */
static void add_particulars(struct reader *reader, json_t *json, const struct node *gate,
                            const struct metric *metric, enum rule rule)
{
    const char *against = against_text(reader->arena, gate);
    if (against) set(json, "against", json_string(against));
    if (node_has(gate, "perturb")) set(json, "perturb", json_string(node_text(gate, "perturb")));
    if (rule == RULE_TREND) {
        set(json, "over", json_string(node_text(gate, "over")));
        set(json, "last", json_integer(node_has(gate, "last") ? node_int(gate, "last") : 6));
    }
    if (metric->takes_k)
        set(json, "k", json_integer(node_has(gate, "k") ? node_int(gate, "k") : METRIC_K));
    if (metric->takes_class)
        set(json, "class", json_integer(node_has(gate, "class") ? node_int(gate, "class") : 1));
    if (metric->takes_quantile)
        set(json, "q", json_real(node_has(gate, "q") ? node_real(gate, "q") : 0.5));
    if (metric->takes_batch) {
        int64_t usual = metric->higher ? 256 : 1;
        set(json, "batch", json_integer(node_has(gate, "batch") ? node_int(gate, "batch") : usual));
        set(json, "machine",
            json_string(node_has(gate, "machine") ? node_text(gate, "machine") : "any"));
    }
    if (node_has(gate, "why")) set(json, "why", json_string(node_text(gate, "why")));
}

void reader_gate(struct reader *reader, json_t *gates, const struct node *gate, bool goal)
{
    int before = reader->problems->count;
    const struct metric *metric = read_metric(reader, gate);
    int found = read_rule(reader, gate);
    if (!metric || found < 0) return;
    enum rule rule = (enum rule)found;
    const struct node *limit = limit_of(gate, rule), *perturb = node_at(gate, "perturb");
    json_t *gap = NULL, *slice = read_slice(reader, gate);
    bool relative = false;
    double bar = reader_bar(reader, &relative, limit, metric, rule);
    double tolerate = reader_tolerance(reader, gate, metric, rule, relative ? 0 : bar);
    bool fine = check_rule(reader, gate, metric, rule);
    check_extras(reader, gate, metric);
    check_places(reader, gate, rule);
    if (perturb && !reader_named(reader, "perturb", "perturbation", perturb)) fine = false;
    if (rule == RULE_GAP) {
        gap = read_gap(reader, gate);
        fine = fine && gap;
    }
    fine = fine && reader->problems->count == before;
    const char *id = slice && fine ? read_id(reader, gate, slice, metric, rule) : NULL;
    if (isnan(bar) || !id) {
        json_decref(slice);
        json_decref(gap);
        return;
    }
    json_t *json = json_object();
    set(json, "id", json_string(id));
    set(json, "goal", json_boolean(goal));
    set(json, "metric", json_string(metric->name));
    set(json, "rule", json_string(rule_text(rule)));
    set(json, "bar", json_real(bar));
    if (relative) set(json, "relative", json_true());
    if (gap) set(json, "gap", gap);
    set(json, "slice", slice);
    set(json, "tolerate", json_real(tolerate));
    set(json, "min_examples", json_integer(node_int(gate, "min_examples")));
    set(json, "severity", json_string(node_text(gate, "severity")));
    set(json, "decide", json_string(node_text(gate, "decide")));
    add_particulars(reader, json, gate, metric, rule);
    json_array_append_new(gates, json);
}
