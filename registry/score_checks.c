/* What recorded facts show. A gate counts where it may hold a release back and passed; one that
 * failed anywhere takes the point away. */
#include "registry/score_checks.h"

#include "registry/documents.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Walks over the gates of all reports, those on quality and those on the machine. */
struct gate_walk {
    const json_t *reports;
    size_t report, gate;
    int part;
};

static const json_t *next_gate(struct gate_walk *walk)
{
    static const char *const parts[] = { "quality", "measured" };
    for (; walk->report < json_array_size(walk->reports); walk->report++, walk->part = 0) {
        const json_t *report = json_array_get(walk->reports, walk->report);
        for (; walk->part < 2; walk->part++, walk->gate = 0) {
            const json_t *gates = json_object_get(json_object_get(report, parts[walk->part]),
                                                  "gates");
            if (walk->gate < json_array_size(gates)) return json_array_get(gates, walk->gate++);
        }
    }
    return NULL;
}

/* Whether some blocking gate of a kind passed and none of them did not. */
static bool gates_pass(const struct score_evidence *evidence, bool (*is)(const json_t *gate),
                       const char *what, char out[SCORE_EVIDENCE])
{
    struct gate_walk walk = { .reports = evidence->reports };
    const json_t *gate;
    int passed = 0;
    const char *first = "";
    while ((gate = next_gate(&walk))) {
        if (!is(gate) || !json_is_true(json_object_get(gate, "counts"))) continue;
        if (strcmp(member_text(gate, "verdict"), "pass") != 0) return false;
        if (!passed++) first = member_text(gate, "id");
    }
    snprintf(out, SCORE_EVIDENCE, "%d gate%s %s passed, '%.80s' among them", passed,
             passed == 1 ? "" : "s", what, first);
    return passed > 0;
}

static bool score_schema(const struct score_evidence *evidence, char out[SCORE_EVIDENCE])
{
    size_t columns = json_array_size(json_object_get(evidence->profile, "columns"));
    snprintf(out, SCORE_EVIDENCE, "profile.json: ranges, missing values and histograms of %zu %s",
             columns, columns == 1 ? "column" : "columns");
    return columns > 0;
}

static bool score_golden(const struct score_evidence *evidence, char out[SCORE_EVIDENCE])
{
    for (size_t i = 0; i < json_array_size(evidence->files); i++) {
        const json_t *file = json_array_get(evidence->files, i);
        if (strcmp(member_text(file, "name"), "sample.h5") != 0) continue;
        snprintf(out, SCORE_EVIDENCE,
                 "sample.h5: raw rows and their outputs, run again at each deployment");
        return true;
    }
    return false;
}

/* The first entry of a kind about this version, or with `any` about its model. */
static const json_t *entry_of(const struct score_evidence *evidence, const char *kind, bool any)
{
    char subject[NAME_LIMIT + 32];
    snprintf(subject, sizeof subject, "%s@%lld", evidence->model ? evidence->model : "",
             (long long)evidence->number);
    for (size_t i = 0; i < json_array_size(evidence->history); i++) {
        const json_t *entry = json_array_get(evidence->history, i);
        if (strcmp(member_text(entry, "kind"), kind) == 0 &&
            (any || strcmp(member_text(entry, "subject"), subject) == 0))
            return entry;
    }
    return NULL;
}

static long long seq_of(const json_t *entry)
{
    return (long long)json_integer_value(json_object_get(entry, "seq"));
}

/* Reviewed means approved by somebody; checked in, that the program's commit is known. */
static bool score_reviewed(const struct score_evidence *evidence, char out[SCORE_EVIDENCE])
{
    const json_t *entry = entry_of(evidence, "approve", false);
    const char *config = member_hex(evidence->facts, "config_digest");
    const char *commit = strchr(member_text(evidence->facts, "build"), ' ');
    if (!entry || !config || !commit || strstr(commit, "dirty")) return false;
    snprintf(out, SCORE_EVIDENCE, "entry %lld approves configuration %.12s, program %.12s",
             seq_of(entry), config, commit + 1);
    return true;
}

