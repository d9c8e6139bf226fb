/* pawl registry repair, gc, adopt, export, import, hooks: keeping a registry whole and small,
 * taking in what other tools put there, carrying versions to another one, telling others. */

#include "cli/documents.h"
#include "cli/groups.h"
#include "cli/secret.h"
#include "cli/shared.h"
#include "registry/adopt.h"
#include "registry/export.h"
#include "registry/gc.h"
#include "registry/hook.h"
#include "registry/repair.h"

#include "base/units.h"

#include <stdio.h>
#include <string.h>

static const struct option repair_options[] = {
    REGISTRY_OPTION,
    { "accept-loss", OPTION_FLAG, NULL, "Goes on without entries that are lost, and says so." },
    KEY_OPTIONS,
    REASON_OPTION,
    { 0 },
};

enum { GRACE_S = 86400, GRACE_LEAST_S = 60, WAIT_S = 60 };

static const struct option gc_options[] = {
    REGISTRY_OPTION,
    { "grace", OPTION_INT, "SECONDS", "What is younger stays; default 86400, at least 60." },
    { "wait", OPTION_INT, "SECONDS", "Between the two readings of the journal; default 60." },
    { "dry-run", OPTION_FLAG, NULL, "Only says what would go." },
    { 0 },
};

static void repair_text(struct str *out, const json_t *result)
{
    static const char *const lists[] = { "done", "left" };
    const json_t *lost = json_object_get(result, "lost");
    for (size_t k = 0; k < sizeof lists / sizeof *lists; k++) {
        const json_t *list = json_object_get(result, lists[k]);
        for (size_t i = 0; i < json_array_size(list); i++)
            str_addf(out, "%s: %s\n", lists[k], text_in(json_array_get(list, i), "message"));
    }
    if (json_is_object(lost))
        str_addf(out, "lost: entries %lld to %lld\n", number_in(lost, "from"),
                 number_in(lost, "to"));
}

static enum code run_repair(struct invocation *in, struct err *err)
{
    const char *dir, *reason = text_of(in, "reason");
    json_t *result = NULL;
    struct repair_opts opts = { .accept_loss = given(in, "accept-loss"),
                                .actor = actor_of(in),
                                .reason = reason ? reason : "registry repaired" };
    struct key key = { 0 };
    TRY(need_registry(in, &dir, err));
    if (opts.accept_loss && (given(in, "key") || variable(in, "PAWL_KEY")))
        TRY(secret_key(in, &key, err));
    if (key.pkey) opts.key = &key;
    enum code code = registry_repair(dir, &result, &opts, err);
    if (result) print_document(in, result, repair_text);
    json_decref(result);
    key_release(&key);
    return code;
}

static void gc_text(struct str *out, const json_t *result)
{
    char bytes[UNITS_TEXT];
    bool dry = json_is_true(json_object_get(result, "dry_run"));
    units_bytes_text(bytes, (double)number_in(result, "bytes"));
    str_addf(out, "%s %lld files of content, %s\n", dry ? "would remove" : "removed",
             number_in(result, "content"), bytes);
    str_addf(out, "  given back %lld, too young %lld, held %lld, unfinished work %lld\n",
             number_in(result, "restored"), number_in(result, "young"), number_in(result, "held"),
             number_in(result, "leftovers"));
}

static enum code run_gc(struct invocation *in, struct err *err)
{
    struct registry registry;
    json_t *result = NULL;
    struct gc_opts opts = { .grace_s = int_of(in, "grace", GRACE_S),
                            .wait_s = (double)int_of(in, "wait", WAIT_S),
                            .dry_run = given(in, "dry-run") };
    if (opts.grace_s < GRACE_LEAST_S || opts.wait_s < 0) {
        err_set(err, USAGE, "cannot collect with a grace time of %lld s and a wait of %lld s",
                (long long)opts.grace_s, (long long)opts.wait_s);
        return err_hint(err, "A grace time below %d s takes away what others are just adding.",
                        GRACE_LEAST_S);
    }
    TRY(open_named(in, &registry, err));
    enum code code = registry_gc(&registry, &result, &opts, err);
    if (!code) print_document(in, result, gc_text);
    json_decref(result);
    registry_close(&registry);
    return code;
}

