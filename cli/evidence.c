/* What is known about a version, for readers who do not know pawl. */
#include "cli/documents.h"
#include "cli/groups.h"
#include "cli/secret.h"
#include "cli/shared.h"
#include "registry/card.h"
#include "registry/documents.h"
#include "registry/html.h"
#include "workflow/import_mlflow.h"
#include "workflow/score.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const struct option evidence_options[] = {
    { "out", OPTION_TEXT, "DIR", "Writes the documents there as files; it must not exist." },
    { "with-model", OPTION_FLAG, NULL, "Writes the version's own files too, into DIR/model." },
    REGISTRY_OPTION,
    { 0 },
};

static void evidence_text(struct str *out, const json_t *json)
{
    size_t d, f;
    json_t *document, *file;
    const json_t *documents = json_object_get(json, "documents");
    json_array_foreach(documents, d, document)
    {
        bool is_signed = json_is_true(json_object_get(document, "signed"));
        json_array_foreach(json_object_get(document, "files"), f, file) str_addf(
            out, "%-12s  %-24s  %-8s  %.19s\n", f ? "" : text_in(document, "type"),
            text_in(file, "name"), is_signed ? "signed" : "unsigned", text_in(file, "digest"));
    }
    if (!json_array_size(documents)) str_add(out, "no documents: an older pawl added it\n");
}

static enum code run_evidence(struct invocation *in, struct err *err)
{
    struct registry registry;
    struct resolved resolved;
    json_t *json = NULL;
    const char *out = text_of(in, "out");
    if (given(in, "with-model") && !out)
        return err_set(err, USAGE, "option '--with-model' needs --out DIR");
    TRY(open_named(in, &registry, err));
    enum code code = registry_resolve(&registry, &resolved, in->args[0], err);
    if (!code) code = registry_refresh(&registry, err);
    if (!code) {
        const struct model_line *model = state_model(&registry.state, resolved.model);
        const struct version *version = model_version(model, resolved.number);
        code = documents_json(&json, &registry, &version->evidence, err);
        if (!code && out)
            code = documents_export(&registry, &version->digest, &version->evidence, out,
                                    given(in, "with-model"), err);
    }
    if (!code) print_document(in, json, evidence_text);
    json_decref(json);
    registry_close(&registry);
    return code;
}

static const struct option score_options[] = {
    { "at-least", OPTION_TEXT, "X", "Exits 3 where the score is smaller." },
    { "card", OPTION_TEXT, "FILE", "A card whose `tests` count, instead of the version's own." },
    REGISTRY_OPTION,
    { 0 },
};

static void score_text(struct str *out, const json_t *scored)
{
    size_t i;
    json_t *row;
    str_addf(out, "%s: score %g, the smallest of", text_in(scored, "subject"), score_of(scored));
    json_array_foreach(json_object_get(scored, "sections"), i, row)
        str_addf(out, "%s %s %g", i ? "," : "", text_in(row, "section"),
                 json_number_value(json_object_get(row, "sum")));
    str_add(out, "\n\n");
    json_array_foreach(json_object_get(scored, "tests"), i, row)
    {
        const char *evidence = text_in(row, "evidence");
        str_addf(out, "%-3s %-3g  %s\n", text_in(row, "test"),
                 json_number_value(json_object_get(row, "points")), text_in(row, "question"));
        str_addf(out, "         %s: %s\n", text_in(row, "how"),
                 *evidence ? evidence : text_in(row, "supply"));
    }
}

static enum code read_bar(const struct invocation *in, double *bar, struct err *err)
{
    const char *text = text_of(in, "at-least");
    char *end;
    if (!text) return OK;
    *bar = strtod(text, &end);
    if (*text && !*end && isfinite(*bar) && *bar >= 0) return OK;
    return err_set(err, USAGE, "option '--at-least' needs a number, not '%s'", text);
}

static enum code run_score(struct invocation *in, struct err *err)
{
    json_t *scored = NULL, *card = NULL;
    double bar = 0;
    TRY(read_bar(in, &bar, err));
    if (given(in, "card")) TRY(card_load(&card, in->arena, text_of(in, "card"), in->problems, err));
    enum code code = score_ref(&scored, in->args[0], registry_dir(in, NULL), card, err);
    if (!code) print_document(in, scored, score_text);
    if (!code && score_of(scored) < bar)
        code = err_set(err, GATE_FAILED, "the score of '%s' is %g, below %g", in->args[0],
                       score_of(scored), bar);
    json_decref(scored);
    json_decref(card);
    return code;
}

static const struct option html_options[] = {
    { "out", OPTION_TEXT, "DIR", "The folder for the pages; default registry-html." },
    REGISTRY_OPTION,
    { 0 },
};

