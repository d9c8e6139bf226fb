/* From the document to the effective suite: what the tables of keys cannot say is checked here, and
 * every gate gets every member.
 *
 * All problems are collected with their place; JSON is only made of what is sound. */
#include "eval/suite.h"

#include <math.h>
#include <string.h>

struct reader {
    struct arena *arena;
    struct problems *problems;
    const struct node *root;
    json_t *ids; /* object: ids taken so far */
};

const char *rule_text(enum rule rule)
{
    static const char *const texts[RULE_COUNT] = {
        [RULE_AT_LEAST] = "at_least",
        [RULE_AT_MOST] = "at_most",
        [RULE_NOT_WORSE_BY] = "not_worse_by",
        [RULE_BETTER_BY] = "better_by",
        [RULE_GAIN_AT_MOST] = "gain_at_most",
        [RULE_GAP] = "gap",
        [RULE_TREND] = "trend",
    };
    return texts[rule];
}

bool rule_is_paired(enum rule rule)
{
    return rule == RULE_NOT_WORSE_BY || rule == RULE_BETTER_BY || rule == RULE_GAIN_AT_MOST;
}

bool rule_wants_more(enum rule rule)
{
    return rule == RULE_AT_LEAST || rule == RULE_NOT_WORSE_BY || rule == RULE_BETTER_BY ||
           rule == RULE_TREND;
}

const char *suite_data_file(struct arena *arena, const struct document *document)
{
    return node_has(document->root, "data.file") ? node_path(arena, document->root, "data.file")
                                                 : NULL;
}