static const struct option adopt_options[] = {
    REGISTRY_OPTION, { "dry-run", OPTION_FLAG, NULL, "Only says what is foreign." },
    REASON_OPTION,   KEY_OPTIONS,
    { 0 },
};

static void adopt_row(struct str *out, const json_t *row, bool dry)
{
    const char *done = text_in(row, "done"), *tag = text_in(row, "tag");
    bool adopts = strcmp(done, "adopted") == 0;
    str_addf(out, "%s%s %s", dry && adopts ? "would be " : "", done, text_in(row, "what"));
    if (number_in(row, "number"))
        str_addf(out, " %s@%lld", text_in(row, "model"), number_in(row, "number"));
    str_addf(out, " %.19s", text_in(row, "digest"));
    if (*tag) str_addf(out, " (tag '%s')", tag);
    str_addf(out, " in models/%s", text_in(row, "model"));
    if (*text_in(row, "reason")) str_addf(out, ": %s", text_in(row, "reason"));
    str_add(out, "\n");
}

static void adopt_text(struct str *out, const json_t *result)
{
    const json_t *row;
    size_t i;
    bool dry = json_is_true(json_object_get(result, "dry_run"));
    const json_t *foreign = json_object_get(result, "foreign");
    json_array_foreach(foreign, i, row) adopt_row(out, row, dry);
    if (!json_array_size(foreign)) str_add(out, "nothing foreign\n");
    size_t mended = json_array_size(json_object_get(result, "mended"));
    if (mended) str_addf(out, "put right %zu links and files of layouts\n", mended);
}

static enum code run_adopt(struct invocation *in, struct err *err)
{
    struct registry registry;
    json_t *result = NULL;
    const char *reason = text_of(in, "reason");
    struct adopt_opts opts = { .model = in->arg_count ? in->args[0] : NULL,
                               .dry_run = given(in, "dry-run"),
                               .actor = actor_of(in),
                               .reason = reason ? reason : "adopted from the model's layout" };
    struct key key;
    TRY(open_signing(in, &registry, &key, err));
    enum code code = registry_adopt(&registry, &result, &opts, err);
    if (result) print_document(in, result, adopt_text);
    json_decref(result);
    key_release(&key);
    registry_close(&registry);
    return code;
}

static const struct option export_options[] = {
    REGISTRY_OPTION,
    { "out", OPTION_TEXT, "FILE", "The bundle to write." },
    { 0 },
};

static const struct option hooks_options[] = {
    REGISTRY_OPTION,
    { "after", OPTION_INT, "SEQ", "A new folder begins behind this entry; default the last one." },
    { 0 },
};

static const struct option import_options[] = {
    REGISTRY_OPTION,
    { "as", OPTION_TEXT, "NAME", "The model's name here; default its name there." },
    REASON_OPTION,
    KEY_OPTIONS,
    { 0 },
};

static enum code run_export(struct invocation *in, struct err *err)
{
    struct registry registry;
    struct exported exported;
    const char *out;
    TRY(need_text(in, &out, "out", err));
    TRY(open_named(in, &registry, err));
    const char **refs = ARENA_ARRAY(in->arena, in->arg_count + 1, const char *);
    for (int i = 0; i < in->arg_count; i++) refs[i] = in->args[i];
    enum code code = registry_export(&registry, &exported, out, refs, err);
    if (!code) {
        char digest[DIGEST_TEXT], bytes[UNITS_TEXT];
        digest_text(&exported.digest, digest);
        units_bytes_text(bytes, (double)exported.bytes);
        json_t *document = json_pack("{ss ss sI sI sI ss}", "pawl", "exported/1", "file", out,
                                     "versions", (json_int_t)exported.versions, "content",
                                     (json_int_t)exported.blobs, "bytes",
                                     (json_int_t)exported.bytes, "digest", digest);
        if (!print_json(in, document))
            printf("%s: %zu versions, %zu files of content, %s\n  %s\n", out, exported.versions,
                   exported.blobs, bytes, digest);
        json_decref(document);
    }
    registry_close(&registry);
    return code;
}

static void import_text(struct str *out, const json_t *result)
{
    const json_t *row;
    size_t i;
    json_array_foreach(json_object_get(result, "versions"), i, row)
    {
        str_addf(out, "%s@%lld%s  %s", text_in(row, "model"), number_in(row, "number"),
                 json_is_true(json_object_get(row, "existed")) ? " (was there already)" : "",
                 text_in(row, "digest"));
        str_addf(out, "  reports taken along: %lld\n", number_in(row, "evidence"));
    }
}