static enum code run_html(struct invocation *in, struct err *err)
{
    struct registry registry;
    int64_t pages = 0;
    const char *dir = in->arg_count ? in->args[0] : NULL;
    const char *out = text_of(in, "out") ? text_of(in, "out") : "registry-html";
    if (!dir) TRY(need_registry(in, &dir, err));
    TRY(registry_open(&registry, dir, err));
    enum code code = registry_html(&registry, &pages, out, err);
    if (!code) {
        json_t *document = json_pack("{s:s,s:s,s:I}", "pawl", "html/1", "path", out, "pages",
                                     (json_int_t)pages);
        if (!print_json(in, document))
            printf("%lld page%s: %s/index.html\n", (long long)pages, pages == 1 ? "" : "s", out);
        json_decref(document);
    }
    registry_close(&registry);
    return code;
}

static const struct option mlflow_options[] = {
    { "run", OPTION_TEXT, "DIR", "The folder for run records; default runs." },
    REGISTRY_OPTION,
    KEY_OPTIONS,
    { 0 },
};

static void mlflow_text(struct str *out, const json_t *result)
{
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(result, "runs"), i, row)
        str_addf(out, "run      %s%s\n", text_in(row, "record"),
                 json_is_true(json_object_get(row, "existed")) ? " (was there already)" : "");
    json_array_foreach(json_object_get(result, "versions"), i, row)
    {
        const char *added = text_in(row, "added");
        str_addf(out, "version  %s version %lld: %s%s\n", text_in(row, "model"),
                 number_in(row, "version"), *added ? added : text_in(row, "note"),
                 json_is_true(json_object_get(row, "existed")) ? " (was there already)" : "");
    }
    json_array_foreach(json_object_get(result, "refused"), i, row)
        str_addf(out, "refused  '%s': %s\n", text_in(row, "path"), text_in(row, "reason"));
}

static enum code run_import_mlflow(struct invocation *in, struct err *err)
{
    struct registry registry;
    struct key key = { 0 };
    json_t *result = NULL;
    bool has_registry = registry_dir(in, NULL) != NULL;
    struct mlflow_request request = { .dir = in->args[0],
                                      .runs = text_of(in, "run") ? text_of(in, "run") : "runs",
                                      .actor = actor_of(in) };
    if (has_registry) TRY(open_signing(in, &registry, &key, err));
    enum code code = import_mlflow(&result, has_registry ? &registry : NULL, &request, err);
    if (result) print_document(in, result, mlflow_text);
    json_decref(result);
    key_release(&key);
    if (has_registry) registry_close(&registry);
    return code;
}

const struct command evidence_commands[] = {
    { .name = "registry evidence",
      .args = "REF",
      .least = 1,
      .most = 1,
      .help = "Lists the documents about a version, and writes them as files.",
      .detail = "Provenance (SLSA), test results (in-toto), bill of materials (CycloneDX), model "
                "card, reports and,\nwhere a key signed, the model signature (OpenSSF).",
      .example = "pawl registry evidence fashion@1 --out evidence --with-model",
      .options = evidence_options,
      .run = run_evidence },
    { .name = "registry import-mlflow",
      .args = "DIR",
      .least = 1,
      .most = 1,
      .help = "Takes runs and registered models over from an MLflow file store (mlruns).",
      .detail = "Runs become records that `pawl runs` shows. Registered versions become versions "
                "where their files\nare a model of pawl; others are named and not taken in. The "
                "store is only read; without --registry,\nonly runs are taken over.",
      .example = "pawl registry import-mlflow mlruns --registry registry",
      .options = mlflow_options,
      .run = run_import_mlflow },
    { .name = "registry html",
      .args = "[DIR]",
      .least = 0,
      .most = 1,
      .help = "Writes the registry as pages for a browser: models, channels, documents, history.",
      .detail = "DIR is the registry. The pages need no server, no script and nothing from "
                "outside; writing them\nagain replaces them one by one.",
      .example = "pawl registry html registry --out /srv/www/models",
      .options = html_options,
      .run = run_html },
    { .name = "score",
      .args = "MODEL@N|RUN",
      .least = 1,
      .most = 1,
      .help = "Counts the 28 tests of the ML Test Score from what was recorded.",
      .detail = "1 for what the records show, 0.5 for what people say in `tests` of the card, else "
                "0 and what would\nsupply it. The smallest of the four sections' sums is the "
                "score.",
      .example = "pawl score fashion@1 --registry registry --at-least 1",
      .options = score_options,
      .run = run_score },
    { 0 },
};
