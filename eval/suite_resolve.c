/* From the document to the effective suite: JSON in which every gate has every member and nothing
 * depends on where files lie.
 *
 * All problems are collected with their place; JSON is only made of what is sound. */
#include "eval/suite_reader.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { INDEX_LIMIT = 256 << 20 };

static void set(json_t *json, const char *key, json_t *value)
{
    REQUIRE(json_object_set_new(json, key, value) == 0);
}

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

struct problem *reader_refuse(struct reader *reader, const struct node *node, const char *message)
{
    return problem_add(reader->problems, node->mark, "%s", message);
}

bool reader_named(struct reader *reader, const char *key, const char *what, const struct node *node)
{
    const struct node *list = node_at(reader->root, key);
    const char **names = ARENA_ARRAY(reader->arena, node_count(reader->root, key) + 2,
                                     const char *);
    size_t count = 0;
    if (strcmp(key, "slices") == 0) names[count++] = "all";
    for (const struct node *item = list ? list->first : NULL; item; item = item->next) {
        names[count] = node_text(item, "name");
        if (strcmp(names[count++], node->text) == 0) return true;
    }
    struct problem *problem = reader_refuse(reader, node,
                                            arena_format(reader->arena, "unknown %s '%s'", what,
                                                         text_shown(reader->arena, node->text)));
    problem->nearest = text_nearest(node->text, names);
    problem->hint = problem->nearest
                        ? arena_format(reader->arena, "did you mean '%s'?", problem->nearest)
                        : arena_format(reader->arena, "name it under '%s'", key);
    return false;
}

/* The ids of an index file, ascending: one a line, '#' begins a remark. */
static bool parse_ids(struct reader *reader, const struct node *node, const struct bytes *bytes,
                      int64_t **ids, size_t *count)
{
    const char *at = bytes->at, *end = at + bytes->len;
    *count = 0;
    for (int line = 1; at < end; line++) {
        const char *next = memchr(at, '\n', (size_t)(end - at));
        char *stop = NULL;
        at += strspn(at, " \t\r");
        if (*at != '\n' && *at != '#' && at < end) {
            int64_t id = strtoll(at, &stop, 10);
            bool alone = stop != at && (stop[strspn(stop, " \t\r")] == '\n' ||
                                        stop[strspn(stop, " \t\r")] == '#' ||
                                        stop + strspn(stop, " \t\r") == end);
            if (!alone) {
                reader_refuse(reader, node,
                              arena_format(reader->arena, "line %d of '%s' is no row number", line,
                                           node->text));
                return false;
            }
            (*ids)[(*count)++] = id;
        }
        if (!next) break;
        at = next + 1;
    }
    return true;
}

