/* Two versions leaf by leaf: what their runs say, what the models are, what reports measured. */
#include "registry/lineage.h"

#include "base/str.h"
#include "registry/commit.h"
#include "registry/oci.h"

#include <string.h>

enum { DOCUMENT_LIMIT = 64 << 20 };

struct side {
    struct resolved version;
    struct oci_version files;
    json_t *facts, *model, *metrics; /* owned; NULL where there is none */
};

/* Facts by what they are about; the rest is the run's own. */
static const char *part_of(const char *key)
{
    static const struct {
        const char *key, *part;
    } parts[] = {
        { "config", "config" }, { "config_digest", "config" },
        { "seed", "config" },   { "schedule_end", "config" },
        { "data", "data" },     { "binary", "code" },
        { "build", "code" },    { "code", "code" },
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (strcmp(parts[i].key, key) == 0) return parts[i].part;
    return "run";
}

static void add_change(json_t *changes, const char *part, const char *path, json_t *a, json_t *b)
{
    json_array_append_new(changes,
                          json_pack("{ss ss sO? sO?}", "part", part, "path", path, "a", a, "b", b));
    json_t *row = json_array_get(changes, json_array_size(changes) - 1);
    if (!a) json_object_set_new(row, "a", json_null());
    if (!b) json_object_set_new(row, "b", json_null());
}

static json_t *member_at(json_t *json, const char *key, size_t at)
{
    return key ? json_object_get(json, key) : json_array_get(json, at);
}

/* Leaves that differ; objects by key, lists by place. */
static void compare(json_t *changes, const char *part, const char *path, json_t *a, json_t *b)
{
    struct arena arena = { 0 };
    const char *key;
    json_t *member;
    bool objects = json_is_object(a) && json_is_object(b);
    bool lists = json_is_array(a) && json_is_array(b);
    if (a == b || json_equal(a, b)) return;
    if (!objects && !lists) {
        add_change(changes, part, path, a, b);
        return;
    }
    const char *dot = *path ? "." : "";
    if (objects) {
        json_object_foreach(a, key, member)
            compare(changes, part, arena_format(&arena, "%s%s%s", path, dot, key), member,
                    member_at(b, key, 0));
        json_object_foreach(b, key, member) if (!json_object_get(a, key))
            compare(changes, part, arena_format(&arena, "%s%s%s", path, dot, key), NULL, member);
    }
    size_t count = json_array_size(a) > json_array_size(b) ? json_array_size(a)
                                                           : json_array_size(b);
    for (size_t i = 0; lists && i < count; i++)
        compare(changes, part, arena_format(&arena, "%s[%zu]", path, i), member_at(a, NULL, i),
                member_at(b, NULL, i));
    arena_release(&arena);
}

/* The values of a report by metric, slice and condition; of the candidate alone. */
static void take_values(json_t *metrics, const json_t *report)
{
    const json_t *values = json_object_get(json_object_get(report, "quality"), "values"), *row;
    size_t i;
    json_array_foreach(values, i, row)
    {
        static const char *const keys[] = { "metric", "slice", "condition" };
        struct arena arena = { 0 };
        const char *subject = json_string_value(json_object_get(row, "subject")), *name = "";
        bool whole = subject && strcmp(subject, "candidate") == 0;
        for (size_t k = 0; whole && k < sizeof keys / sizeof *keys; k++) {
            const char *text = json_string_value(json_object_get(row, keys[k]));
            whole = text != NULL;
            if (whole && (k == 0 || (strcmp(text, "all") != 0 && strcmp(text, "clean") != 0)))
                name = arena_format(&arena, "%s%s%s", name, k ? " " : "", text);
        }
        if (whole) json_object_set(metrics, name, json_object_get(row, "value"));
        arena_release(&arena);
    }
}

/* Later reports win; one that cannot be read says nothing. */
static void read_metrics(struct registry *registry, struct side *side)
{
    const struct state *state = &registry->state;
    side->metrics = json_object();
    for (size_t i = 0; i < state->report_count; i++) {
        const struct report_note *report = &state->reports[i];
        struct entry entry;
        struct arena arena = { 0 };
        struct bytes bytes;
        struct digest digest;
        json_t *json = NULL;
        if (!digest_equal(&report->model_digest, &side->version.model_digest)) continue;
        if (journal_read(&registry->journal, &entry, report->seq, NULL)) continue;
        json_t *files = json_object_get(entry.body, "files");
        if (digest_parse(&digest, json_string_value(json_object_get(files, "report.json"))) &&
            store_read(&registry->store, &arena, &bytes, &digest, DOCUMENT_LIMIT, NULL) == OK &&
            json_parse(&json, bytes.at, bytes.len, "report", NULL) == OK)
            take_values(side->metrics, json);
        json_decref(json);
        arena_release(&arena);
        entry_release(&entry);
    }
}

static enum code read_side(struct registry *registry, struct side *side, const char *ref,
                           struct err *err)
{
    struct entry entry;
    struct arena arena = { 0 };
    struct bytes bytes;
    TRY(registry_resolve(registry, &side->version, ref, err));
    TRY(registry_refresh(registry, err));
    const struct model_line *model = state_model(&registry->state, side->version.model);
    TRY(journal_read(&registry->journal, &entry, model_version(model, side->version.number)->seq,
                     err));
    side->facts = json_incref(json_object_get(entry.body, "facts"));
    entry_release(&entry);
    TRY(oci_read(registry, &side->files, &side->version.digest, err));
    const struct oci_layer *layer = oci_layer(&side->files, "model.json");
    enum code code = OK;
    if (layer)
        code = store_read(&registry->store, &arena, &bytes, &layer->digest, DOCUMENT_LIMIT, err);
    if (layer && !code) code = json_parse(&side->model, bytes.at, bytes.len, "model.json", err);
    arena_release(&arena);
    if (!code) read_metrics(registry, side);
    return code;
}

static void compare_facts(json_t *changes, const struct side *a, const struct side *b)
{
    const char *key;
    json_t *value;
    json_object_foreach(a->facts, key, value)
        compare(changes, part_of(key), key, value, json_object_get(b->facts, key));
    json_object_foreach(b->facts, key, value) if (!json_object_get(a->facts, key))
        compare(changes, part_of(key), key, NULL, value);
}

static json_t *compare_files(const struct side *a, const struct side *b)
{
    json_t *files = json_array();
    for (int i = 0; i < a->files.layer_count; i++) {
        const struct oci_layer *ours = &a->files.layers[i];
        const struct oci_layer *theirs = oci_layer(&b->files, ours->name);
        bool same = theirs && digest_equal(&ours->digest, &theirs->digest);
        json_array_append_new(files, json_pack("{ss sb}", "name", ours->name, "same", (int)same));
    }
    for (int i = 0; i < b->files.layer_count; i++)
        if (!oci_layer(&a->files, b->files.layers[i].name))
            json_array_append_new(files,
                                  json_pack("{ss sb}", "name", b->files.layers[i].name, "same", 0));
    return files;
}

static json_t *side_json(const struct side *side)
{
    json_t *json = json_pack("{ss sI}", "model", side->version.model, "number",
                             (json_int_t)side->version.number);
    json_set_digest(json, "digest", &side->version.digest);
    json_set_digest(json, "model_digest", &side->version.model_digest);
    return json;
}

static void side_release(struct side *side)
{
    json_decref(side->facts);
    json_decref(side->model);
    json_decref(side->metrics);
}

enum code registry_diff(struct registry *registry, json_t **diff, const char *ref_a,
                        const char *ref_b, struct err *err)
{
    struct side a = { 0 }, b = { 0 };
    *diff = NULL;
    enum code code = read_side(registry, &a, ref_a, err);
    if (!code) code = read_side(registry, &b, ref_b, err);
    if (!code) {
        json_t *changes = json_array();
        compare_facts(changes, &a, &b);
        compare(changes, "model", "", a.model, b.model);
        compare(changes, "metrics", "", a.metrics, b.metrics);
        *diff = json_pack("{ss so so so so}", "pawl", "diff/1", "a", side_json(&a), "b",
                          side_json(&b), "changes", changes, "files", compare_files(&a, &b));
    }
    side_release(&a);
    side_release(&b);
    return code;
}
