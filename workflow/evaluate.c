/* Resolving names, sealing, evaluating, recording. */
#include "workflow/evaluate.h"

#include "base/log.h"
#include "eval/report.h"
#include "workflow/linear.h"
#include "workflow/ref.h"
#include "workflow/reuse.h"

#include <stdio.h>
#include <string.h>

/* Everything that one evaluation holds. */
struct evaluation {
    const struct evaluate_request *request;
    struct arena arena;
    struct problems *problems;
    struct document document;
    struct suite suite;
    struct dataset dataset;
    struct ref model;
    struct weights weights;
    struct eval_baseline *baselines;
    struct weights *baseline_weights;
    size_t baseline_count;
    json_t *facts; /* what the registry knows, or NULL */
    int64_t seal;
    struct eval_result result;
};

static enum code open_suite(struct evaluation *e, struct err *err)
{
    const struct kind *const kinds[] = { &suite_kind, NULL };
    /* problems point into the document, and outlive this evaluation */
    TRY(document_load(&e->document, e->problems->arena, e->request->suite, kinds, NULL, e->problems,
                      err));
    TRY(suite_resolve(&e->suite, &e->document, e->problems, err));
    const char *data = suite_data_file(&e->arena, &e->document);
    if (!data) {
        err_set(err, CONFIG, "cannot evaluate a model under suite '%s': it names no data",
                e->request->suite);
        return err_hint(err, "Give data: {file: ..., split: ...} in the suite.");
    }
    TRY(dataset_open(&e->dataset, data, err));
    return suite_fit(&e->suite, &e->document, &e->dataset, e->problems, err);
}

/* A channel of the suite that nobody has moved yet is a baseline that there is not yet; one that
 * the command line names in vain is a mistake. */
static enum code load_ref_baseline(struct evaluation *e, struct eval_baseline *baseline,
                                   struct weights *weights, const char *text, struct err *err)
{
    struct ref ref;
    char name[256];
    enum code code = ref_open(&ref, text, e->request->registry, err);
    if (code == NOT_FOUND && text != e->request->baseline &&
        ref_is_empty_channel(text, e->request->registry)) {
        baseline->missing = true;
        return OK;
    }
    if (code) return code;
    code = ref_load(&ref, weights, false, err);
    if (!code) {
        baseline->weights = weights;
        baseline->ref = arena_copy(&e->arena, ref_name(&ref, name, sizeof name));
    }
    ref_close(&ref);
    return code;
}

static enum code load_baseline(struct evaluation *e, struct eval_baseline *baseline,
                               struct weights *weights, struct err *err)
{
    if (strcmp(baseline->name, "majority") == 0) return OK;
    if (strcmp(baseline->name, "linear") == 0) {
        bool skipped;
        struct linear_request request = { .data = e->dataset.path, .split = e->suite.train_split };
        if (!request.split) {
            err_set(err, CONFIG, "cannot train the linear baseline: the suite has no train_split");
            return err_hint(err, "Give data: {train_split: train} in the suite.");
        }
        baseline->weights = weights;
        return linear_baseline(weights, &skipped, &request, err);
    }
    if (strcmp(baseline->name, "baseline") != 0)
        return load_ref_baseline(e, baseline, weights, baseline->name, err);
    if (e->request->baseline)
        return load_ref_baseline(e, baseline, weights, e->request->baseline, err);
    err_set(err, USAGE, "the suite compares with a baseline, but none is named");
    return err_hint(err, "Say --baseline REF.");
}

static enum code load_baselines(struct evaluation *e, struct err *err)
{
    size_t count = e->suite.baseline_count;
    e->baselines = ARENA_ARRAY(&e->arena, count, struct eval_baseline);
    e->baseline_weights = ARENA_ARRAY(&e->arena, count, struct weights);
    for (size_t b = 0; b < count; b++) {
        e->baselines[b].name = e->suite.baselines[b];
        e->baseline_count = b + 1;
        TRY(load_baseline(e, &e->baselines[b], &e->baseline_weights[b], err));
    }
    return OK;
}

static json_t *digest_value(const struct digest *digest)
{
    char text[DIGEST_TEXT];
    return json_string(digest_text(digest, text));
}

