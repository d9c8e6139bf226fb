/* Entries that change no version and no channel: each becomes a row, counted and looked up here. */
#include "registry/notes.h"

#include "registry/trust.h"

#include <string.h>

static const char *text_or_empty(struct state *state, const struct entry *entry, const char *key)
{
    const char *text = entry_text(entry, key);
    return text ? arena_copy(&state->arena, text) : "";
}

static void take_baselines(struct state *state, struct seal_note *seal, json_t *baselines)
{
    const char *name;
    json_t *sealed;
    seal->baselines = ARENA_ARRAY(&state->arena, json_object_size(baselines),
                                  struct sealed_baseline);
    json_object_foreach(baselines, name, sealed)
    {
        struct sealed_baseline *row = &seal->baselines[seal->baseline_count++];
        row->name = arena_copy(&state->arena, name);
        row->there = digest_parse(&row->model_digest, json_string_value(sealed));
    }
}

enum code note_seal(struct state *state, const struct entry *entry, const struct signer *signer,
                    struct err *err)
{
    (void)err;
    struct seal_note seal = { .seq = entry->seq, .signer = *signer };
    seal.name = text_or_empty(state, entry, "name");
    entry_digest(entry, &seal.suite, "suite");
    entry_digest(entry, &seal.model_digest, "model_digest");
    entry_digest(entry, &seal.data, "data");
    take_baselines(state, &seal, json_object_get(entry->body, "baselines"));
    state->seals = array_grown(&state->arena, state->seals, state->seal_count,
                               sizeof *state->seals);
    state->seals[state->seal_count++] = seal;
    return OK;
}

enum code note_look(struct state *state, const struct entry *entry, const struct signer *signer,
                    struct err *err)
{
    (void)signer;
    struct look_note look = { 0 };
    entry_digest(entry, &look.suite, "suite");
    entry_digest(entry, &look.model_digest, "model_digest");
    entry_digest(entry, &look.data, "data");
    if (entry_int(entry, "look") != state_looks(state, &look.model_digest, &look.suite) + 1)
        return entry_nonsense(entry, "it does not count the looks before it", err);
    state->looks = array_grown(&state->arena, state->looks, state->look_count,
                               sizeof *state->looks);
    state->looks[state->look_count++] = look;
    return OK;
}

/* A report's seal is one of its suite, and of its candidate where the seal says for whom it is. */
static bool seal_fits(const struct state *state, const struct report_note *report)
{
    struct digest none = { 0 };
    const struct seal_note *seal = state_seal(state, report->seal);
    if (!report->seal) return true;
    return seal && digest_equal(&seal->suite, &report->suite) &&
           (digest_equal(&seal->model_digest, &none) ||
            digest_equal(&seal->model_digest, &report->model_digest));
}

static void take_gates(struct state *state, struct report_note *report, const json_t *list)
{
    report->gates = ARENA_ARRAY(&state->arena, json_array_size(list), struct open_gate);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *row = json_array_get(list, i);
        const char *id = json_string_value(json_object_get(row, "id"));
        const char *reason = json_string_value(json_object_get(row, "reason"));
        struct open_gate *gate = &report->gates[report->gate_count++];
        gate->id = arena_copy(&state->arena, id ? id : "");
        gate->reason = arena_copy(&state->arena, reason ? reason : "");
        gate->waivable = json_is_true(json_object_get(row, "waivable"));
    }
}

enum code note_report(struct state *state, const struct entry *entry, const struct signer *signer,
                      struct err *err)
{
    struct report_note report = {
        .seq = entry->seq,
        .number = entry_int(entry, "number"),
        .seal = json_integer_value(json_object_get(entry->body, "seal")),
        .time_s = time_parse(entry->time),
        .signer = *signer,
    };
    const struct model_line *model = state_model(state, entry_text(entry, "model"));
    const struct version *version = model ? model_version(model, report.number) : NULL;
    entry_digest(entry, &report.model_digest, "model_digest");
    entry_digest(entry, &report.suite, "suite");
    entry_digest(entry, &report.report, "report");
    take_gates(state, &report, json_object_get(entry->body, "gates"));
    if (!version) return entry_nonsense(entry, "it reports on an unknown version", err);
    if (!digest_equal(&version->model_digest, &report.model_digest))
        return entry_nonsense(entry, "it reports on another model than its version", err);
    if (!seal_fits(state, &report))
        return entry_nonsense(entry, "its seal is not one of its suite and candidate", err);
    report.model = model->name;
    report.verdict = arena_copy(&state->arena, entry_text(entry, "verdict"));
    state->reports = array_grown(&state->arena, state->reports, state->report_count,
                                 sizeof *state->reports);
    state->reports[state->report_count++] = report;
    return OK;
}

