/* Questions about the registry, answered as documents: history/1, list/1, version/1. */
#include "registry/registry.h"

#include "registry/commit.h"
#include "registry/documents.h"
#include "registry/oci.h"

#include <string.h>

struct telling {
    const struct policy *policy; /* in force: it knows whose keys signed */
    json_t *entries;
    const char *model, *channel;
};

static bool same_text(const json_t *body, const char *key, const char *want)
{
    const char *got = json_string_value(json_object_get(body, key));
    return !want || (got && strcmp(got, want) == 0);
}

/* What an entry is about, for people: fashion@7, a suite, the registry. */
static json_t *subject_of(const struct entry *entry)
{
    const char *model = entry_text(entry, "model"), *suite = entry_text(entry, "suite");
    const char *policy = entry_text(entry, "policy"), *key = entry_text(entry, "key");
    if (model) return json_sprintf("%s@%lld", model, (long long)entry_int(entry, "number"));
    if (suite) return json_string(suite);
    if (entry->kind == ENTRY_POLICY) return json_string(policy);
    return json_string(entry->kind == ENTRY_REVOKE ? key : "registry");
}

/* The key is certain; `actor` is what its holder called themselves. */
static void add_signer(json_t *row, const struct entry *entry, const struct policy *policy)
{
    const struct policy_key *key = policy_key_find(policy, &entry->signer);
    json_set_digest(row, "key", &entry->signer);
    if (key) json_object_set_new(row, "person", json_string(key->person));
}

static enum code tell(void *context, const struct entry *entry, struct err *err)
{
    (void)err;
    static const char *const further[] = { "channel", "from", "unchanged", "verdict", "suite",
                                           "look",    "rule", "gate",      "expires", "again" };
    struct telling *telling = context;
    if (!same_text(entry->body, "model", telling->model) ||
        !same_text(entry->body, "channel", telling->channel))
        return OK;
    json_t *row = json_pack("{sI ss ss ss so ss}", "seq", (json_int_t)entry->seq, "kind",
                            entry_kind_name(entry->kind), "actor", entry->actor, "reason",
                            entry->reason, "subject", subject_of(entry), "time", entry->time);
    for (size_t i = 0; i < sizeof further / sizeof *further; i++) {
        json_t *value = json_object_get(entry->body, further[i]);
        if (value) json_object_set(row, further[i], value);
    }
    if (entry->signature) add_signer(row, entry, telling->policy);
    json_array_append_new(telling->entries, row);
    return OK;
}

enum code registry_history(struct registry *registry, json_t **history, const char *model,
                           const char *channel, struct err *err)
{
    const struct model_line *line;
    *history = NULL;
    TRY(registry_refresh(registry, err));
    if (model) TRY(state_find_model(&registry->state, &line, model, err));
    if (model && channel && !model_channel(line, channel))
        return err_set(err, NOT_FOUND, "'%s' has no channel '%s'", model, channel);
    struct telling telling = { .policy = &registry->state.policy,
                               .entries = json_array(),
                               .model = model,
                               .channel = channel };
    struct head head = { 0 };
    enum code code = journal_walk(&registry->journal, &head, tell, &telling, err);
    if (!code) *history = json_pack("{ss sO}", "pawl", "history/1", "entries", telling.entries);
    json_decref(telling.entries);
    return code;
}

/* Names of the channels that hold a version. */
static json_t *holders(const struct model_line *model, int64_t number)
{
    json_t *names = json_array();
    for (size_t c = 0; c < model->channel_count; c++)
        if (channel_now(&model->channels[c])->number == number)
            json_array_append_new(names, json_string(model->channels[c].name));
    return names;
}

static json_t *version_json(const struct model_line *model, const struct version *version)
{
    json_t *json = json_pack("{ss sI sI ss ss so}", "model", model->name, "number",
                             (json_int_t)version->number, "seq", (json_int_t)version->seq, "actor",
                             version->actor, "time", version->time, "channels",
                             holders(model, version->number));
    json_set_digest(json, "digest", &version->digest);
    json_set_digest(json, "model_digest", &version->model_digest);
    return json;
}

static json_t *files_json(const struct oci_version *version)
{
    json_t *files = json_array();
    for (int i = 0; i < version->layer_count; i++) {
        const struct oci_layer *layer = &version->layers[i];
        json_t *file = json_pack("{ss sI}", "name", layer->name, "size", (json_int_t)layer->size);
        json_set_digest(file, "digest", &layer->digest);
        json_array_append_new(files, file);
    }
    return files;
}

static json_t *reports_json(const struct state *state, const struct version *version)
{
    json_t *reports = json_array();
    for (size_t i = 0; i < state->report_count; i++) {
        const struct report_note *report = &state->reports[i];
        if (!digest_equal(&report->model_digest, &version->model_digest)) continue;
        json_t *json = json_pack("{sI ss}", "seq", (json_int_t)report->seq, "verdict",
                                 report->verdict);
        json_set_digest(json, "suite", &report->suite);
        json_set_digest(json, "report", &report->report);
        json_array_append_new(reports, json);
    }
    return reports;
}

enum code registry_show(struct registry *registry, json_t **show, const char *ref, struct err *err)
{
    struct resolved resolved;
    struct oci_version files;
    struct entry entry;
    *show = NULL;
    TRY(registry_resolve(registry, &resolved, ref, err));
    TRY(registry_refresh(registry, err));
    TRY(oci_read(registry, &files, &resolved.digest, err));
    const struct model_line *model = state_model(&registry->state, resolved.model);
    const struct version *version = model_version(model, resolved.number);
    json_t *evidence = NULL;
    TRY(documents_json(&evidence, registry, &version->evidence, err));
    enum code code = journal_read(&registry->journal, &entry, version->seq, err);
    if (code) {
        json_decref(evidence);
        return code;
    }
    json_t *json = version_json(model, version);
    json_object_set_new(json, "pawl", json_string("version/1"));
    json_object_set_new(json, "variant", json_string(files.variant == WEIGHTS_EMA ? "ema" : "raw"));
    json_object_set_new(json, "reason", json_string(entry.reason));
    json_object_set_new(json, "files", files_json(&files));
    json_object_set_new(json, "reports", reports_json(&registry->state, version));
    json_object_set(json, "documents", json_object_get(evidence, "documents"));
    json_decref(evidence);
    json_t *facts = json_object_get(entry.body, "facts");
    if (facts) json_object_set(json, "facts", facts);
    entry_release(&entry);
    *show = json;
    return OK;
}
