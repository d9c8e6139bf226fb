/* pawl config: help with any YAML file of ours. */
#include "cli/groups.h"
#include "cli/kinds.h"
#include "cli/shared.h"
#include "eval/report_schema.h"

#include <stdio.h>
#include <string.h>

static const struct option set_options[] = {
    SET_OPTIONS,
    { 0 },
};

static const struct option kind_options[] = {
    { "kind", OPTION_TEXT, "NAME", "Kind of document; default experiment." },
    { 0 },
};

static enum code run_check(struct invocation *in, struct err *err)
{
    struct document document;
    TRY(load_document(in, &document, in->args[0], document_kinds, err));
    char digest[DIGEST_TEXT];
    struct digest value = document_digest(&document);
    json_t *result = json_pack("{s:s,s:s,s:s,s:s,s:b}", "pawl", "check/1", "file", in->args[0],
                               "kind", document.kind->name, "config_digest",
                               digest_text(&value, digest), "sound", 1);
    if (!print_json(in, result))
        printf("%s: a sound %s/%d\n  configuration digest %s\n", in->args[0], document.kind->name,
               document.kind->version, digest);
    json_decref(result);
    return OK;
}

static enum code run_render(struct invocation *in, struct err *err)
{
    struct document document;
    struct str text = { 0 };
    TRY(load_document(in, &document, in->args[0], document_kinds, err));
    if (in->json) {
        json_t *values = document_json(&document);
        print_json(in, values);
        json_decref(values);
        return OK;
    }
    document_render(&document, ".", &text);
    print_text(in, str_text(&text));
    str_release(&text);
    return OK;
}

static enum code find_kind(const struct invocation *in, const struct kind **kind, struct err *err)
{
    const char *name = text_of(in, "kind");
    if (!name) name = "experiment";
    struct str known = { 0 };
    for (const struct kind *const *k = document_kinds; *k; k++) {
        if (!(*k)->fields) continue; /* a part has no keys of its own */
        if (strcmp((*k)->name, name) == 0) {
            *kind = *k;
            str_release(&known);
            return OK;
        }
        str_addf(&known, known.len ? ", %s" : "%s", (*k)->name);
    }
    err_set(err, USAGE, "unknown kind '%s'", name);
    err_hint(err, "Known kinds: %s.", str_text(&known));
    str_release(&known);
    return USAGE;
}

static enum code run_explain(struct invocation *in, struct err *err)
{
    const struct kind *kind;
    const char *nearest = NULL;
    struct str text = { 0 };
    TRY(find_kind(in, &kind, err));
    if (!schema_explain(kind, in->args[0], &text, &nearest)) {
        err_set(err, USAGE, "unknown key '%s' of %s", in->args[0], kind->name);
        if (nearest)
            err_hint(err, "Did you mean '%s'?", nearest);
        else if (text.len)
            err_hint(err, "%.300s", str_text(&text));
        str_release(&text);
        return USAGE;
    }
    print_text(in, str_text(&text));
    str_release(&text);
    return OK;
}

static enum code run_schema(struct invocation *in, struct err *err)
{
    const struct kind *kind = NULL;
    const char *name = text_of(in, "kind");
    bool report = name && strcmp(name, "report") == 0; /* written by pawl, read by others */
    if (!report) TRY(find_kind(in, &kind, err));
    json_t *schema = report ? report_schema() : schema_json(kind);
    puts(json_pretty(in->arena, schema, NULL));
    json_decref(schema);
    return OK;
}

const struct command config_commands[] = {
    { .name = "config check",
      .args = "FILE",
      .least = 1,
      .most = 1,
      .help = "Checks any YAML file of ours and reports all problems at once.",
      .example = "pawl config check configs/fashion-cnn.yaml",
      .options = set_options,
      .run = run_check },
    { .name = "config render",
      .args = "FILE",
      .least = 1,
      .most = 1,
      .help = "Prints every effective value with its origin; the output can be run again.",
      .example = "pawl config render configs/fashion-cnn.yaml --set train.epochs=3",
      .options = set_options,
      .run = run_render },
    { .name = "config explain",
      .args = "KEY",
      .least = 1,
      .most = 1,
      .help = "Explains a key: type, range, default, what it affects.",
      .example = "pawl config explain train.optimizer.adamw.lr",
      .options = kind_options,
      .run = run_explain },
    { .name = "config schema",
      .args = "",
      .least = 0,
      .most = 0,
      .help = "Prints the JSON Schema of a kind, for editors; of report, too.",
      .example = "pawl config schema --kind suite",
      .options = kind_options,
      .run = run_schema },
    { 0 },
};
