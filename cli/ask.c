/* pawl registry find, diff, lineage: questions about versions. */
#include "cli/documents.h"
#include "cli/groups.h"
#include "cli/shared.h"
#include "registry/find.h"
#include "registry/lineage.h"

#include <stdlib.h>
#include <string.h>

static const struct option plain_options[] = { REGISTRY_OPTION, { 0 } };

/* A leaf for people: texts without quotes, nothing as "none". */
static void add_leaf(struct str *out, const json_t *value)
{
    if (json_is_string(value)) {
        str_add(out, json_string_value(value));
    } else if (!value || json_is_null(value)) {
        str_add(out, "none");
    } else {
        struct arena arena = { 0 };
        size_t len;
        str_add(out, json_canonical(&arena, value, &len));
        arena_release(&arena);
    }
}

static void find_text(struct str *out, const json_t *found)
{
    const json_t *versions = json_object_get(found, "versions"), *version, *channel;
    size_t i, c;
    json_array_foreach(versions, i, version)
    {
        const char *name;
        json_t *value;
        str_addf(out, "%s@%lld  %.19s", text_in(version, "model"), number_in(version, "number"),
                 text_in(version, "digest"));
        json_object_foreach(json_object_get(version, "values"), name, value)
        {
            str_addf(out, "  %s ", name);
            if (json_is_real(value))
                str_addf(out, "%.6g", json_real_value(value));
            else
                add_leaf(out, value);
        }
        json_array_foreach(json_object_get(version, "channels"), c, channel)
            str_addf(out, "%s%s", c ? ", " : "  in ", json_string_value(channel));
        str_add(out, "\n");
    }
    if (!json_array_size(versions)) str_add(out, "no version matches\n");
}

static enum code run_find(struct invocation *in, struct err *err)
{
    struct registry registry;
    json_t *found = NULL;
    TRY(open_named(in, &registry, err));
    enum code code = registry_find(&registry, &found, in->args[0], err);
    if (!code) print_document(in, found, find_text);
    json_decref(found);
    registry_close(&registry);
    return code;
}

static void diff_text(struct str *out, const json_t *diff)
{
    static const char *const parts[] = { "config", "data", "code", "run", "model", "metrics" };
    const json_t *a = json_object_get(diff, "a"), *b = json_object_get(diff, "b"), *row;
    const json_t *changes = json_object_get(diff, "changes");
    size_t i;
    str_addf(out, "%s@%lld -> %s@%lld\n", text_in(a, "model"), number_in(a, "number"),
             text_in(b, "model"), number_in(b, "number"));
    for (size_t p = 0; p < sizeof parts / sizeof *parts; p++) {
        bool begun = false;
        json_array_foreach(changes, i, row)
        {
            if (strcmp(text_in(row, "part"), parts[p]) != 0) continue;
            if (!begun) str_addf(out, "\n%s\n", parts[p]);
            begun = true;
            str_addf(out, "  %s: ", text_in(row, "path"));
            add_leaf(out, json_object_get(row, "a"));
            str_add(out, " -> ");
            add_leaf(out, json_object_get(row, "b"));
            str_add(out, "\n");
        }
    }
    str_add(out, "\nfiles\n");
    json_array_foreach(json_object_get(diff, "files"), i, row)
        str_addf(out, "  %s: %s\n", text_in(row, "name"),
                 json_is_true(json_object_get(row, "same")) ? "the same" : "differs");
}

static enum code run_diff(struct invocation *in, struct err *err)
{
    struct registry registry;
    json_t *diff = NULL;
    TRY(open_named(in, &registry, err));
    enum code code = registry_diff(&registry, &diff, in->args[0], in->args[1], err);
    if (!code) print_document(in, diff, diff_text);
    json_decref(diff);
    registry_close(&registry);
    return code;
}

static void add_stay(struct str *out, const json_t *stay)
{
    str_addf(out, "  channel  %s from entry %lld (%s by %s)", text_in(stay, "channel"),
             number_in(stay, "from"), text_in(stay, "time"), text_in(stay, "actor"));
    if (json_is_integer(json_object_get(stay, "to")))
        str_addf(out, " to entry %lld\n", number_in(stay, "to"));
    else
        str_add(out, ", still\n");
}

static void lineage_text(struct str *out, const json_t *lineage)
{
    const json_t *version, *row;
    size_t i, k;
    json_array_foreach(json_object_get(lineage, "versions"), i, version)
    {
        const json_t *made = json_object_get(version, "made_from");
        str_addf(out, "%s%s@%lld  %s\n", i ? "\n" : "", text_in(version, "model"),
                 number_in(version, "number"), text_in(version, "digest"));
        json_array_foreach(json_object_get(version, "named_as"), k, row)
            str_addf(out, "  named as %s\n", json_string_value(row));
        if (json_object_get(made, "data"))
            str_addf(out, "  data     %s  %s\n", text_in(json_object_get(made, "data"), "digest"),
                     text_in(json_object_get(made, "data"), "path"));
        if (json_object_get(made, "name"))
            str_addf(out, "  run      %s, seed %lld, started %s\n           configuration %s\n",
                     text_in(made, "name"), number_in(made, "seed"), text_in(made, "started"),
                     text_in(made, "config_digest"));
        if (*text_in(json_object_get(made, "origin"), "layout"))
            str_addf(out, "  origin   adopted from models/%s, tag '%s'\n",
                     text_in(json_object_get(made, "origin"), "layout"),
                     text_in(json_object_get(made, "origin"), "tag"));
        else if (json_object_get(made, "origin"))
            str_addf(out, "  origin   registry %s, entry %lld\n",
                     text_in(json_object_get(made, "origin"), "registry"),
                     number_in(json_object_get(made, "origin"), "seq"));
        json_array_foreach(json_object_get(version, "reports"), k, row)
            str_addf(out, "  report   entry %lld: %s, suite %s\n", number_in(row, "seq"),
                     text_in(row, "verdict"), text_in(row, "suite"));
        json_array_foreach(json_object_get(version, "channels"), k, row) add_stay(out, row);
    }
}

static enum code run_lineage(struct invocation *in, struct err *err)
{
    struct registry registry;
    json_t *lineage = NULL;
    TRY(open_named(in, &registry, err));
    enum code code = registry_lineage(&registry, &lineage, in->args[0], err);
    if (!code) print_document(in, lineage, lineage_text);
    json_decref(lineage);
    registry_close(&registry);
    return code;
}

const struct command ask_commands[] = {
    { .name = "registry find",
      .args = "EXPRESSION",
      .least = 1,
      .most = 1,
      .help = "Finds versions by what is known of them.",
      .detail = "Comparisons (= != < <= > >= ~) joined by and, or, not and parentheses. Fields: "
                "model, number,\nchannel, verdict, actor, time, digest, model_digest, seq, origin, "
                "each metric of the newest\nreport, and each fact of the run by its path or the "
                "end of its path.",
      .example =
          "pawl registry find 'accuracy > 0.92 and channel = production' --registry registry",
      .options = plain_options,
      .run = run_find },
    { .name = "registry diff",
      .args = "REF REF",
      .least = 2,
      .most = 2,
      .help = "Shows how two versions differ: configuration, data, code, model, metrics.",
      .example = "pawl registry diff fashion@1 fashion@2 --registry registry",
      .options = plain_options,
      .run = run_diff },
    { .name = "registry lineage",
      .args = "REF|DIGEST",
      .least = 1,
      .most = 1,
      .help = "Follows a version or any digest both ways: data, run, version, channel.",
      .example = "pawl registry lineage fashion@production --registry registry",
      .options = plain_options,
      .run = run_lineage },
    { 0 },
};