/* A list of digests, in the state's arena. */
static bool take_digests(struct state *state, struct consent *consent, const json_t *list)
{
    size_t count = json_array_size(list);
    consent->reports = ARENA_ARRAY(&state->arena, count, struct digest);
    for (; consent->report_count < count; consent->report_count++)
        if (!digest_parse(&consent->reports[consent->report_count],
                          json_string_value(json_array_get(list, consent->report_count))))
            return false;
    return true;
}

/* What a waiver says beyond an approval. */
static bool take_rule(struct state *state, struct consent *consent, const struct entry *entry)
{
    consent->rule = waivable_find(entry_text(entry, "rule"));
    consent->gate = text_or_empty(state, entry, "gate");
    return consent->rule < WAIVABLE_COUNT && consent->expires_s > 0 &&
           (*consent->gate != '\0') == (consent->rule == WAIVE_VERDICT);
}

enum code note_consent(struct state *state, const struct entry *entry, const struct signer *signer,
                       struct err *err)
{
    const json_t *from = json_object_get(entry->body, "from");
    const char *expires = entry_text(entry, "expires");
    struct consent consent = {
        .seq = entry->seq,
        .waives = entry->kind == ENTRY_WAIVE,
        .from = from ? json_integer_value(from) : -1,
        .expires_s = expires ? time_parse(expires) : 0,
        .signer = *signer,
    };
    const struct model_line *model = state_model(state, entry_text(entry, "model"));
    const struct version *version = model ? model_version(model, entry_int(entry, "number")) : NULL;
    entry_digest(entry, &consent.digest, "digest");
    entry_digest(entry, &consent.statement, "statement");
    if (state->open) return entry_nonsense(entry, "the registry has no keys", err);
    if (!version || !digest_equal(&version->digest, &consent.digest))
        return entry_nonsense(entry, "it names an unknown version", err);
    if (!entry_digest(entry, &consent.policy, "policy") || (expires && consent.expires_s <= 0) ||
        !take_digests(state, &consent, json_object_get(entry->body, "reports")) ||
        (consent.waives && !take_rule(state, &consent, entry)))
        return entry_nonsense(entry, "it does not say what it is about", err);
    consent.model = model->name;
    consent.channel = arena_copy(&state->arena, entry_text(entry, "channel"));
    state->consents = array_grown(&state->arena, state->consents, state->consent_count,
                                  sizeof *state->consents);
    state->consents[state->consent_count++] = consent;
    return OK;
}

const struct report_note *state_report(const struct state *state, const struct digest *model_digest,
                                       const struct digest *suite)
{
    for (size_t i = state->report_count; i-- > 0;) {
        const struct report_note *report = &state->reports[i];
        if (digest_equal(&report->model_digest, model_digest) &&
            digest_equal(&report->suite, suite) &&
            trust_counts(state, &report->signer, report->seq))
            return report;
    }
    return NULL;
}

const struct seal_note *state_seal(const struct state *state, int64_t seq)
{
    for (size_t i = state->seal_count; i-- > 0;)
        if (state->seals[i].seq == seq) return &state->seals[i];
    return NULL;
}

int64_t state_looks(const struct state *state, const struct digest *model_digest,
                    const struct digest *suite)
{
    int64_t looks = 0;
    for (size_t i = 0; i < state->look_count; i++)
        looks += digest_equal(&state->looks[i].model_digest, model_digest) &&
                 digest_equal(&state->looks[i].suite, suite);
    return looks;
}

int64_t state_seals(const struct state *state, int64_t *suites, const struct digest *model_digest,
                    const char *name)
{
    int64_t seals = 0;
    *suites = 0;
    for (size_t i = 0; i < state->seal_count; i++) {
        const struct seal_note *seal = &state->seals[i];
        if (!digest_equal(&seal->model_digest, model_digest) || strcmp(seal->name, name) != 0)
            continue;
        bool known = false;
        for (size_t j = 0; j < i && !known; j++)
            known = digest_equal(&state->seals[j].model_digest, model_digest) &&
                    strcmp(state->seals[j].name, name) == 0 &&
                    digest_equal(&state->seals[j].suite, &seal->suite);
        *suites += !known;
        seals++;
    }
    return seals;
}

int64_t state_exposure(const struct state *state, const struct digest *data)
{
    int64_t candidates = 0;
    for (size_t i = 0; i < state->look_count; i++) {
        const struct look_note *look = &state->looks[i];
        bool fresh = digest_equal(&look->data, data);
        for (size_t j = 0; j < i && fresh; j++)
            fresh = !digest_equal(&state->looks[j].data, data) ||
                    !digest_equal(&state->looks[j].model_digest, &look->model_digest);
        candidates += fresh;
    }
    return candidates;
}

bool consent_is_for(const struct consent *consent, const char *model, const struct digest *digest,
                    const char *channel)
{
    return strcmp(consent->model, model) == 0 && digest_equal(&consent->digest, digest) &&
           strcmp(consent->channel, channel) == 0;
}
