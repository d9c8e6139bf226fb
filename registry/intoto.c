/* in-toto statements: where a version comes from (SLSA provenance v1, slsa.dev/spec/v1.0) and how
 * an evaluation ended (test-result v0.1, in-toto/attestation, spec/predicates/test-result.md).
 *
 * Training needs no predicate of its own: the effective configuration is what was asked for from
 * outside, data and program are the dependencies that were resolved. */
#include "registry/documents_table.h"

#include <string.h>

#define BUILD_TYPE "urn:pawl:train:v1"

/* A dependency with a digest under `algorithm`; left out where there is none. */
static void add_dependency(json_t *list, const char *name, const char *algorithm, const char *hex,
                           json_t *annotations)
{
    if (hex)
        json_array_append_new(list, json_pack("{ss s{ss} so}", "name", name, "digest", algorithm,
                                              hex, "annotations", annotations));
    else
        json_decref(annotations);
}

/* "0.1.0 268f0f4d3bcb GNU 12.2.0": the commit is the second word, where it is one. */
static const char *commit_of(struct arena *arena, const json_t *facts)
{
    const char *build = member_text(facts, "build");
    const char *at = strchr(build, ' ');
    size_t len = at ? strspn(at + 1, "0123456789abcdef") : 0;
    if (len < 7 || (at[1 + len] && at[1 + len] != ' ')) return NULL;
    return arena_copy_len(arena, at + 1, len);
}

static json_t *dependencies(struct arena *arena, const json_t *facts)
{
    json_t *list = json_array();
    const json_t *data = json_object_get(facts, "data");
    add_dependency(list, "dataset", "sha256", member_hex(data, "digest"),
                   json_pack("{ss ss}", "path", member_text(data, "path"), "digestOf",
                             "the dataset's manifest without its member digest"));
    add_dependency(list, "pawl", "sha256", member_hex(facts, "binary"),
                   json_pack("{ss}", "build", member_text(facts, "build")));
    add_dependency(list, "source", "gitCommit", commit_of(arena, facts),
                   json_pack("{ss}", "build", member_text(facts, "build")));
    return list;
}

static json_t *member_or_empty(const json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);
    return value ? json_incref(value) : json_object();
}

static const char *version_word(struct arena *arena, const json_t *facts)
{
    const char *build = member_text(facts, "build");
    return *build ? arena_copy_len(arena, build, strcspn(build, " ")) : "unknown";
}

void provenance_make(struct evidence *evidence, struct arena *arena, const struct record *record)
{
    const json_t *facts = record->facts;
    if (!json_is_object(json_object_get(facts, "config"))) return; /* no run tells of it */
    const char *builder = arena_format(arena, "pkg:generic/pawl@%s", version_word(arena, facts));
    json_t *internal = json_object(), *metadata = json_object(), *seed;
    json_object_set_new(internal, "device", member_or_empty(facts, "device"));
    if ((seed = json_object_get(facts, "seed"))) json_object_set(internal, "seed", seed);
    if (*member_text(facts, "started"))
        json_object_set(metadata, "startedOn", json_object_get(facts, "started"));
    if (*member_text(facts, "name"))
        json_object_set(metadata, "invocationId", json_object_get(facts, "name"));
    json_t *external = json_pack("{so so}", "config", member_or_empty(facts, "config"),
                                 "schedule_end", member_or_empty(facts, "schedule_end"));
    json_t *predicate = json_pack(
        "{s{ss so so so} s{s{ss s{ss}} so}}", "buildDefinition", "buildType", BUILD_TYPE,
        "externalParameters", external, "internalParameters", internal, "resolvedDependencies",
        dependencies(arena, facts), "runDetails", "builder", "id", builder, "version", "pawl",
        version_word(arena, facts), "metadata", metadata);
    REQUIRE(predicate);
    document_statement(evidence, arena, record, "provenance.intoto.json", PROVENANCE_TYPE,
                       predicate);
}

/* Gate names by outcome; `further` (may be NULL) is a second list of the verdict. */
static json_t *gates(const json_t *verdict, const char *key, const char *further)
{
    json_t *list = json_array();
    const json_t *first = json_object_get(verdict, key);
    const json_t *second = further ? json_object_get(verdict, further) : NULL;
    for (size_t i = 0; i < json_array_size(first); i++)
        json_array_append(list, json_array_get(first, i));
    for (size_t i = 0; i < json_array_size(second); i++)
        json_array_append(list, json_array_get(second, i));
    return list;
}

static const char *result_of(const struct record *record, const json_t *verdict)
{
    if (strcmp(record->verdict, "pass") != 0) return "FAILED";
    return json_array_size(json_object_get(verdict, "warned")) ? "WARNED" : "PASSED";
}

void test_result_make(struct evidence *evidence, struct arena *arena, const struct record *record)
{
    if (!record->report) return;
    const json_t *inputs = json_object_get(record->report, "inputs");
    const json_t *suite = json_object_get(inputs, "suite");
    const json_t *data = json_object_get(inputs, "data");
    const json_t *verdict = json_object_get(record->report, "verdict");
    json_t *configuration = json_array();
    add_dependency(configuration, "suite", "sha256", member_hex(inputs, "suite_digest"),
                   json_pack("{ss}", "name", member_text(suite, "name")));
    add_dependency(configuration, "data", "sha256", member_hex(data, "digest"),
                   json_pack("{ss}", "split", member_text(data, "split")));
    add_dependency(configuration, "report.json", "sha256",
                   digest_hex(arena, &record->report_files[0].digest),
                   json_pack("{ss}", "verdict", record->verdict));
    json_t *predicate = json_pack(
        "{ss so so so so}", "result", result_of(record, verdict), "configuration", configuration,
        "passedTests", gates(verdict, "pass", NULL), "warnedTests", gates(verdict, "warned", NULL),
        "failedTests", gates(verdict, "fail", "inconclusive"));
    REQUIRE(predicate);
    document_statement(evidence, arena, record, "test-result.intoto.json", TEST_RESULT_TYPE,
                       predicate);
}
