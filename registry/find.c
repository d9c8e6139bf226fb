/* Binding fields to rows of the snapshot, and asking every version. */
#include "registry/find_internal.h"

#include "base/str.h"
#include "registry/commit.h"
#include "registry/snapshot.h"

#include <string.h>

enum builtin {
    FIND_MODEL,
    FIND_NUMBER,
    FIND_CHANNEL,
    FIND_VERDICT,
    FIND_ACTOR,
    FIND_TIME,
    FIND_DIGEST,
    FIND_MODEL_DIGEST,
    FIND_SEQ,
    FIND_ORIGIN,
    BUILTINS
};

const char *const find_fields[BUILTINS + 1] = {
    [FIND_MODEL] = "model",
    [FIND_NUMBER] = "number",
    [FIND_CHANNEL] = "channel",
    [FIND_VERDICT] = "verdict",
    [FIND_ACTOR] = "actor",
    [FIND_TIME] = "time",
    [FIND_DIGEST] = "digest",
    [FIND_MODEL_DIGEST] = "model_digest",
    [FIND_SEQ] = "seq",
    [FIND_ORIGIN] = "origin",
    NULL,
};

enum { KEYS_EACH = 8 };

/* A field of the expression: a builtin, or the keys of facts that it may mean. */
struct binding {
    const char *name;
    int builtin; /* -1: a fact */
    uint32_t keys[KEYS_EACH];
    int key_count;
};

struct finding {
    struct arena arena;
    struct find_tree tree;
    struct snapshot snapshot;
    struct binding bindings[FIND_NODES];
    int binding_count;
    uint32_t *keys; /* all keys of facts, each once */
    size_t key_count;
};

/* A value of a version: text, or else a number. `room` is for a text that is made. */
struct value {
    const char *text;
    double number;
    char room[DIGEST_TEXT];
};

static void collect_keys(struct finding *finding)
{
    const struct snapshot *s = &finding->snapshot;
    bool *seen = ARENA_ARRAY(&finding->arena, s->text_size, bool);
    finding->keys = ARENA_ARRAY(&finding->arena, 1, uint32_t);
    for (uint32_t i = 0; i < s->fact_count; i++) {
        uint32_t key = s->facts[i].key;
        if (key >= s->text_size || seen[key]) continue;
        seen[key] = true;
        size_t count = finding->key_count++;
        if ((count & (count - 1)) == 0 && count) {
            uint32_t *more = ARENA_ARRAY(&finding->arena, count * 2, uint32_t);
            memcpy(more, finding->keys, count * sizeof *more);
            finding->keys = more;
        }
        finding->keys[count] = key;
    }
}

static enum code unknown_field(const struct finding *finding, const struct find_node *node,
                               struct err *err)
{
    struct arena arena = { 0 };
    size_t count = 0;
    const char **names = ARENA_ARRAY(&arena, BUILTINS + 2 * finding->key_count + 1, const char *);
    for (int i = 0; i < BUILTINS; i++) names[count++] = find_fields[i];
    for (size_t i = 0; i < finding->key_count; i++) {
        const char *name = snapshot_text(&finding->snapshot, finding->keys[i]);
        const char *dot = strrchr(name, '.');
        names[count++] = name;
        if (dot) names[count++] = dot + 1;
    }
    const char *nearest = text_nearest(node->field, names);
    find_wrong(finding->tree.text, node->position, err, "no version has a field '%.60s'",
               node->field);
    if (nearest)
        err_hint(err, "Did you mean '%s'?", nearest);
    else
        err_hint(err, "Fields are model, number, channel, verdict, actor, time, digest, "
                      "model_digest, seq, origin, metrics of reports, and facts of the run; "
                      "`pawl registry show REF` prints those of a version.");
    arena_release(&arena);
    return USAGE;
}

