/* Resolving names, sealing, evaluating, recording. */
#include "workflow/evaluate.h"

#include "base/log.h"
#include "base/units.h"
#include "eval/forecast.h"
#include "eval/report.h"
#include "workflow/facts.h"
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
    bool alone; /* predictions bring their own rows: there is no dataset */
    struct dataset dataset;
    struct exam exam;
    struct ref model;
    struct weights weights;
    struct predictions predictions, other_predictions; /* the candidate's, the baseline's */
    struct digest model_digest;                        /* of the candidate, whatever it is */
    struct eval_baseline *baselines;
    struct weights *baseline_weights;
    size_t baseline_count;
    json_t *facts;   /* what the registry knows, or NULL */
    json_t *history; /* values of earlier versions for trends, or NULL */
    int64_t seal;
    struct eval_result result;
};

/* Reads the suite, and its data where it names some. */
static enum code open_suite(struct evaluation *e, struct err *err)
{
    const struct kind *const kinds[] = { &suite_kind, NULL };
    /* problems point into the document, and outlive this evaluation */
    TRY(document_load(&e->document, e->problems->arena, e->request->suite, kinds, NULL, e->problems,
                      err));
    TRY(suite_resolve(&e->suite, &e->document, e->problems, err));
    const char *data = suite_data_file(&e->arena, &e->document);
    e->alone = !data && e->request->predictions;
    if (e->alone) return OK;
    if (!data) {
        err_set(err, CONFIG, "cannot evaluate a model under suite '%s': it names no data",
                e->request->suite);
        return err_hint(err, "Give data: {file: ..., split: ...} in the suite, or --predictions.");
    }
    TRY(dataset_open(&e->dataset, data, err));
    TRY(suite_exam(&e->exam, &e->suite, &e->document, &e->dataset, e->problems, err));
    return e->request->predictions ? OK /* columns may come from them: fitted when they are there */
                                   : suite_fit(&e->suite, &e->document, &e->exam, e->problems, err);
}

/* The candidate: a model by its REF, or what another program predicted. */
static enum code open_candidate(struct evaluation *e, struct err *err)
{
    const struct evaluate_request *request = e->request;
    struct predictions_opts how = { .dataset = e->alone ? NULL : &e->dataset };
    if (!request->predictions) {
        TRY(ref_open(&e->model, request->model, request->registry, err));
        e->model.registry.key = request->key;
        TRY(ref_load(&e->model, &e->weights, request->raw, err));
        e->model_digest = e->weights.digest;
        return OK;
    }
    TRY(predictions_read(&e->predictions, request->predictions, &how, err));
    e->model_digest = e->predictions.digest;
    if (e->alone) TRY(exam_of_predictions(&e->exam, &e->predictions, err));
    e->exam.predictions = &e->predictions;
    return suite_fit(&e->suite, &e->document, &e->exam, e->problems, err);
}

/* A channel of the suite that nobody has moved yet is a baseline that there is not yet; one that
 * the command line names in vain is a mistake. */