static int compare_ids(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

/* Reads an index file; false after a problem. The ids are in the reader's arena. */
static bool read_index(struct reader *reader, const struct node *where, int64_t **ids,
                       size_t *count)
{
    const struct node *node = node_at(where, "rows");
    struct bytes bytes;
    struct err err = { 0 };
    if (fs_read(reader->arena, &bytes, node_path(reader->arena, where, "rows"), INDEX_LIMIT,
                &err)) {
        reader_refuse(reader, node, arena_format(reader->arena, "%.300s", err.message));
        return false;
    }
    size_t lines = 2;
    for (size_t i = 0; i < bytes.len; i++) lines += bytes.at[i] == '\n';
    *ids = ARENA_ARRAY(reader->arena, lines, int64_t);
    if (!parse_ids(reader, node, &bytes, ids, count)) return false;
    qsort(*ids, *count, sizeof **ids, compare_ids);
    for (size_t i = 0; i < *count; i++) {
        if (i == 0 || (*ids)[i] != (*ids)[i - 1]) continue;
        reader_refuse(reader, node,
                      arena_format(reader->arena, "'%s' names row %lld twice", node->text,
                                   (long long)(*ids)[i]));
        return false;
    }
    if (*count) return true;
    reader_refuse(reader, node, arena_format(reader->arena, "'%s' names no rows", node->text));
    return false;
}

/* The content of an index file belongs to the suite, its place does not. */
static void read_rows(struct reader *reader, json_t *json, const struct node *where,
                      const struct node *slice)
{
    int64_t *ids;
    size_t count;
    (void)slice;
    if (!read_index(reader, where, &ids, &count)) return;
    char text[DIGEST_TEXT];
    struct digest digest = digest_of(ids, count * sizeof *ids);
    set(json, "rows",
        json_pack("{s:s,s:I}", "digest", digest_text(&digest, text), "count", (json_int_t)count));
}

static json_t *read_where(struct reader *reader, const struct node *slice)
{
    const struct node *where = node_at(slice, "where");
    static const char *const predicates[] = { "above", "below", "equal", "above_quantile",
                                              "below_quantile" };
    json_t *json = json_object();
    bool predicate = false;
    for (size_t i = 0; i < sizeof predicates / sizeof *predicates; i++) {
        if (!node_has(where, predicates[i])) continue;
        predicate = true;
        set(json, predicates[i], json_real(node_real(where, predicates[i])));
    }
    const struct node *column = node_at(where, "column"), *labels = node_at(where, "label");
    if (predicate && !column)
        reader_refuse(reader, where, "above, below and equal need a column")->hint =
            "add 'column: NAME'";
    if (column && !predicate)
        reader_refuse(reader, column, "this column selects nothing")->hint =
            "add above, below or equal";
    const struct node *rows = node_at(where, "rows");
    if (!column && !labels && !predicate && !rows)
        reader_refuse(reader, where, "this slice selects nothing")->hint =
            "state label, rows, or column with above, below or equal";
    if (rows) read_rows(reader, json, where, slice);
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
                reader_refuse(reader, name,
                              arena_format(reader->arena,
                                           "'%s' is reserved and cannot name a slice", name->text));
        }
        if (json_object_get(taken, name->text))
            reader_refuse(reader, name,
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

static json_t *read_perturbs(struct reader *reader)
{
    json_t *list = json_array(), *taken = json_object();
    const struct node *perturbs = node_at(reader->root, "perturb");
    for (const struct node *p = perturbs ? perturbs->first : NULL; p; p = p->next) {
        const struct node *name = node_at(p, "name");
        if (json_object_get(taken, name->text) || strcmp(name->text, "clean") == 0)
            reader_refuse(reader, name,
                          arena_format(reader->arena,
                                       strcmp(name->text, "clean") == 0
                                           ? "'%s' is reserved and cannot name a perturbation"
                                           : "two perturbations have the name '%s'",
                                       name->text));
        set(taken, name->text, json_true());
        json_t *options = json_object(), *with = json_object(), *item = json_object();
        const struct node *given = node_options(p, "with");
        for (const struct node *o = given->first; o; o = o->next)
            set(options, o->key, json_real(node_real(given, o->key)));
        set(with, node_choice(p, "with"), options);
        set(item, "name", json_string(name->text));
        set(item, "with", with);
        json_array_append_new(list, item);
    }
    json_decref(taken);
    return list;
}

/* A suite without a goal that must be reached would pass whatever the model does. */
static void check_goals(struct reader *reader)
{
    const struct node *goals = node_at(reader->root, "goals");
    bool blocks = !goals || !goals->first; /* that is said elsewhere */
    for (const struct node *goal = goals ? goals->first : NULL; goal; goal = goal->next)
        blocks = blocks || strcmp(node_text(goal, "severity"), "block") == 0;
    if (blocks) return;
    reader_refuse(reader, goals, "no goal blocks: the suite would pass whatever the model does")
        ->hint = "leave 'severity: warn' out of a goal, or make it a guard";
}

/* The rows of index files are needed once, to fill the slices: they go from the document into the
 * suite, not into its JSON. */
static void take_rows(struct suite *suite, struct reader *reader)
{
    const struct node *slices = node_at(reader->root, "slices");
    size_t at = 0;
    for (const struct node *s = slices ? slices->first : NULL; s; s = s->next, at++) {
        int64_t *ids;
        size_t count;
        if (!node_has(s, "where.rows") || !read_index(reader, node_at(s, "where"), &ids, &count))
            continue;
        int64_t *rows = ARENA_ARRAY(&suite->arena, count, int64_t);
        memcpy(rows, ids, count * sizeof *rows);
        suite->slices[at].rows = rows;
        suite->slices[at].row_count = count;
    }
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
    bool data = node_has(root, "data");
    set(json, "split", data ? json_string(node_text(root, "data.split")) : json_null());
    set(json, "train_split", data ? json_string(node_text(root, "data.train_split")) : json_null());
    if (node_has(root, "cluster")) set(json, "cluster", json_string(node_text(root, "cluster")));
    if (node_count(root, "perturb")) set(json, "perturb", read_perturbs(&reader));
    set(json, "alpha", json_real(node_real(root, "alpha")));
    set(json, "first", json_string(node_text(root, "first")));
    set(json, "small_slices", json_string(node_text(root, "small_slices")));
    set(json, "slices", read_slices(&reader));
    check_goals(&reader);
    static const char *const lists[] = { "guards", "goals" };
    for (size_t goal = 2; goal-- > 0;) {
        const struct node *list = node_at(root, lists[goal]);
        for (const struct node *gate = list ? list->first : NULL; gate; gate = gate->next)
            reader_gate(&reader, gates, gate, goal == 1);
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
        if (!code) take_rows(suite, &reader);
    }
    json_decref(json);
    return code;
}