/* What is fixed before anything is scored: the resolved suite, the data, the baselines. */
static json_t *seal_body(const struct evaluation *e)
{
    json_t *baselines = json_object();
    for (size_t b = 0; b < e->baseline_count; b++) {
        const struct eval_baseline *baseline = &e->baselines[b];
        json_object_set_new(baselines, baseline->name,
                            baseline->weights ? digest_value(&baseline->weights->digest)
                                              : json_null());
    }
    const struct split *split = dataset_split(&e->dataset, e->suite.split);
    return json_pack("{s:o,s:s,s:o,s:o,s:o}", "suite", digest_value(&e->suite.digest), "name",
                     e->suite.name, "data", digest_value(&split->digest), "baselines", baselines,
                     "model_digest", digest_value(&e->weights.digest));
}

/* What the registry has seen so far, for the report: a bar that moves after results were seen, and
 * how many candidates this split has judged (a lower bound: others may have looked elsewhere). */
static void count_seals(struct evaluation *e)
{
    const struct state *state = &e->model.registry.state;
    const struct split *split = dataset_split(&e->dataset, e->suite.split);
    int64_t bars, seals = state_seals(state, &bars, &e->weights.digest, e->suite.name);
    int64_t exposure = state_exposure(state, &split->digest);
    json_object_set_new(e->facts, "seals", json_integer(seals));
    json_object_set_new(e->facts, "bars", json_integer(bars));
    json_object_set_new(e->facts, "exposure", json_integer(exposure));
    if (bars > 1)
        log_note("note: this candidate's bar was sealed %lld times, under %lld bars named '%s'",
                 (long long)seals, (long long)bars, e->suite.name);
}

/* Seals the bar and writes the look down, both before scoring. */
static enum code seal(struct evaluation *e, struct err *err)
{
    if (!e->model.in_registry) return OK;
    struct registry *registry = &e->model.registry;
    json_t *body = seal_body(e);
    int64_t look = 0;
    enum code code = registry_seal(registry, &e->seal, body, e->request->actor, err);
    if (!code) code = registry_look(registry, &look, body, e->request->actor, err);
    json_decref(body);
    if (code) return code;
    e->facts = json_pack("{s:o,s:I,s:I,s:s,s:I}", "id", digest_value(&registry->id), "seal",
                         (json_int_t)e->seal, "look", (json_int_t)look, "model",
                         e->model.version.model, "number", (json_int_t)e->model.version.number);
    count_seals(e);
    return OK;
}

static enum code run(struct evaluation *e, const char *out, struct err *err)
{
    char name[256];
    struct eval_inputs inputs = { .document = &e->document,
                                  .problems = e->problems,
                                  .dataset = &e->dataset,
                                  .model = ref_name(&e->model, name, sizeof name),
                                  .weights = &e->weights,
                                  .baselines = e->baselines,
                                  .baseline_count = e->baseline_count,
                                  .registry = e->facts,
                                  .device = e->request->device,
                                  .threads = e->request->threads };
    if (inputs.device && strcmp(inputs.device, "auto") == 0) inputs.device = NULL;
    return eval_run(&inputs, out, &e->result, err);
}

static bool is_verdict(enum code code)
{
    return code == OK || code == GATE_FAILED || code == INCONCLUSIVE;
}

/* Writes a report into the registry by what its replay said. */
static enum code record(struct evaluation *e, const char *out, const struct eval_result *replayed,
                        struct err *err)
{
    struct report_opts report = { .model = e->model.version.model,
                                  .number = e->model.version.number,
                                  .dir = out,
                                  .model_digest = replayed->model,
                                  .suite = replayed->suite,
                                  .report = replayed->report,
                                  .verdict = verdict_text(replayed->verdict),
                                  .seal = e->seal,
                                  .actor = e->request->actor,
                                  .reason = "evaluated" };
    return registry_record_report(&e->model.registry, NULL, &report, err);
}

/* Replays a new report first: what is recorded is what the scores say. */
static enum code replay_and_record(struct evaluation *e, const char *out, struct err *err)
{
    struct eval_result replayed = { 0 };
    struct replay_opts opts = { .model = &e->weights.digest,
                                .suite = &e->suite.digest,
                                .threads = e->request->threads };
    enum code code = gate_replay(out, &opts, &replayed, err);
    if (is_verdict(code)) code = record(e, out, &replayed, err);
    eval_result_release(&replayed);
    return code;
}

/* A report of an earlier evaluation that answers the same question and replays soundly, so that the
 * whole way can be gone again without looking again. */
