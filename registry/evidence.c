/* Recording reports: their content, the gates that do not pass, and the evaluator's statement. */
#include "registry/registry.h"

#include "eval/gate.h"
#include "registry/commit.h"
#include "registry/documents.h"
#include "registry/statement.h"
#include "registry/trust.h"

#include <string.h>

enum { REPORT_LIMIT = 64 << 20, GATES_LIMIT = 500 };

static const char *const verdicts[] = { "pass", "fail", "inconclusive" };

static const struct report_note *recorded(const struct state *state, const struct report_opts *opts)
{
    for (size_t i = state->report_count; i-- > 0;) {
        const struct report_note *report = &state->reports[i];
        if (digest_equal(&report->report, &opts->report) &&
            digest_equal(&report->suite, &opts->suite) && report->number == opts->number &&
            strcmp(report->model, opts->model) == 0 &&
            trust_counts(state, &report->signer, report->seq))
            return report;
    }
    return NULL;
}

struct recording {
    const struct report_opts *opts;
    const struct registry *registry;
    struct digest document, scores; /* content */
    json_t *gates;                  /* that count and do not pass: {id, reason, verdict} */
    json_t *body;
    int64_t known; /* the entry that recorded it before, or 0 */
};

static void make_body(struct recording *recording, const struct registry *registry,
                      const struct version *version)
{
    const struct report_opts *opts = recording->opts;
    json_t *files = json_object();
    json_set_digest(files, "report.json", &recording->document);
    json_set_digest(files, "scores.h5", &recording->scores);
    json_t *body = json_pack("{ss sI ss so}", "model", opts->model, "number",
                             (json_int_t)opts->number, "verdict", opts->verdict, "files", files);
    json_set_digest(body, "model_digest", &opts->model_digest);
    json_set_digest(body, "suite", &opts->suite);
    json_set_digest(body, "report", &opts->report);
    json_object_set_new(body, "seal", opts->seal ? json_integer(opts->seal) : json_null());
    if (json_array_size(recording->gates)) json_object_set(body, "gates", recording->gates);
    if (!registry->state.open) {
        json_set_digest(body, "digest", &version->digest);
        json_set_digest(body, "policy", &registry->state.policy.digest);
    }
    recording->body = body;
}

static enum code check_version(const struct report_opts *opts, const struct version *version,
                               struct err *err)
{
    char ours[DIGEST_TEXT], theirs[DIGEST_TEXT];
    if (digest_equal(&version->model_digest, &opts->model_digest)) return OK;
    return err_set(err, DAMAGED, "report '%s' is about model %s, but %s@%lld is %s", opts->dir,
                   digest_text(&opts->model_digest, theirs), opts->model, (long long)opts->number,
                   digest_text(&version->model_digest, ours));
}

static enum code decide_report(void *context, const struct state *state, struct draft *draft,
                               struct err *err)
{
    struct recording *recording = context;
    const struct report_opts *opts = recording->opts;
    const struct model_line *model;
    const struct version *version;
    TRY(state_find_version(state, &model, &version, opts->model, opts->number, err));
    const struct report_note *known = recorded(state, opts);
    recording->known = known ? known->seq : 0;
    if (known) return OK;
    if (!recording->body)
        return err_set(err, CONFLICT, "cannot record report '%s': its key was revoked meanwhile",
                       opts->dir);
    struct digest evidence;
    TRY(documents_report(&evidence, recording->registry, state, opts, &recording->document,
                         &recording->scores, err));
    draft->kind = ENTRY_REPORT;
    draft->actor = opts->actor;
    draft->reason = opts->reason;
    draft->body = json_copy(recording->body);
    draft_subject(draft, &version->digest);
    draft_subject(draft, &opts->model_digest);
    draft_subject(draft, &opts->report);
    draft_subject(draft, &recording->document);
    draft_subject(draft, &recording->scores);
    json_set_digest(draft->body, "documents", &evidence);
    draft_subject(draft, &evidence);
    return OK;
}

/* Reasons that a waiver may set aside. What is not a number, or not there, is never among them. */
static bool may_be_waived(const char *reason)
{
    static const enum reason reasons[] = {
        REASON_BOUND,      REASON_POINT, REASON_COVERS,  REASON_FEW,     REASON_SMALL,
        REASON_DEGENERATE, REASON_ALIKE, REASON_SAMPLES, REASON_MACHINE, REASON_BASELINE,
    };
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (strcmp(reason, reason_word(reasons[i])) == 0) return true;
    return false;
}

