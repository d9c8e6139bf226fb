/* One pass over the journal finds the versions that a digest belongs to; the state tells the
 * rest. */
#include "registry/lineage.h"

#include "registry/commit.h"

#include <string.h>

struct tracing {
    struct arena arena;
    struct registry *registry;
    bool by_version; /* a REF: this one alone */
    struct resolved version;
    const char *text; /* else the digest as documents have it */
    json_t *versions;
};

/* Appends the paths of members that hold the text. */
static void find_text(json_t *paths, const char *path, json_t *json, const char *text)
{
    const char *key;
    json_t *member;
    size_t i;
    const char *own = json_string_value(json);
    if (own && strcmp(own, text) == 0) json_array_append_new(paths, json_string(path));
    json_array_foreach(json, i, member) find_text(paths, path, member, text);
    json_object_foreach(json, key, member)
    {
        struct arena arena = { 0 };
        find_text(paths, arena_format(&arena, "%s%s%s", path, *path ? "." : "", key), member, text);
        arena_release(&arena);
    }
}

static json_t *made_from(const struct entry *entry)
{
    static const char *const keys[] = { "name",   "started", "seed",  "config_digest",
                                        "data",   "code",    "build", "binary",
                                        "device", "parent",  "origin" };
    json_t *made = json_object(), *facts = json_object_get(entry->body, "facts");
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        json_t *value = json_object_get(facts, keys[i]);
        if (value) json_object_set(made, keys[i], value);
    }
    json_t *origin = json_object_get(entry->body, "origin");
    if (origin) json_object_set(made, "origin", origin);
    return made;
}

static json_t *reports_of(const struct state *state, const struct model_line *model,
                          const struct version *version)
{
    json_t *reports = json_array();
    for (size_t i = 0; i < state->report_count; i++) {
        const struct report_note *report = &state->reports[i];
        if (report->number != version->number || strcmp(report->model, model->name) != 0) continue;
        json_t *json = json_pack("{sI ss}", "seq", (json_int_t)report->seq, "verdict",
                                 report->verdict);
        json_set_digest(json, "suite", &report->suite);
        json_set_digest(json, "report", &report->report);
        json_array_append_new(reports, json);
    }
    return reports;
}

/* The times at which channels held a version: from an entry, to the one that moved it away. */
static json_t *stays_of(const struct model_line *model, const struct version *version)
{
    json_t *stays = json_array();
    for (size_t c = 0; c < model->channel_count; c++) {
        const struct channel *channel = &model->channels[c];
        for (size_t i = 0; i < channel->count; i++) {
            const struct move *move = &channel->moves[i];
            if (move->number != version->number || move->unchanged) continue;
            size_t end = i + 1;
            while (end < channel->count && channel->moves[end].number == version->number) end++;
            bool ended = end < channel->count;
            json_array_append_new(
                stays,
                json_pack("{ss sI ss ss so}", "channel", channel->name, "from",
                          (json_int_t)move->seq, "time", move->time, "actor", move->actor, "to",
                          ended ? json_integer((json_int_t)channel->moves[end].seq) : json_null()));
        }
    }
    return stays;
}

static enum code take(struct tracing *tracing, const struct entry *entry)
{
    const struct state *state = &tracing->registry->state;
    const struct model_line *model = state_model(state, entry_text(entry, "model"));
    const struct version *version = model ? model_version(model, entry_int(entry, "number")) : NULL;
    json_t *named = json_array();
    if (!version) {
        json_decref(named);
        return OK;
    }
    if (!tracing->by_version) {
        find_text(named, "", json_object_get(entry->json, "body"), tracing->text);
        for (size_t i = 0; i < state->report_count; i++) {
            const struct report_note *report = &state->reports[i];
            char suite[DIGEST_TEXT], text[DIGEST_TEXT];
            bool about = report->number == version->number &&
                         strcmp(report->model, model->name) == 0;
            digest_text(&report->suite, suite);
            digest_text(&report->report, text);
            if (about && strcmp(tracing->text, text) == 0)
                json_array_append_new(named, json_string("report"));
            if (about && strcmp(tracing->text, suite) == 0)
                json_array_append_new(named, json_string("suite"));
        }
    }
    if (tracing->by_version || json_array_size(named)) {
        json_t *row = json_pack(
            "{ss sI sI sO so so so}", "model", model->name, "number", (json_int_t)version->number,
            "seq", (json_int_t)version->seq, "named_as", named, "made_from", made_from(entry),
            "reports", reports_of(state, model, version), "channels", stays_of(model, version));
        json_set_digest(row, "digest", &version->digest);
        json_set_digest(row, "model_digest", &version->model_digest);
        json_array_append_new(tracing->versions, row);
    }
    json_decref(named);
    return OK;
}

static enum code visit(void *context, const struct entry *entry, struct err *err)
{
    (void)err;
    struct tracing *tracing = context;
    bool registers = entry_registers(entry);
    return registers ? take(tracing, entry) : OK;
}

static enum code trace(struct tracing *tracing, const char *subject, struct err *err)
{
    struct registry *registry = tracing->registry;
    struct entry entry;
    struct digest digest;
    if (ref_is_registry(subject)) {
        tracing->by_version = true;
        TRY(registry_resolve(registry, &tracing->version, subject, err));
        TRY(registry_refresh(registry, err));
        const struct model_line *model = state_model(&registry->state, tracing->version.model);
        TRY(journal_read(&registry->journal, &entry,
                         model_version(model, tracing->version.number)->seq, err));
        enum code code = take(tracing, &entry);
        entry_release(&entry);
        return code;
    }
    tracing->text = subject;
    if (!digest_parse(&digest, subject)) {
        err_set(err, USAGE, "cannot follow '%.120s': it is neither a version nor a digest",
                subject);
        return err_hint(err, "A version is NAME@7 or NAME@CHANNEL; a digest is sha256:… with 64 "
                             "digits.");
    }
    struct head head = { 0 };
    TRY(registry_refresh(registry, err));
    TRY(journal_walk(&registry->journal, &head, visit, tracing, err));
    if (json_array_size(tracing->versions)) return OK;
    return err_set(err, NOT_FOUND, "no version in '%s' has to do with %s", registry->dir, subject);
}

enum code registry_lineage(struct registry *registry, json_t **lineage, const char *subject,
                           struct err *err)
{
    struct tracing tracing = { .registry = registry, .versions = json_array() };
    enum code code = trace(&tracing, subject, err);
    *lineage = code ? NULL
                    : json_pack("{ss ss sO}", "pawl", "lineage/1", "subject", subject, "versions",
                                tracing.versions);
    json_decref(tracing.versions);
    arena_release(&tracing.arena);
    return code;
}