/* Whether a REF names a version of this model. */
static bool is_own(const struct score_evidence *evidence, const char *ref)
{
    size_t len = evidence->model ? strlen(evidence->model) : 0;
    return len && strncmp(ref, evidence->model, len) == 0 && ref[len] == '@';
}

/* An older version judged on the same rows says what not retraining costs. */
static bool score_staleness(const struct score_evidence *evidence, char out[SCORE_EVIDENCE])
{
    for (size_t r = 0; r < json_array_size(evidence->reports); r++) {
        const json_t *report = json_array_get(evidence->reports, r);
        const json_t *baselines = json_object_get(json_object_get(report, "inputs"), "baselines");
        const char *digest = member_hex(json_object_get(report, "digests"), "report");
        for (size_t b = 0; b < json_array_size(baselines); b++) {
            const char *ref = member_text(json_array_get(baselines, b), "ref");
            if (!is_own(evidence, ref) || !digest) continue;
            snprintf(out, SCORE_EVIDENCE, "report %.12s judges %.80s on the same rows", digest,
                     ref);
            return true;
        }
    }
    return false;
}

static bool beats_simple(const json_t *gate)
{
    const char *against = member_text(gate, "against");
    return strcmp(member_text(gate, "rule"), "better_by") == 0 &&
           (strcmp(against, "linear") == 0 || strcmp(against, "majority") == 0);
}

static bool score_simpler(const struct score_evidence *evidence, char out[SCORE_EVIDENCE])
{
    return gates_pass(evidence, beats_simple, "against a simpler model", out);
}

static bool on_slice(const json_t *gate)
{
    const char *slice = member_text(gate, "slice");
    return *slice && strcmp(slice, "all") != 0;
}

static bool score_slices(const struct score_evidence *evidence, char out[SCORE_EVIDENCE])
{
    return gates_pass(evidence, on_slice, "on slices", out);
}

static bool is_gap(const json_t *gate)
{
    return strcmp(member_text(gate, "rule"), "gap") == 0;
}

static bool score_inclusion(const struct score_evidence *evidence, char out[SCORE_EVIDENCE])
{
    return gates_pass(evidence, is_gap, "on gaps between groups", out);
}

static bool score_pipeline(const struct score_evidence *evidence, char out[SCORE_EVIDENCE])
{
    const json_t *added = entry_of(evidence, "register", false);
    const json_t *judged = entry_of(evidence, "report", false);
    const json_t *moved = entry_of(evidence, "promote", false);
    if (!added || !judged || !moved) return false;
    snprintf(out, SCORE_EVIDENCE, "trained, added, judged and promoted in entries %lld, %lld, %lld",
             seq_of(added), seq_of(judged), seq_of(moved));
    return true;
}

static bool score_validated(const struct score_evidence *evidence, char out[SCORE_EVIDENCE])
{
    for (size_t i = 0; i < json_array_size(evidence->notes); i++) {
        const json_t *note = json_array_get(evidence->notes, i);
        long long seal = (long long)json_integer_value(json_object_get(note, "seal"));
        if (!seal || strcmp(member_text(note, "verdict"), "pass") != 0) continue;
        snprintf(out, SCORE_EVIDENCE, "entry %lld sealed the bar, entry %lld records the pass",
                 seal, seq_of(note));
        return true;
    }
    return false;
}

static bool score_rollback(const struct score_evidence *evidence, char out[SCORE_EVIDENCE])
{
    const json_t *entry = entry_of(evidence, "rollback", true);
    if (!entry) return false;
    snprintf(out, SCORE_EVIDENCE, "entry %lld took '%.40s' back", seq_of(entry),
             member_text(entry, "channel"));
    return true;
}

static const char *started(const json_t *facts)
{
    return member_text(facts, "started");
}

/* Another run of the same configuration on the same data that came to the same weights, bit for
 * bit. The run's own start tells two runs apart. */