/* Exact keys, else those that end in the name: one, or the field is ambiguous. */
static enum code bind_fact(const struct finding *finding, struct binding *binding,
                           const struct find_node *node, struct err *err)
{
    const struct snapshot *s = &finding->snapshot;
    size_t len = strlen(node->field);
    for (size_t i = 0; i < finding->key_count; i++)
        if (strcmp(snapshot_text(s, finding->keys[i]), node->field) == 0)
            binding->keys[binding->key_count++] = finding->keys[i];
    if (binding->key_count) return OK;
    for (size_t i = 0; i < finding->key_count; i++) {
        const char *name = snapshot_text(s, finding->keys[i]);
        size_t whole = strlen(name);
        bool ends = whole > len && name[whole - len - 1] == '.' && text_ends(name, node->field);
        if (ends && binding->key_count < KEYS_EACH)
            binding->keys[binding->key_count++] = finding->keys[i];
    }
    if (!binding->key_count) return unknown_field(finding, node, err);
    if (binding->key_count == 1) return OK;
    find_wrong(finding->tree.text, node->position, err, "'%.60s' may mean '%.60s' or '%.60s'",
               node->field, snapshot_text(s, binding->keys[0]), snapshot_text(s, binding->keys[1]));
    return err_hint(err, "Give the whole path.");
}

static enum code bind(struct finding *finding, struct find_node *node, struct err *err)
{
    struct binding *binding = &finding->bindings[finding->binding_count];
    *binding = (struct binding){ .name = node->field, .builtin = -1 };
    for (int i = 0; i < BUILTINS; i++)
        if (strcmp(find_fields[i], node->field) == 0) binding->builtin = i;
    bool counts = binding->builtin == FIND_NUMBER || binding->builtin == FIND_SEQ;
    if (counts && !node->is_number)
        return find_wrong(finding->tree.text, node->value_position, err,
                          "'%s' is a number; '%.60s' is none", node->field, node->value);
    if (binding->builtin < 0) TRY(bind_fact(finding, binding, node, err));
    node->slot = finding->binding_count++;
    return OK;
}

static struct value text_value(const char *text)
{
    return (struct value){ .text = text };
}

/* What a version has for a field; false for nothing. Channels are asked one by one. */
static bool value_of(const struct finding *finding, struct value *value,
                     const struct binding *binding, const struct snap_version *row)
{
    const struct snapshot *s = &finding->snapshot;
    switch (binding->builtin) {
    case FIND_MODEL:
        *value = text_value(snapshot_text(s, s->models[row->model].name));
        return true;
    case FIND_NUMBER:
        *value = (struct value){ .number = row->number };
        return true;
    case FIND_SEQ:
        *value = (struct value){ .number = (double)row->seq };
        return true;
    case FIND_VERDICT:
        *value = text_value(snapshot_text(s, row->verdict));
        return *value->text != '\0';
    case FIND_ACTOR:
        *value = text_value(snapshot_text(s, row->actor));
        return true;
    case FIND_TIME:
        *value = text_value(snapshot_text(s, row->time));
        return true;
    case FIND_DIGEST:
    case FIND_MODEL_DIGEST:
        value->text = digest_text(
            binding->builtin == FIND_DIGEST ? &row->digest : &row->model_digest, value->room);
        return true;
    case FIND_ORIGIN:
        *value = text_value(row->flags & SNAP_IMPORTED ? "imported" : "here");
        return true;
    }
    for (uint32_t i = 0; i < row->fact_count; i++) {
        const struct snap_fact *fact = &s->facts[row->first_fact + i];
        if (fact->key != binding->keys[0]) continue;
        *value = fact->text ? text_value(snapshot_text(s, fact->text))
                            : (struct value){ .number = fact->value };
        return true;
    }
    return false;
}

static bool ordered(int order, enum find_operator op)
{
    switch (op) {
    case FIND_EQUAL:
        return order == 0;
    case FIND_UNEQUAL:
        return order != 0;
    case FIND_LESS:
        return order < 0;
    case FIND_AT_MOST:
        return order <= 0;
    case FIND_MORE:
        return order > 0;
    case FIND_AT_LEAST:
        return order >= 0;
    case FIND_CONTAINS:
        break;
    }
    return false;
}