static enum code run_import(struct invocation *in, struct err *err)
{
    struct registry registry;
    json_t *result = NULL;
    const char *reason = text_of(in, "reason");
    struct import_opts opts = { .path = in->args[0],
                                .as = text_of(in, "as"),
                                .actor = actor_of(in),
                                .reason = reason ? reason : "imported from a bundle" };
    struct key key;
    TRY(open_signing(in, &registry, &key, err));
    enum code code = registry_import(&registry, &result, &opts, err);
    if (!code) print_document(in, result, import_text);
    json_decref(result);
    key_release(&key);
    registry_close(&registry);
    return code;
}

static void hooks_text(struct str *out, const json_t *result)
{
    const json_t *row;
    size_t i;
    str_addf(out, "called %lld, waiting %lld\n", number_in(result, "called"),
             number_in(result, "pending"));
    json_array_foreach(json_object_get(result, "failed"), i, row)
        str_addf(out, "  %s, entry %lld: %s\n", text_in(row, "hook"), number_in(row, "seq"),
                 text_in(row, "reason"));
}

static enum code run_hooks(struct invocation *in, struct err *err)
{
    struct registry registry;
    json_t *result = NULL;
    struct hook_opts opts = { .dir = in->args[0],
                              .environment = in->environment,
                              .after = int_of(in, "after", -1) };
    TRY(open_named(in, &registry, err));
    enum code code = registry_hooks(&registry, &result, &opts, err);
    if (!code) print_document(in, result, hooks_text);
    json_decref(result);
    registry_close(&registry);
    return code;
}

const struct command keep_commands[] = {
    { .name = "registry repair",
      .args = "",
      .least = 0,
      .most = 0,
      .help = "Writes views, links and layouts again from journal and content.",
      .detail = "Refuses where entries are lost (exit 6) unless --accept-loss is given: then an "
                "entry\nnames the lost range, and what follows it is moved to trash/.",
      .example = "pawl registry repair --registry registry",
      .options = repair_options,
      .run = run_repair },
    { .name = "registry gc",
      .args = "",
      .least = 0,
      .most = 0,
      .help = "Removes content that no entry names, safely beside others who add.",
      .example = "pawl registry gc --registry registry",
      .options = gc_options,
      .run = run_gc },
    { .name = "registry adopt",
      .args = "[MODEL]",
      .least = 0,
      .most = 1,
      .help = "Takes in what other tools put into a model's OCI layout, and puts the layout right.",
      .detail =
          "A foreign version becomes the model's next number, documents about a version become"
          "\nevidence; every byte is hashed on the way in. Anything else is refused (exit 5) and"
          "\nstays where it lies. Tags, links and oci-layout are then as the journal says.",
      .example = "pawl registry adopt fashion --registry registry",
      .options = adopt_options,
      .run = run_adopt },
    { .name = "registry export",
      .args = "REF...",
      .least = 1,
      .most = -1,
      .help = "Writes versions and their evidence into one file for another registry.",
      .detail = "The file is a tar with the same bytes every time, and an OCI archive. Channels "
                "and\napprovals stay behind.",
      .example = "pawl registry export fashion@1 --out fashion-1.tar --registry registry",
      .options = export_options,
      .run = run_export },
    { .name = "registry import",
      .args = "FILE",
      .least = 1,
      .most = 1,
      .help = "Takes in what `registry export` wrote, with its origin.",
      .detail = "Every byte is checked. Reports come along as evidence; a promotion here needs an "
                "evaluation here.",
      .example = "pawl registry import fashion-1.tar --registry registry",
      .options = import_options,
      .run = run_import },
    { .name = "registry hooks",
      .args = "DIR",
      .least = 1,
      .most = 1,
      .help = "Calls the programs in a folder for each channel that moved since the last time.",
      .detail = "Each executable in DIR gets the entry on its standard input, in the order of the "
                "journal;\nwhat fails stays in DIR/spool and is tried again by the next call.",
      .example = "pawl registry hooks /etc/pawl/hooks --registry registry",
      .options = hooks_options,
      .run = run_hooks },
    { 0 },
};
