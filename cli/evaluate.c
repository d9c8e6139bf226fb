/* pawl eval, gate, predict. */
#include "workflow/evaluate.h"
#include "cli/groups.h"
#include "cli/secret.h"
#include "cli/shared.h"
#include "eval/forecast.h"
#include "eval/predict.h"
#include "eval/report.h"
#include "workflow/ref.h"

#include <stdio.h>
#include <string.h>

static const struct option eval_options[] = {
    { "model", OPTION_TEXT, "REF", "The candidate: a path, NAME@7, NAME@CHANNEL." },
    { "predictions", OPTION_TEXT, "FILE",
      "What another program predicted, instead of a model: CSV, JSON lines or HDF5." },
    { "baseline", OPTION_TEXT, "REF", "What `against: baseline` means." },
    { "baseline-predictions", OPTION_TEXT, "FILE", "The same, from a file of predictions." },
    { "plan", OPTION_FLAG, NULL, "Evaluates nothing: what the gates can see with this much data." },
    { "assume", OPTION_LIST, "WHAT=NUMBER",
      "With --plan: the truth of a metric or gate; disagree=SHARE of two models." },
    { "like", OPTION_TEXT, "REPORT", "With --plan: a report that shows how a typical model does." },
    { "weights", OPTION_TEXT, "raw|ema", "Which weights of a run that kept an average; ema." },
    { "out", OPTION_TEXT, "DIR", "The report; default reports/<suite>-<model digest>." },
    { "threads", OPTION_INT, "N", "Worker threads; changes no result. Default: all." },
    DEVICE_OPTION,
    REGISTRY_OPTION,
    KEY_OPTIONS,
    { 0 },
};

static const struct option gate_options[] = {
    { "model", OPTION_TEXT, "REF", "The report must be about this model, by digest." },
    { "suite", OPTION_TEXT, "FILE", "The report must be under this suite, by digest." },
    { "explain", OPTION_TEXT, "GATE", "Shows one gate's numbers step by step." },
    { "threads", OPTION_INT, "N", "Worker threads; changes no result. Default: all." },
    REGISTRY_OPTION,
    { 0 },
};

static const struct option predict_options[] = {
    { "out", OPTION_TEXT, "FILE", "Where the predictions go." },
    { "split", OPTION_TEXT, "NAME", "Split of the dataset; default test." },
    { "weights", OPTION_TEXT, "raw|ema", "Which weights of a run that kept an average; ema." },
    { "threads", OPTION_INT, "N", "Worker threads; changes no result. Default: all." },
    DEVICE_OPTION,
    REGISTRY_OPTION,
    { 0 },
};

static enum code read_weights(const struct invocation *in, bool *raw, struct err *err)
{
    const char *word = text_of(in, "weights");
    *raw = word && strcmp(word, "raw") == 0;
    if (!word || *raw || strcmp(word, "ema") == 0) return OK;
    return err_set(err, USAGE, "unknown weights '%s': raw or ema", word);
}

static bool is_verdict(enum code code)
{
    return code == OK || code == GATE_FAILED || code == INCONCLUSIVE;
}

static enum code run_plan(struct invocation *in, const struct evaluate_request *request,
                          struct err *err)
{
    json_t *json;
    const char *const *assumed = given(in, "assume") ? list_of(in, "assume") : NULL;
    if (request->model)
        return err_set(err, USAGE, "--plan looks ahead of any model: --model has no part in it");
    TRY(evaluate_forecast(&json, request, assumed, text_of(in, "like"), in->problems, err));
    print_document(in, json, forecast_text);
    json_decref(json);
    return OK;
}

static enum code run_eval(struct invocation *in, struct err *err)
{
    struct evaluated evaluated;
    struct evaluate_request request = { .suite = in->args[0],
                                        .model = text_of(in, "model"),
                                        .predictions = text_of(in, "predictions"),
                                        .baseline = text_of(in, "baseline"),
                                        .baseline_predictions = text_of(in, "baseline-predictions"),
                                        .registry = registry_dir(in, NULL),
                                        .out = text_of(in, "out"),
                                        .device = text_of(in, "device"),
                                        .actor = actor_of(in),
                                        .threads = (int)int_of(in, "threads", 0) };
    TRY(read_weights(in, &request.raw, err));
    if (given(in, "plan")) return run_plan(in, &request, err);
    if (given(in, "assume") || given(in, "like"))
        return err_set(err, USAGE, "--assume and --like are for --plan");
    struct key key = { 0 };
    if ((request.model && ref_is_registry(request.model)) || given(in, "key"))
        TRY(check_registry(in, &key, request.registry, err));
    request.key = key.pkey ? &key : NULL;
    enum code code = evaluate(&evaluated, &request, in->problems, err);
    key_release(&key);
    if (is_verdict(code)) {
        say_open(in, evaluated.open);
        print_document(in, evaluated.report_json, report_text);
        if (!in->json) printf("\nreport: %s/report.html\n", evaluated.report);
    }
    evaluated_release(&evaluated);
    return code;
}