/* A number is compared with a number; a text as text, byte by byte. NaN matches nothing. */
static bool compare(const struct value *value, const struct find_node *node)
{
    if (value->text) {
        if (node->op == FIND_CONTAINS) return strstr(value->text, node->value) != NULL;
        return ordered(strcmp(value->text, node->value), node->op);
    }
    double got = value->number, want = node->number;
    if (!node->is_number || node->op == FIND_CONTAINS || got != got || want != want) return false;
    return ordered((got > want) - (got < want), node->op);
}

static bool compare_channels(const struct finding *finding, const struct find_node *node,
                             const struct snap_version *row)
{
    const struct snapshot *s = &finding->snapshot;
    const struct snap_model *model = &s->models[row->model];
    struct find_node ask = *node;
    bool none = node->op == FIND_UNEQUAL, some = false;
    if (none) ask.op = FIND_EQUAL;
    for (uint32_t c = 0; !some && c < model->channel_count; c++) {
        const struct snap_channel *channel = &s->channels[model->first_channel + c];
        struct value value = text_value(snapshot_text(s, channel->name));
        some = channel->number == row->number && compare(&value, &ask);
    }
    return none ? !some : some;
}

static bool matches(const struct finding *finding, const struct find_node *node,
                    const struct snap_version *row)
{
    struct value value;
    switch (node->kind) {
    case FIND_OR:
        return matches(finding, node->left, row) || matches(finding, node->right, row);
    case FIND_AND:
        return matches(finding, node->left, row) && matches(finding, node->right, row);
    case FIND_NOT:
        return !matches(finding, node->left, row);
    case FIND_COMPARE:
        break;
    }
    const struct binding *binding = &finding->bindings[node->slot];
    if (binding->builtin == FIND_CHANNEL) return compare_channels(finding, node, row);
    return value_of(finding, &value, binding, row) && compare(&value, node);
}

static json_t *values_json(const struct finding *finding, const struct snap_version *row)
{
    json_t *values = json_object();
    for (int i = 0; i < finding->binding_count; i++) {
        const struct binding *binding = &finding->bindings[i];
        struct value value;
        if (binding->builtin >= 0 && binding->builtin != FIND_VERDICT) continue; /* in the row */
        if (!value_of(finding, &value, binding, row)) continue;
        json_object_set_new(values, binding->name,
                            value.text ? json_string(value.text) : json_real(value.number));
    }
    return values;
}

enum code registry_find(struct registry *registry, json_t **found, const char *expression,
                        struct err *err)
{
    struct finding *finding = NULL;
    struct arena arena = { 0 };
    enum code code;
    *found = NULL;
    finding = ARENA_NEW(&arena, struct finding);
    if ((code = find_parse(&finding->tree, &arena, expression, err))) goto out;
    if ((code = snapshot_open(registry, &finding->snapshot, err))) goto out;
    collect_keys(finding);
    for (int i = 0; i < finding->tree.count; i++)
        if (finding->tree.nodes[i].kind == FIND_COMPARE &&
            (code = bind(finding, &finding->tree.nodes[i], err)))
            goto out;
    const struct snapshot *s = &finding->snapshot;
    json_t *versions = json_array();
    for (uint32_t i = 0; i < s->version_count; i++) {
        if (!matches(finding, finding->tree.root, &s->versions[i])) continue;
        json_t *row = snapshot_version_json(s, &s->versions[i]);
        json_object_set_new(row, "values", values_json(finding, &s->versions[i]));
        json_array_append_new(versions, row);
    }
    *found = json_pack("{ss so}", "pawl", "find/1", "versions", versions);
out:
    if (finding) {
        snapshot_close(&finding->snapshot);
        arena_release(&finding->arena);
    }
    arena_release(&arena);
    return code;
}