/* The gates of one part that hold the release back. */
static void add_gates(json_t *list, const json_t *part)
{
    const json_t *gates = json_object_get(part, "gates");
    for (size_t i = 0; i < json_array_size(gates); i++) {
        const json_t *gate = json_array_get(gates, i);
        const char *id = json_string_value(json_object_get(gate, "id"));
        const char *verdict = json_string_value(json_object_get(gate, "verdict"));
        const char *reason = json_string_value(json_object_get(gate, "reason"));
        if (!id || !verdict || !reason || !json_is_true(json_object_get(gate, "counts"))) continue;
        if (strcmp(verdict, "pass") == 0 || json_array_size(list) >= GATES_LIMIT) continue;
        json_array_append_new(list, json_pack("{ss ss ss sb}", "id", id, "verdict", verdict,
                                              "reason", reason, "waivable", may_be_waived(reason)));
    }
}

static enum code check_verdict(const char *verdict, struct err *err)
{
    for (size_t i = 0; i < sizeof verdicts / sizeof *verdicts; i++)
        if (strcmp(verdict, verdicts[i]) == 0) return OK;
    return err_set(err, DAMAGED, "cannot record a report with the verdict '%.40s'", verdict);
}

static enum code store_report(const struct registry *registry, struct recording *recording,
                              struct err *err)
{
    struct arena arena = { 0 };
    json_t *json = NULL;
    const char *dir = recording->opts->dir;
    const char *document = path_join(&arena, dir, "report.json");
    enum code code = json_read(&json, document, REPORT_LIMIT, "report/1", err);
    recording->gates = json_array();
    add_gates(recording->gates, json_object_get(json, "quality"));
    add_gates(recording->gates, json_object_get(json, "measured"));
    if (!code) code = store_put_file(&registry->store, &recording->document, NULL, document, err);
    if (!code)
        code = store_put_file(&registry->store, &recording->scores, NULL,
                              path_join(&arena, dir, "scores.h5"), err);
    json_decref(json);
    arena_release(&arena);
    return code;
}

/* A seal that a report names must be one, and of the same suite. */
static enum code check_seal(const struct registry *registry, const struct report_opts *opts,
                            struct err *err)
{
    struct entry entry;
    struct digest suite;
    if (!opts->seal) return OK;
    enum code code = journal_read(&registry->journal, &entry, opts->seal, err);
    if (code && code != NOT_FOUND) return code;
    bool seals = !code && entry.kind == ENTRY_SEAL && entry_digest(&entry, &suite, "suite") &&
                 digest_equal(&suite, &opts->suite);
    if (!code) entry_release(&entry);
    if (seals) return OK;
    return err_set(err, DAMAGED, "report '%s' names entry %lld, which does not seal its suite",
                   opts->dir, (long long)opts->seal);
}

/* What the decision does not depend on: a lost race leaves the statement as it is. */
static enum code prepare(struct registry *registry, struct recording *recording, struct err *err)
{
    const struct report_opts *opts = recording->opts;
    const struct model_line *model;
    const struct version *version;
    TRY(registry_refresh(registry, err));
    TRY(state_find_version(&registry->state, &model, &version, opts->model, opts->number, err));
    TRY(check_version(opts, version, err));
    if (recorded(&registry->state, opts)) return OK;
    make_body(recording, registry, version);
    if (registry->state.open) return OK;
    return statement_put(registry, recording->body, ENTRY_REPORT, opts->reason, err);
}

enum code registry_record_report(struct registry *registry, int64_t *seq,
                                 const struct report_opts *opts, struct err *err)
{
    struct recording recording = { .opts = opts, .registry = registry };
    int64_t made = 0;
    enum code code = check_verdict(opts->verdict, err);
    if (!code) code = check_seal(registry, opts, err);
    if (!code) code = store_report(registry, &recording, err);
    if (!code) code = prepare(registry, &recording, err);
    if (!code) code = registry_commit(registry, decide_report, &recording, &made, err);
    if (!code && seq) *seq = made ? made : recording.known;
    json_decref(recording.gates);
    json_decref(recording.body);
    return code;
}
