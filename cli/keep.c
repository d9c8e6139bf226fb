/* pawl registry repair, gc: keeping a registry whole and small. */
#include "cli/documents.h"
#include "cli/groups.h"
#include "cli/secret.h"
#include "cli/shared.h"
#include "registry/gc.h"
#include "registry/repair.h"

#include "base/units.h"

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
    struct key key;
    TRY(need_registry(in, &dir, err));
    TRY(secret_key(in, &key, err));
    opts.key = key.pkey ? &key : NULL;
    enum code code = registry_repair(dir, &result, &opts, err);
    key_release(&key);
    if (result) print_document(in, result, repair_text);
    json_decref(result);
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
    { 0 },
};