static enum code load_ref_baseline(struct evaluation *e, struct eval_baseline *baseline,
                                   struct weights *weights, const char *text, struct err *err)
{
    struct ref ref;
    char name[256];
    bool named = text == e->request->baseline; /* by the command line */
    if (e->alone) {
        err_set(err, CONFIG, "cannot run baseline '%s': the suite names no data", text);
        return err_hint(err, "Compare predictions with --baseline-predictions FILE, or give data: "
                             "in the suite.");
    }
    enum code code = text_starts(text, "anchor:")
                         ? ref_open_model(&ref, text + 7, e->request->registry, err)
                         : ref_open(&ref, text, e->request->registry, err);
    if (code == NOT_FOUND && !named && ref_is_empty_channel(text, e->request->registry)) {
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

/* `against: baseline`: what the command line says it is. */
static enum code load_bound_baseline(struct evaluation *e, struct eval_baseline *baseline,
                                     struct weights *weights, struct err *err)
{
    const struct evaluate_request *request = e->request;
    struct predictions_opts how = { .dataset = e->alone ? NULL : &e->dataset };
    if (request->baseline_predictions) {
        TRY(predictions_read(&e->other_predictions, request->baseline_predictions, &how, err));
        baseline->predictions = &e->other_predictions;
        baseline->ref = request->baseline_predictions;
        return OK;
    }
    if (request->baseline) return load_ref_baseline(e, baseline, weights, request->baseline, err);
    err_set(err, USAGE, "the suite compares with a baseline, but none is named");
    return err_hint(err, "Say --baseline REF, or --baseline-predictions FILE.");
}

static enum code load_linear(struct evaluation *e, struct eval_baseline *baseline,
                             struct weights *weights, struct err *err)
{
    bool skipped;
    struct linear_request request = { .data = e->dataset.path, .split = e->suite.train_split };
    baseline->weights = weights;
    return linear_baseline(weights, &skipped, &request, err);
}

static enum code load_baseline(struct evaluation *e, struct eval_baseline *baseline,
                               struct weights *weights, struct err *err)
{
    const char *name = baseline->name;
    if (strcmp(name, "majority") == 0) return OK;
    if (strcmp(name, "linear") == 0) return load_linear(e, baseline, weights, err);
    if (strcmp(name, "baseline") == 0) return load_bound_baseline(e, baseline, weights, err);
    const char *text = text_starts(name, "anchor:")
                           ? name
                           : suite_baseline_ref(&e->arena, &e->document, name);
    return load_ref_baseline(e, baseline, weights, text, err);
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
        const struct digest *digest = baseline->weights       ? &baseline->weights->digest
                                      : baseline->predictions ? &baseline->predictions->digest
                                                              : NULL;
        json_object_set_new(baselines, baseline->name, digest ? digest_value(digest) : json_null());
    }
    return json_pack("{s:o,s:s,s:o,s:o,s:o}", "suite", digest_value(&e->suite.digest), "name",
                     e->suite.name, "data", digest_value(&e->exam.digest), "baselines", baselines,
                     "model_digest", digest_value(&e->model_digest));
}

/* What the registry has seen so far, for the report: a bar that moves after results were seen, and
 * how many candidates this split has judged (a lower bound: others may have looked elsewhere). */
static void count_seals(struct evaluation *e)
{
    const struct state *state = &e->model.registry.state;
    int64_t bars, seals = state_seals(state, &bars, &e->model_digest, e->suite.name);
    json_object_set_new(e->facts, "seals", json_integer(seals));
    json_object_set_new(e->facts, "bars", json_integer(bars));
    json_object_set_new(e->facts, "exposures",
                        json_integer(state_exposure(state, &e->exam.digest)));
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
                                  .dataset = e->alone ? NULL : &e->dataset,
                                  .baselines = e->baselines,
                                  .baseline_count = e->baseline_count,
                                  .registry = e->facts,
                                  .history = e->history,
                                  .device = e->request->device,
                                  .threads = e->request->threads };
    if (inputs.device && strcmp(inputs.device, "auto") == 0) inputs.device = NULL;
    if (e->request->predictions) {
        inputs.model = e->request->predictions;
        inputs.predictions = &e->predictions;
    } else {
        inputs.model = ref_name(&e->model, name, sizeof name);
        inputs.weights = &e->weights;
    }
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
    struct replay_opts opts = { .model = &e->model_digest,
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
                             .model = e->model_digest,
                             .data = e->exam.digest,
                             .baselines = e->baselines,
                             .baseline_count = e->baseline_count,
                             .registry = &e->model.registry,
                             .version = &e->model.version };
    const char *counted = e->alone ? NULL : e->suite.train_split;
    const struct split *train = counted ? dataset_split(&e->dataset, counted) : NULL;
    if (train) wanted.train = train->digest;
    struct replay_opts opts = { .model = &e->model_digest,
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
    if (!request->model == !request->predictions) {
        err_set(err, USAGE,
                request->model ? "--model and --predictions exclude each other"
                               : "there is nothing to evaluate");
        return err_hint(err, "Say --model REF, or --predictions FILE.");
    }
    if (request->baseline && request->baseline_predictions)
        return err_set(err, USAGE, "--baseline and --baseline-predictions exclude each other");
    TRY(open_suite(e, err));
    if (request->out && fs_exists(request->out)) {
        err_set(err, CONFLICT, "cannot write report '%s': it exists already", request->out);
        return err_hint(err, "Choose another place with --out, or remove it.");
    }
    TRY(open_candidate(e, err));
    TRY(facts_history(&e->history, &e->suite, request->registry, &e->exam.digest, &e->model_digest,
                      err));
    return load_baselines(e, err);
}

static enum code evaluate_all(struct evaluation *e, struct evaluated *evaluated, struct err *err)
{
    const struct evaluate_request *request = e->request;
    enum code verdict = OK;
    TRY(open_all(e, err));
    const char *first = arena_format(&e->arena, "reports/%s",
                                     report_name(&e->arena, &e->suite, &e->model_digest));
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
    predictions_release(&e->predictions);
    predictions_release(&e->other_predictions);
    ref_close(&e->model);
    suite_release(&e->suite);
    dataset_close(&e->dataset);
    json_decref(e->facts);
    json_decref(e->history);
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

/* "accuracy=0.93" */
static enum code read_assumption(struct forecast_opts *opts, struct assumption *assumption,
                                 struct arena *arena, const char *text, struct err *err)
{
    const char *sign = strchr(text, '='), *reason = NULL;
    double value;
    if (!sign || sign == text || !units_real(&value, sign + 1, false, &reason)) {
        err_set(err, USAGE, "cannot assume '%s': it is no WHAT=NUMBER", text);
        return reason ? err_hint(err, "%s", reason) : USAGE;
    }
    const char *what = arena_copy_len(arena, text, (size_t)(sign - text));
    if (strcmp(what, "disagree") == 0) {
        opts->disagreement = value;
        return value > 0 && value <= 1 ? OK : err_set(err, USAGE, "'%s' is no share of rows", text);
    }
    *assumption = (struct assumption){ what, value };
    opts->assumed_count++;
    return OK;
}

static enum code look_ahead(struct evaluation *e, json_t **json, const char *const *assumed,
                            const char *like, struct err *err)
{
    enum { LIKE_LIMIT = 256 << 20 };
    struct forecast_opts opts = { 0 };
    json_t *report = NULL;
    size_t count = 0;
    while (assumed && assumed[count]) count++;
    struct assumption *list = ARENA_ARRAY(&e->arena, count + 1, struct assumption);
    opts.assumed = list;
    for (size_t i = 0; i < count; i++)
        TRY(read_assumption(&opts, &list[opts.assumed_count], &e->arena, assumed[i], err));
    TRY(open_suite(e, err));
    if (e->request->predictions) TRY(open_candidate(e, err));
    if (like) {
        const char *file = fs_is_dir(like) ? path_join(&e->arena, like, "report.json") : like;
        TRY(json_read(&report, file, LIKE_LIMIT, "report/1", err));
        opts.like = report;
    }
    enum code code = forecast(json, &e->suite, &e->exam, &opts, err);
    json_decref(report);
    return code;
}

enum code evaluate_forecast(json_t **json, const struct evaluate_request *request,
                            const char *const *assumed, const char *like, struct problems *problems,
                            struct err *err)
{
    struct evaluation e = { .request = request, .problems = problems };
    *json = NULL;
    enum code code = look_ahead(&e, json, assumed, like, err);
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
