/* The evidence of a version, from journal and store. */
#include "registry/commit.h"
#include "registry/documents.h"
#include "registry/score.h"

#include <stdio.h>
#include <string.h>

/* What one version's score is made from. */
struct scoring {
    const struct registry *registry;
    const struct state *state;
    const struct model_line *model;
    const struct version *version;
    struct arena arena;
    struct entry entry;
    json_t *profile, *card, *reports, *notes, *files, *history, *twins;
};

static json_t *notes_json(const struct state *state, const struct digest *model)
{
    static const struct digest none;
    json_t *list = json_array();
    for (size_t i = 0; i < state->report_count; i++) {
        const struct report_note *note = &state->reports[i];
        if (!digest_equal(&note->model_digest, model)) continue;
        const struct seal_note *seal = state_seal(state, note->seal);
        json_t *row = json_pack("{sI sI ss}", "seq", (json_int_t)note->seq, "seal",
                                (json_int_t)note->seal, "verdict", note->verdict);
        if (seal && !digest_equal(&seal->data, &none)) json_set_digest(row, "data", &seal->data);
        json_array_append_new(list, row);
    }
    return list;
}

static enum code read_profile(struct scoring *scoring, const struct oci_version *files,
                              struct err *err)
{
    struct bytes bytes;
    const struct oci_layer *layer = oci_layer(files, "profile.json");
    if (!layer) return OK;
    TRY(store_read(&scoring->registry->store, &scoring->arena, &bytes, &layer->digest,
                   DOCUMENT_LIMIT, err));
    return json_parse(&scoring->profile, bytes.at, bytes.len, "profile.json", err);
}

static enum code tell(void *context, const struct entry *entry, struct err *err)
{
    struct scoring *scoring = context;
    const char *model = entry_text(entry, "model"), *channel = entry_text(entry, "channel");
    (void)err;
    if (entry->seq > scoring->state->head.seq) return OK; /* after what is scored */
    if (!model || strcmp(model, scoring->model->name) != 0) return OK;
    json_array_append_new(
        scoring->history,
        json_pack("{sI ss so ss}", "seq", (json_int_t)entry->seq, "kind",
                  entry_kind_name(entry->kind), "subject",
                  json_sprintf("%s@%lld", model, (long long)entry_int(entry, "number")), "channel",
                  channel ? channel : ""));
    return OK;
}

/* Versions of other names with the same weights, and what is known of their making. */
static enum code gather_twins(struct scoring *scoring, struct err *err)
{
    const struct state *state = scoring->state;
    scoring->twins = json_array();
    for (size_t m = 0; m < state->model_count; m++) {
        const struct model_line *model = &state->models[m];
        const struct version *twin = model_version_by_weights(model,
                                                              &scoring->version->model_digest);
        struct entry entry;
        if (!twin || model == scoring->model) continue;
        TRY(journal_read(&scoring->registry->journal, &entry, twin->seq, err));
        json_t *facts = json_object_get(entry.body, "facts");
        json_array_append_new(
            scoring->twins, json_pack("{so sI sO*}", "subject",
                                      json_sprintf("%s@%lld", model->name, (long long)twin->number),
                                      "seq", (json_int_t)twin->seq, "facts", facts));
        entry_release(&entry);
    }
    return OK;
}

static enum code gather(struct scoring *scoring, struct err *err)
{
    struct oci_version files;
    struct head head = { 0 };
    const struct registry *registry = scoring->registry;
    const struct version *version = scoring->version;
    scoring->reports = json_array();
    scoring->files = json_array();
    scoring->history = json_array();
    scoring->notes = notes_json(scoring->state, &version->model_digest);
    TRY(oci_read(registry, &files, &version->digest, err));
    for (int i = 0; i < files.layer_count; i++)
        json_array_append_new(scoring->files, json_pack("{ss}", "name", files.layers[i].name));
    TRY(read_profile(scoring, &files, err));
    TRY(documents_card(&scoring->card, registry, &version->evidence, err));
    TRY(documents_reports(scoring->reports, registry, scoring->state, &version->model_digest, NULL,
                          err));
    TRY(journal_walk(&registry->journal, &head, tell, scoring, err));
    TRY(gather_twins(scoring, err));
    return journal_read(&registry->journal, &scoring->entry, version->seq, err);
}

static void scoring_release(struct scoring *scoring)
{
    json_t *const owned[] = { scoring->profile, scoring->card,    scoring->reports, scoring->notes,
                              scoring->files,   scoring->history, scoring->twins };
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) json_decref(owned[i]);
    entry_release(&scoring->entry);
    arena_release(&scoring->arena);
}

static enum code score_state(json_t **scored, struct scoring *scoring, const json_t *card,
                             struct err *err)
{
    char subject[NAME_LIMIT + 32];
    enum code code = gather(scoring, err);
    if (!code) {
        snprintf(subject, sizeof subject, "%s@%lld", scoring->model->name,
                 (long long)scoring->version->number);
        struct score_evidence evidence = { .subject = subject,
                                           .model = scoring->model->name,
                                           .number = scoring->version->number,
                                           .facts = json_object_get(scoring->entry.body, "facts"),
                                           .profile = scoring->profile,
                                           .card = card ? card : scoring->card,
                                           .reports = scoring->reports,
                                           .notes = scoring->notes,
                                           .history = scoring->history,
                                           .files = scoring->files,
                                           .twins = scoring->twins };
        *scored = score_json(&evidence);
    }
    scoring_release(scoring);
    return code;
}

enum code registry_score(struct registry *registry, json_t **scored, const char *model,
                         int64_t number, const json_t *card, struct err *err)
{
    struct scoring scoring = { .registry = registry, .state = &registry->state };
    *scored = NULL;
    TRY(registry_refresh(registry, err));
    TRY(state_find_version(&registry->state, &scoring.model, &scoring.version, model, number, err));
    return score_state(scored, &scoring, card, err);
}

enum code registry_score_value(double *score, const struct registry *registry,
                               const struct state *state, const char *model, int64_t number,
                               struct err *err)
{
    struct scoring scoring = { .registry = registry, .state = state };
    json_t *scored = NULL;
    TRY(state_find_version(state, &scoring.model, &scoring.version, model, number, err));
    TRY(score_state(&scored, &scoring, NULL, err));
    *score = score_of(scored);
    json_decref(scored);
    return OK;
}