static const char *find_report(struct evaluation *e, const char *first, enum code *verdict,
                               struct err *err)
{
    const char *place = first;
    struct wanted wanted = { .suite = e->suite.digest,
                             .model = e->weights.digest,
                             .data = dataset_split(&e->dataset, e->suite.split)->digest,
                             .baselines = e->baselines,
                             .baseline_count = e->baseline_count,
                             .registry = &e->model.registry,
                             .version = &e->model.version };
    struct replay_opts opts = { .model = &e->weights.digest,
                                .suite = &e->suite.digest,
                                .threads = e->request->threads };
    for (int n = 2; fs_exists(place); n++) {
        if (report_answers(place, &e->seal, &wanted)) {
            *verdict = gate_replay(place, &opts, &e->result, err);
            if (is_verdict(*verdict)) return place;
            eval_result_release(&e->result);
        }
        place = arena_format(&e->arena, "%s-%d", first, n);
    }
    return NULL;
}

/* A place that is free: the default name, else the same with a number behind it. */
static const char *free_place(struct evaluation *e, const char *first)
{
    const char *place = first;
    for (int n = 2; fs_exists(place); n++) place = arena_format(&e->arena, "%s-%d", first, n);
    return place;
}

static void fill(struct evaluated *evaluated, const struct evaluation *e, const char *out)
{
    snprintf(evaluated->report, sizeof evaluated->report, "%s", out);
    snprintf(evaluated->verdict, sizeof evaluated->verdict, "%s", verdict_text(e->result.verdict));
    evaluated->report_digest = e->result.report;
    evaluated->suite_digest = e->result.suite;
    evaluated->model_digest = e->result.model;
    evaluated->sealed = e->model.in_registry;
    evaluated->report_json = json_incref(e->result.json);
    evaluated->open = e->model.in_registry && e->model.registry.open;
}

static enum code open_all(struct evaluation *e, struct err *err)
{
    const struct evaluate_request *request = e->request;
    TRY(open_suite(e, err));
    if (request->out && fs_exists(request->out)) {
        err_set(err, CONFLICT, "cannot write report '%s': it exists already", request->out);
        return err_hint(err, "Choose another place with --out, or remove it.");
    }
    TRY(ref_open(&e->model, request->model, request->registry, err));
    e->model.registry.key = request->key;
    TRY(ref_load(&e->model, &e->weights, request->raw, err));
    return load_baselines(e, err);
}

static enum code evaluate_all(struct evaluation *e, struct evaluated *evaluated, struct err *err)
{
    const struct evaluate_request *request = e->request;
    enum code verdict = OK;
    TRY(open_all(e, err));
    const char *first = arena_format(&e->arena, "reports/%s",
                                     report_name(&e->arena, &e->suite, &e->weights.digest));
    bool reuse = request->reuse && !request->out && e->model.in_registry;
    const char *out = reuse ? find_report(e, first, &verdict, err) : NULL;
    evaluated->reused = out != NULL;
    if (!out) {
        out = request->out ? request->out : free_place(e, first);
        TRY(fs_mkdirs(path_dir(&e->arena, out), err));
        TRY(seal(e, err));
        verdict = run(e, out, err);
        if (!is_verdict(verdict)) return verdict;
    }
    struct err failed;
    enum code code = OK;
    if (evaluated->reused)
        code = record(e, out, &e->result, &failed);
    else if (e->model.in_registry)
        code = replay_and_record(e, out, &failed);
    if (code) {
        *err = failed;
        return code;
    }
    fill(evaluated, e, out);
    return verdict;
}

static void close_all(struct evaluation *e)
{
    eval_result_release(&e->result);
    for (size_t b = 0; b < e->baseline_count; b++) weights_release(&e->baseline_weights[b]);
    weights_release(&e->weights);
    ref_close(&e->model);
    suite_release(&e->suite);
    dataset_close(&e->dataset);
    json_decref(e->facts);
    arena_release(&e->arena);
}

enum code evaluate(struct evaluated *evaluated, const struct evaluate_request *request,
                   struct problems *problems, struct err *err)
{
    memset(evaluated, 0, sizeof *evaluated);
    struct evaluation e = { .request = request, .problems = problems };
    enum code code = evaluate_all(&e, evaluated, err);
    close_all(&e);
    return code;
}

enum code evaluate_check(const char *suite, struct problems *problems, struct err *err)
{
    struct evaluate_request request = { .suite = suite };
    struct evaluation e = { .request = &request, .problems = problems };
    enum code code = open_suite(&e, err);
    close_all(&e);
    return code;
}

void evaluated_release(struct evaluated *evaluated)
{
    json_decref(evaluated->report_json);
    memset(evaluated, 0, sizeof *evaluated);
}