/* The digest that --model and --suite ask for. */
static enum code wanted_digests(struct invocation *in, struct replay_opts *opts,
                                struct digest *model, struct digest *suite_digest, struct err *err)
{
    const char *ref_text = text_of(in, "model"), *file = text_of(in, "suite");
    if (ref_text) {
        struct ref ref;
        struct weights weights = { 0 };
        if (ref_is_registry(ref_text)) TRY(check_registry(in, NULL, registry_dir(in, NULL), err));
        TRY(ref_open(&ref, ref_text, registry_dir(in, NULL), err));
        enum code code = ref_load(&ref, &weights, false, err);
        *model = weights.digest;
        opts->model = model;
        weights_release(&weights);
        ref_close(&ref);
        if (code) return code;
    }
    if (!file) return OK;
    const struct kind *const kinds[] = { &suite_kind, NULL };
    struct document document;
    struct suite suite;
    TRY(document_load(&document, in->arena, file, kinds, NULL, in->problems, err));
    TRY(suite_resolve(&suite, &document, in->problems, err));
    *suite_digest = suite.digest;
    opts->suite = suite_digest;
    suite_release(&suite);
    return OK;
}

static void print_replay(const struct invocation *in, const struct eval_result *result,
                         const struct str *explained)
{
    char report[DIGEST_TEXT], model[DIGEST_TEXT], suite[DIGEST_TEXT];
    if (print_json(in, result->json)) return;
    struct str text = { 0 };
    if (!explained->len) report_text(&text, result->json);
    fputs(str_text(explained->len ? explained : &text), stdout);
    str_release(&text);
    printf("\ndecided %s on\n  report %s\n  model  %s\n  suite  %s\n",
           verdict_text(result->verdict), digest_text(&result->report, report),
           digest_text(&result->model, model), digest_text(&result->suite, suite));
}

static enum code run_gate(struct invocation *in, struct err *err)
{
    struct digest model, suite;
    struct str explained = { 0 };
    struct eval_result result = { 0 };
    struct replay_opts opts = { .explain = text_of(in, "explain"),
                                .explained = &explained,
                                .threads = (int)int_of(in, "threads", 0) };
    TRY(wanted_digests(in, &opts, &model, &suite, err));
    enum code code = gate_replay(in->args[0], &opts, &result, err);
    if (is_verdict(code)) print_replay(in, &result, &explained);
    eval_result_release(&result);
    str_release(&explained);
    return code;
}

static enum code predict_with(struct invocation *in, struct ref *ref, const char *out, bool raw,
                              struct err *err)
{
    struct weights weights;
    struct dataset dataset;
    TRY(ref_load(ref, &weights, raw, err));
    enum code code = dataset_open(&dataset, in->args[1], err);
    if (code) {
        weights_release(&weights);
        return code;
    }
    const char *device = text_of(in, "device"), *split = text_of(in, "split");
    struct predict_opts opts = { .split = split ? split : "test",
                                 .device = device && strcmp(device, "auto") ? device : NULL,
                                 .threads = (int)int_of(in, "threads", 0) };
    uint64_t rows = 0;
    code = predict(out, &weights, &dataset, &opts, &rows, err);
    if (!code) {
        json_t *document = json_pack("{s:s,s:s,s:I}", "pawl", "predicted/1", "file", out, "rows",
                                     (json_int_t)rows);
        if (!print_json(in, document)) printf("%s: %llu rows\n", out, (unsigned long long)rows);
        json_decref(document);
    }
    dataset_close(&dataset);
    weights_release(&weights);
    return code;
}

static enum code run_predict(struct invocation *in, struct err *err)
{
    struct ref ref;
    bool raw;
    TRY(read_weights(in, &raw, err));
    const char *out;
    TRY(need_text(in, &out, "out", err));
    if (ref_is_registry(in->args[0])) TRY(check_registry(in, NULL, registry_dir(in, NULL), err));
    TRY(ref_open(&ref, in->args[0], registry_dir(in, NULL), err));
    enum code code = predict_with(in, &ref, out, raw, err);
    ref_close(&ref);
    return code;
}

const struct command eval_commands[] = {
    { .name = "eval",
      .args = "SUITE --model REF|--predictions FILE|--plan",
      .least = 1,
      .most = 1,
      .help = "Evaluates a model under a suite and decides: pass, fail or inconclusive.",
      .detail =
          "A version of a registry is sealed before it is scored, and its report is recorded. "
          "The exit code is\n0 for pass, 3 for fail, 4 for inconclusive.",
      .example = "pawl eval configs/suites/fashion.yaml --model fashion@1 --registry registry",
      .options = eval_options,
      .run = run_eval },
    { .name = "gate",
      .args = "REPORT",
      .least = 1,
      .most = 1,
      .help = "Decides again from a report's stored scores alone, to the same bytes.",
      .detail =
          "REPORT is the report's directory or its report.json. Exit codes: 0 pass, 3 fail, 4 "
          "inconclusive,\n6 when anything does not match.",
      .example = "pawl gate reports/fashion-release-1a2b3c4d5e6f --explain quality",
      .options = gate_options,
      .run = run_gate },
    { .name = "predict",
      .args = "REF DATA --out FILE",
      .least = 2,
      .most = 2,
      .help = "Writes a model's predictions for a split.",
      .example = "pawl predict runs/fashion-cnn fashion-mnist.h5 --out predictions.h5",
      .options = predict_options,
      .run = run_predict },
    { 0 },
};