static bool score_reproduced(const struct score_evidence *evidence, char out[SCORE_EVIDENCE])
{
    const json_t *own = evidence->facts, *twin;
    const char *config = member_hex(own, "config_digest");
    const char *data = member_hex(json_object_get(own, "data"), "digest");
    size_t i;
    if (!config || !data || !*started(own)) return false;
    json_array_foreach(evidence->twins, i, twin)
    {
        const json_t *facts = json_object_get(twin, "facts");
        const char *again = member_hex(facts, "config_digest");
        const char *rows = member_hex(json_object_get(facts, "data"), "digest");
        if (!again || !rows || strcmp(again, config) != 0 || strcmp(rows, data) != 0) continue;
        if (!*started(facts) || strcmp(started(facts), started(own)) == 0) continue;
        snprintf(out, SCORE_EVIDENCE, "%.80s (entry %lld) is another run with the same weights",
                 member_text(twin, "subject"), seq_of(twin));
        return true;
    }
    return false;
}

/* Judged again after it went onto a channel, on rows that no report before had used; the newest
 * such report counts. */
static bool score_served(const struct score_evidence *evidence, char out[SCORE_EVIDENCE])
{
    const json_t *moved = entry_of(evidence, "promote", false), *newest = NULL, *note;
    size_t i, k;
    json_array_foreach(evidence->notes, i, note)
    {
        const char *data = member_hex(note, "data");
        bool new_rows = moved && data && seq_of(note) > seq_of(moved);
        for (k = 0; new_rows && k < i; k++) {
            const json_t *before = json_array_get(evidence->notes, k);
            const char *used = member_hex(before, "data");
            if (seq_of(before) < seq_of(moved) && (!used || strcmp(used, data) == 0))
                new_rows = false;
        }
        if (new_rows) newest = note;
    }
    if (!newest || strcmp(member_text(newest, "verdict"), "pass") != 0) return false;
    snprintf(out, SCORE_EVIDENCE, "promoted in entry %lld, passed on other rows in entry %lld",
             seq_of(moved), seq_of(newest));
    return true;
}

/* The run stopped at nothing that is no number, and neither did an evaluation find one. */
static bool score_finite(const struct score_evidence *evidence, char out[SCORE_EVIDENCE])
{
    const json_t *train = json_object_get(json_object_get(evidence->facts, "config"), "train");
    const char *rule = member_text(train, "non_finite");
    size_t values = 0;
    for (size_t r = 0; r < json_array_size(evidence->reports); r++) {
        const json_t *report = json_array_get(evidence->reports, r);
        const json_t *list = json_object_get(json_object_get(report, "quality"), "values");
        for (size_t v = 0; v < json_array_size(list); v++, values++) {
            const json_t *value = json_object_get(json_array_get(list, v), "value");
            if (!json_is_number(value) || !isfinite(json_number_value(value))) return false;
        }
    }
    if (strcmp(rule, "stop") != 0 || (!values && !evidence->finished)) return false;
    snprintf(out, SCORE_EVIDENCE, "training stops at numbers that are none; %zu values are finite",
             values);
    return true;
}

static bool on_machine(const json_t *gate)
{
    static const char *const prefixes[] = { "latency_", "throughput", "peak_", "memory" };
    const char *metric = member_text(gate, "metric");
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (strncmp(metric, prefixes[i], strlen(prefixes[i])) == 0) return true;
    return false;
}

static bool score_compute(const struct score_evidence *evidence, char out[SCORE_EVIDENCE])
{
    return gates_pass(evidence, on_machine, "on speed or memory", out);
}

static const struct {
    const char *test;
    score_check check;
} checks[] = {
    { "D1", score_schema },     { "D7", score_golden },   { "M1", score_reviewed },
    { "M4", score_staleness },  { "M5", score_simpler },  { "M6", score_slices },
    { "M7", score_inclusion },  { "I3", score_pipeline }, { "I4", score_validated },
    { "I7", score_rollback },   { "O5", score_finite },   { "O6", score_compute },
    { "I1", score_reproduced }, { "O7", score_served },
};

score_check score_check_of(const char *test)
{
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++)
        if (strcmp(checks[i].test, test) == 0) return checks[i].check;
    return NULL;
}
