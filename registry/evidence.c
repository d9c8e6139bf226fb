/* Entries that say what was found out: reports, seals and looks. */
#include "registry/registry.h"

#include "registry/commit.h"

#include <string.h>

enum { REPORT_LIMIT = 64 << 20 };

static const char *const verdicts[] = { "pass", "fail", "inconclusive" };

static const struct report_note *recorded(const struct state *state, const struct report_opts *opts)
{
    for (size_t i = state->report_count; i-- > 0;) {
        const struct report_note *report = &state->reports[i];
        if (digest_equal(&report->report, &opts->report) &&
            digest_equal(&report->suite, &opts->suite) && report->number == opts->number &&
            strcmp(report->model, opts->model) == 0)
            return report;
    }
    return NULL;
}

struct recording {
    const struct report_opts *opts;
    struct digest document, scores; /* content */
    int64_t known;                  /* the entry that recorded it before, or 0 */
};

static json_t *report_body(const struct recording *recording)
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
    return body;
}

static enum code decide_report(void *context, const struct state *state, struct draft *draft,
                               struct err *err)
{
    struct recording *recording = context;
    const struct report_opts *opts = recording->opts;
    const struct model_line *model;
    const struct version *version;
    char ours[DIGEST_TEXT], theirs[DIGEST_TEXT];
    TRY(state_find_version(state, &model, &version, opts->model, opts->number, err));
    if (!digest_equal(&version->model_digest, &opts->model_digest))
        return err_set(err, DAMAGED, "report '%s' is about model %s, but %s@%lld is %s", opts->dir,
                       digest_text(&opts->model_digest, theirs), opts->model,
                       (long long)opts->number, digest_text(&version->model_digest, ours));
    const struct report_note *known = recorded(state, opts);
    recording->known = known ? known->seq : 0;
    if (known) return OK;
    draft->kind = ENTRY_REPORT;
    draft->actor = opts->actor;
    draft->reason = opts->reason;
    draft->body = report_body(recording);
    draft_subject(draft, &version->digest);
    draft_subject(draft, &opts->model_digest);
    draft_subject(draft, &opts->report);
    draft_subject(draft, &recording->document);
    draft_subject(draft, &recording->scores);
    return OK;
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

enum code registry_record_report(struct registry *registry, int64_t *seq,
                                 const struct report_opts *opts, struct err *err)
{
    struct recording recording = { .opts = opts };
    int64_t made;
    TRY(check_verdict(opts->verdict, err));
    TRY(check_seal(registry, opts, err));
    TRY(store_report(registry, &recording, err));
    TRY(registry_commit(registry, decide_report, &recording, &made, err));
    if (seq) *seq = made ? made : recording.known;
    return OK;
}

struct noting {
    enum entry_kind kind;
    const json_t *body;
    const char *actor;
    int64_t look;
    struct digest suite, model_digest;
};

static enum code decide_note(void *context, const struct state *state, struct draft *draft,
                             struct err *err)
{
    (void)err;
    struct noting *noting = context;
    draft->kind = noting->kind;
    draft->actor = noting->actor;
    draft->body = json_deep_copy(noting->body);
    draft_subject(draft, &noting->suite);
    if (noting->kind != ENTRY_LOOK) return OK;
    noting->look = state_looks(state, &noting->model_digest, &noting->suite) + 1;
    json_object_set_new(draft->body, "look", json_integer(noting->look));
    draft_subject(draft, &noting->model_digest);
    return OK;
}

enum code registry_seal(struct registry *registry, int64_t *seq, const json_t *body,
                        const char *actor, struct err *err)
{
    struct noting noting = { .kind = ENTRY_SEAL, .body = body, .actor = actor };
    REQUIRE(digest_parse(&noting.suite, json_string_value(json_object_get(body, "suite"))));
    return registry_commit(registry, decide_note, &noting, seq, err);
}

enum code registry_look(struct registry *registry, int64_t *look, const json_t *body,
                        const char *actor, struct err *err)
{
    struct noting noting = { .kind = ENTRY_LOOK, .body = body, .actor = actor };
    const char *model = json_string_value(json_object_get(body, "model_digest"));
    REQUIRE(digest_parse(&noting.suite, json_string_value(json_object_get(body, "suite"))));
    REQUIRE(digest_parse(&noting.model_digest, model));
    TRY(registry_commit(registry, decide_note, &noting, NULL, err));
    if (look) *look = noting.look;
    return OK;
}