static struct problem *refuse(struct reader *reader, const struct node *node, const char *message)
{
    return problem_add(reader->problems, node->mark, "%s", message);
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
    struct problem *problem = refuse(
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

/* Exactly one rule; -1 after a problem. */
static int read_rule(struct reader *reader, const struct node *gate)
{
    int found = -1;
    for (int r = 0; r < RULE_COUNT; r++) {
        const struct node *node = node_at(gate, rule_text((enum rule)r));
        if (!node) continue;
        if (found >= 0) {
            struct problem *problem = refuse(
                reader, node,
                arena_format(reader->arena, "a gate has one rule, this one has %s and %s",
                             rule_text((enum rule)found), rule_text((enum rule)r)));
            problem->hint = "make two gates of it";
            return -1;
        }
        found = r;
    }
    if (found >= 0) return found;
    refuse(reader, gate, "this gate has no rule")->allowed =
        "rules: at_least, at_most, not_worse_by, better_by, gain_at_most";
    return -1;
}

/* A bar in the metric's unit; NaN after a problem. */
static double read_bar(struct reader *reader, const struct node *node, const struct metric *metric)
{
    const char *reason = NULL, *what = "a number";
    double value = NAN;
    int64_t bytes = 0;
    bool fine;
    if (metric->unit == UNIT_SECONDS) {
        what = "a time with its unit, like 2ms";
        fine = units_time(&value, node->text, NULL, &reason);
    } else if (metric->unit == UNIT_BYTES) {
        what = "bytes, like 8MiB";
        fine = units_bytes(&bytes, node->text, &reason);
        value = (double)bytes;
    } else {
        fine = !node->quoted && units_real(&value, node->text, false, &reason);
    }
    if (!fine) {
        refuse(reader, node,
               arena_format(reader->arena, "the bar of '%s' must be %s, got '%s'", metric->name,
                            what, text_shown(reader->arena, node->text)))
            ->hint = reason;
        return NAN;
    }
    bool share = metric->unit == UNIT_NONE && metric->statistic != STATISTIC_MEAN;
    if (value < 0 || (share && value > 1)) {
        refuse(reader, node,
               arena_format(reader->arena, "the bar of '%s' must be %s, got %s", metric->name,
                            share ? "from 0 to 1" : "at least 0",
                            text_shown(reader->arena, node->text)))
            ->hint = share && value <= 100 ? "shares are written as 0.91, not 91" : NULL;
        return NAN;
    }
    return value;
}

/* Whether rule, metric and `against` go together. */
static bool check_rule(struct reader *reader, const struct node *gate, const struct metric *metric,
                       enum rule rule)
{
    const struct node *node = node_at(gate, rule_text(rule)), *against = node_at(gate, "against");
    if (rule_is_paired(rule) && !against) {
        refuse(reader, node, arena_format(reader->arena, "'%s' needs a baseline", rule_text(rule)))
            ->hint = "add 'against: majority', 'against: linear' or a model";
        return false;
    }
    if (!rule_is_paired(rule) && against) {
        refuse(reader, against,
               arena_format(reader->arena, "'%s' looks at the model alone and has no baseline",
                            rule_text(rule)))
            ->hint = "with 'against' the rules are not_worse_by, better_by and gain_at_most";
        return false;
    }
    bool system = metric->statistic == STATISTIC_SYSTEM || metric->statistic == STATISTIC_EXACT;
    if (system && rule_is_paired(rule)) {
        refuse(reader, node,
               arena_format(reader->arena,
                            "'%s' is measured for the model alone: '%s' does not fit", metric->name,
                            rule_text(rule)))
            ->hint = "use at_most or at_least";
        return false;
    }
    if (!rule_is_paired(rule) && metric->higher != (rule == RULE_AT_LEAST)) {
        refuse(reader, node,
               arena_format(reader->arena, "'%s' is better when it is %s: '%s' does not guard it",
                            metric->name, metric->higher ? "larger" : "smaller", rule_text(rule)))
            ->hint = metric->higher ? "use at_least" : "use at_most";
        return false;
    }
    if (against && strcmp(against->text, "majority") == 0 &&
        !(metric->fits & FITS_CLASSIFICATION)) {
        refuse(reader, against, "the baseline 'majority' is for classification");
        return false;
    }
    return true;
}

/* Keys that say something only for some metrics; elsewhere they would silently do nothing. */
static void check_extras(struct reader *reader, const struct node *gate,
                         const struct metric *metric)
{
    const struct {
        const char *key;
        bool fits;
    } extras[] = { { "k", metric->takes_k },
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
        refuse(reader, node_options(gate, "slice"),
               arena_format(reader->arena, "'%s' is not measured by slices", metric->name));
    if (system && !few->is_default)
        problem_add(reader->problems, few->key_mark, "'min_examples' does nothing for metric '%s'",
                    metric->name)
            ->hint = "remove it";
}

/* The slice of a gate as JSON: a name, or {"every": "label"}; NULL after a problem. */
static json_t *read_slice(struct reader *reader, const struct node *gate)
{
    const struct node *options = node_options(gate, "slice");
    if (strcmp(options->key, "every") == 0) return json_pack("{s:s}", "every", "label");
    const struct node *node = node_at(options, "slice");
    if (strcmp(node->text, "all") == 0) return json_string("all");
    const char *names[128] = { "all" };
    size_t count = 1;
    const struct node *slices = node_at(reader->root, "slices");
    for (const struct node *s = slices ? slices->first : NULL; s; s = s->next) {
        const char *name = node_text(s, "name");
        if (strcmp(name, node->text) == 0) return json_string(name);
        if (count < 127) names[count++] = name;
    }
    struct problem *problem = refuse(
        reader, node,
        arena_format(reader->arena, "unknown slice '%s'", text_shown(reader->arena, node->text)));
    problem->nearest = text_nearest(node->text, names);
    problem->hint = problem->nearest
                        ? arena_format(reader->arena, "did you mean '%s'?", problem->nearest)
                        : "name it under 'slices'";
    return NULL;
}

/* The id as written, or one made from what the gate says; unique in either case. */
static const char *read_id(struct reader *reader, const struct node *gate, const json_t *slice,
                           const struct metric *metric, enum rule rule)
{
    const struct node *node = node_at(gate, "id");
    if (node) {
        if (json_object_get(reader->ids, node->text)) {
            refuse(reader, node,
                   arena_format(reader->arena, "two gates have the id '%s'", node->text));
            return NULL;
        }
        json_object_set_new(reader->ids, node->text, json_true());
        return node->text;
    }
    const char *part = json_string_value(slice);
    const struct node *against = node_at(gate, "against");
    const char *stem = arena_format(reader->arena, "%s-%s%s%s%s%s", metric->name, rule_text(rule),
                                    against ? "-" : "", against ? against->text : "",
                                    part && strcmp(part, "all") == 0 ? "" : "-",
                                    !part                      ? "every-label"
                                    : strcmp(part, "all") == 0 ? ""
                                                               : part);
    const char *id = stem;
    for (int i = 2; json_object_get(reader->ids, id); i++)
        id = arena_format(reader->arena, "%s-%d", stem, i);
    json_object_set_new(reader->ids, id, json_true());
    return id;
}

static void set(json_t *json, const char *key, json_t *value)
{
    REQUIRE(json_object_set_new(json, key, value) == 0);
}

/* One gate with every member; nothing is added when there was a problem. */
static void read_gate(struct reader *reader, json_t *gates, const struct node *gate, bool goal)
{
    const struct metric *metric = read_metric(reader, gate);
    int rule = read_rule(reader, gate);
    if (!metric || rule < 0) return;
    const struct node *limit = node_at(gate, rule_text((enum rule)rule));
    json_t *slice = read_slice(reader, gate);
    bool paired = rule_is_paired((enum rule)rule);
    double bar = paired ? node_real(limit, NULL) : read_bar(reader, limit, metric);
    bool fine = check_rule(reader, gate, metric, (enum rule)rule);
    check_extras(reader, gate, metric);
    const char *id = slice ? read_id(reader, gate, slice, metric, (enum rule)rule) : NULL;
    if (!fine || isnan(bar) || !id) {
        json_decref(slice);
        return;
    }
    json_t *json = json_object();
    set(json, "id", json_string(id));
    set(json, "goal", json_boolean(goal));
    set(json, "metric", json_string(metric->name));
    set(json, "rule", json_string(rule_text((enum rule)rule)));
    set(json, "bar", json_real(bar));
    set(json, "slice", slice);
    set(json, "tolerate", json_real(node_real(gate, "tolerate")));
    set(json, "min_examples", json_integer(node_int(gate, "min_examples")));
    set(json, "severity", json_string(node_text(gate, "severity")));
    set(json, "decide", json_string(node_text(gate, "decide")));
    if (paired) set(json, "against", json_string(node_text(gate, "against")));
    if (metric->takes_k)
        set(json, "k", json_integer(node_has(gate, "k") ? node_int(gate, "k") : METRIC_K));
    if (metric->takes_batch) {
        int64_t usual = metric->higher ? 256 : 1;
        set(json, "batch", json_integer(node_has(gate, "batch") ? node_int(gate, "batch") : usual));
        set(json, "machine",
            json_string(node_has(gate, "machine") ? node_text(gate, "machine") : "any"));
    }
    if (node_has(gate, "why")) set(json, "why", json_string(node_text(gate, "why")));
    json_array_append_new(gates, json);
}

static json_t *read_where(struct reader *reader, const struct node *slice)
{
    const struct node *where = node_at(slice, "where");
    static const char *const predicates[] = { "above", "below", "equal" };
    json_t *json = json_object();
    bool predicate = false;
    for (size_t i = 0; i < 3; i++) {
        if (!node_has(where, predicates[i])) continue;
        predicate = true;
        set(json, predicates[i], json_real(node_real(where, predicates[i])));
    }
    const struct node *column = node_at(where, "column"), *labels = node_at(where, "label");
    if (predicate && !column)
        refuse(reader, where, "above, below and equal need a column")->hint = "add 'column: NAME'";
    if (column && !predicate)
        refuse(reader, column, "this column selects nothing")->hint = "add above, below or equal";
    if (!column && !labels && !predicate)
        refuse(reader, where, "this slice selects nothing")->hint =
            "state label, or column with above, below or equal";
    if (column) set(json, "column", json_string(column->text));
    if (labels) {
        json_t *list = json_array();
        for (const struct node *label = labels->first; label; label = label->next)
            json_array_append_new(list, json_integer(node_int(label, NULL)));
        set(json, "label", list);
    }
    return json;
}

static json_t *read_slices(struct reader *reader)
{
    static const char *const reserved[] = { "all", "every", "rest", NULL };
    json_t *list = json_array(), *taken = json_object();
    const struct node *slices = node_at(reader->root, "slices");
    for (const struct node *s = slices ? slices->first : NULL; s; s = s->next) {
        const struct node *name = node_at(s, "name");
        for (size_t i = 0; reserved[i]; i++) {
            if (strcmp(reserved[i], name->text) == 0)
                refuse(reader, name,
                       arena_format(reader->arena, "'%s' is reserved and cannot name a slice",
                                    name->text));
        }
        if (json_object_get(taken, name->text))
            refuse(reader, name,
                   arena_format(reader->arena, "two slices have the name '%s'", name->text));
        set(taken, name->text, json_true());
        json_t *json = json_object();
        set(json, "name", json_string(name->text));
        set(json, "where", read_where(reader, s));
        json_array_append_new(list, json);
    }
    json_decref(taken);
    return list;
}

enum code suite_resolve(struct suite *suite, const struct document *document,
                        struct problems *problems, struct err *err)
{
    *suite = (struct suite){ 0 };
    struct reader reader = {
        .arena = problems->arena, .problems = problems, .root = document->root, .ids = json_object()
    };
    const struct node *root = document->root;
    int before = problems->count;
    json_t *json = json_object(), *gates = json_array();
    set(json, "pawl", json_string("suite/1"));
    set(json, "name", json_string(node_text(root, "name")));
    set(json, "split", json_string(node_text(root, "data.split")));
    set(json, "train_split", json_string(node_text(root, "data.train_split")));
    set(json, "alpha", json_real(node_real(root, "alpha")));
    set(json, "first", json_string(node_text(root, "first")));
    set(json, "small_slices", json_string(node_text(root, "small_slices")));
    set(json, "slices", read_slices(&reader));
    static const char *const lists[] = { "guards", "goals" };
    for (size_t goal = 2; goal-- > 0;) {
        const struct node *list = node_at(root, lists[goal]);
        for (const struct node *gate = list ? list->first : NULL; gate; gate = gate->next)
            read_gate(&reader, gates, gate, goal == 1);
    }
    set(json, "gates", gates);
    json_decref(reader.ids);
    enum code code = OK;
    if (problems->count > before) {
        problems_sort(problems);
        code = err_set(err, CONFIG, "'%s' has %d problem%s", document->path,
                       problems->count - before, problems->count - before == 1 ? "" : "s");
    } else {
        code = suite_parse(suite, json, document->path, err);
    }
    json_decref(json);
    return code;
}
