/* The facts are written by hand: what a run and an evaluation say, shortened. */
#include "tests/registry/shared_evidence.h"

#include <string.h>

static const char facts_text[] =
    "{\"pawl\":\"run/1\",\"name\":\"small-cnn\",\"build\":\"0.1.0 0123456789ab GNU 12.2.0\","
    "\"binary\":\"sha256:1111111111111111111111111111111111111111111111111111111111111111\","
    "\"config\":{\"train\":{\"seed\":7}},\"schedule_end\":{\"train\":{\"epochs\":5}},"
    "\"config_digest\":\"sha256:2222222222222222222222222222222222222222222222222222222222222222\","
    "\"data\":{\"path\":\"../data/cloth es.h5\","
    "\"digest\":\"sha256:3333333333333333333333333333333333333333333333333333333333333333\"},"
    "\"device\":{\"name\":\"cpu\",\"description\":\"avx2, oneDNN 2.6.3\",\"threads\":2,"
    "\"precision\":\"f32\"},\"seed\":7,\"started\":\"2026-11-24T21:25:33Z\"}";

enum code evidence_add(struct registry *registry, struct added *added, const char *dir,
                       const char *model, int seed, struct err *err)
{
    float input[SUPPORT_ROWS * SUPPORT_INPUTS];
    struct arena arena = { 0 };
    json_t *facts = NULL;
    const char *checkpoint = arena_format(&arena, "%s/checkpoints/seed-%d", dir, seed);
    support_inputs(input);
    TRY(json_parse(&facts, facts_text, strlen(facts_text), "facts", err));
    json_t *card = json_pack("{ss ss ss s[s] ss s[ss]}", "pawl", "card/1", "summary",
                             "Tells three kinds apart. " EVIDENCE_HOSTILE, "license", "apache-2.0",
                             "language", "en", "limitations", EVIDENCE_HOSTILE, "tags", "- small",
                             EVIDENCE_HOSTILE);
    struct add_opts opts = { .model = model,
                             .checkpoint = checkpoint,
                             .sample = { .input = input, .rows = SUPPORT_ROWS },
                             .facts = facts,
                             .card = card,
                             .actor = "adder",
                             .reason = "to have it" };
    enum code code = fs_mkdirs(path_dir(&arena, checkpoint), err);
    if (!code && !fs_is_dir(checkpoint)) code = support_checkpoint(checkpoint, seed, err);
    if (!code) code = registry_add(registry, added, &opts, err);
    json_decref(facts);
    json_decref(card);
    arena_release(&arena);
    return code;
}

static json_t *value_json(const char *subject, const char *slice, double value)
{
    return json_pack("{ss ss ss ss sf sf sf si ss}", "metric", "accuracy", "subject", subject,
                     "condition", "clean", "slice", slice, "value", value, "low", value - 0.1,
                     "high", value + 0.01, "n", 300, "method", "clopper_pearson");
}

static json_t *report_json(const char *suite, const struct digest *suite_digest,
                           const char *verdict, double value)
{
    json_t *inputs = json_pack(
        "{s{ss s[{ss ss ss sf sb ss}]} s{ss ss ss si}}", "suite", "name", suite, "gates", "id",
        "quality", "metric", "accuracy", "rule", "at_least", "bar", 0.7, "goal", 1, "why",
        EVIDENCE_HOSTILE, "data", "task", "classification", "split", "test", "digest",
        "sha256:4444444444444444444444444444444444444444444444444444444444444444", "rows", 300);
    char text[DIGEST_TEXT];
    json_object_set_new(inputs, "suite_digest", json_string(digest_text(suite_digest, text)));
    json_t *quality = json_pack("{s[ooo]}", "values", value_json("candidate", "all", value),
                                value_json("candidate", EVIDENCE_HOSTILE, value / 3),
                                value_json("baseline_1", "all", 0.5));
    bool passes = strcmp(verdict, "pass") == 0;
    json_t *result = json_pack("{ss s[s] s[s*] s[] s[s]}", "result", verdict, "pass", "small",
                               "fail", passes ? NULL : "quality", "inconclusive", "warned",
                               "speed");
    json_t *report = json_pack("{ss so so so}", "pawl", "report/1", "inputs", inputs, "quality",
                               quality, "verdict", result);
    struct digest digest = json_digest(report);
    json_object_set_new(report, "digests", json_pack("{ss}", "report", digest_text(&digest, text)));
    return report;
}

enum code evidence_report(struct registry *registry, const char *dir, const char *model,
                          int64_t number, const char *suite, const char *verdict, double value,
                          struct err *err)
{
    struct arena arena = { 0 };
    struct digest suite_digest = digest_of(suite, strlen(suite));
    json_t *report = report_json(suite, &suite_digest, verdict, value);
    const char *folder = arena_format(&arena, "%s/reports/%s-%lld-%s", dir, model,
                                      (long long)number, suite);
    struct report_opts opts = { .model = model,
                                .number = number,
                                .dir = folder,
                                .suite = suite_digest,
                                .report = json_digest(report),
                                .verdict = verdict,
                                .actor = "evaluator" };
    enum code code = registry_refresh(registry, err);
    if (!code)
        opts.model_digest =
            model_version(state_model(&registry->state, model), number)->model_digest;
    if (!code) code = fs_mkdirs(folder, err);
    if (!code) code = json_publish(report, path_join(&arena, folder, "report.json"), err);
    if (!code) code = fs_publish(path_join(&arena, folder, "scores.h5"), suite, strlen(suite), err);
    if (!code) code = registry_record_report(registry, NULL, &opts, err);
    json_decref(report);
    arena_release(&arena);
    return code;
}

const struct bytes *evidence_file(struct support *support, const char *model, int64_t number,
                                  const char *file)
{
    struct document_row *rows;
    size_t count;
    struct registry *registry = &support->registry;
    struct arena *arena = &support->arena;
    if (registry_refresh(registry, &support->err)) return NULL;
    const struct version *version = model_version(state_model(&registry->state, model), number);
    if (documents_read(arena, &rows, &count, registry, &version->evidence, &support->err))
        return NULL;
    for (size_t i = 0; i < count; i++)
        for (int p = 0; p < rows[i].part_count; p++) {
            struct bytes *bytes = ARENA_NEW(arena, struct bytes);
            if (strcmp(rows[i].parts[p].name, file) != 0) continue;
            return store_read(&registry->store, arena, bytes, &rows[i].parts[p].digest, 1 << 20,
                              &support->err)
                       ? NULL
                       : bytes;
        }
    return NULL;
}
