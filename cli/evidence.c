/* What is known about a version, for readers who do not know pawl. */
#include "cli/documents.h"
#include "cli/groups.h"
#include "cli/shared.h"
#include "registry/documents.h"

#include <stdio.h>

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
    { 0 },
};
