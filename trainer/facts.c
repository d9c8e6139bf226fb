/* Making the manifest and comparing two of them. */
#include "trainer/facts.h"

#include "base/clock.h"
#include "base/str.h"

#include <stdio.h>
#include <string.h>

static json_t *digest_value(const struct digest *digest)
{
    char text[DIGEST_TEXT];
    return json_string(digest_text(digest, text));
}

json_t *run_facts(const struct experiment *experiment, const struct dataset *dataset,
                  const struct device *device, enum dtype dtype, int ranks, const char *build)
{
    static const char *const words[] = {
        [DETERMINISM_RUN] = "run", [DETERMINISM_WORLD] = "world", [DETERMINISM_OFF] = "off"
    };
    char time[TIME_TEXT];
    struct digest binary;
    json_t *facts = json_pack(
        "{s:s,s:s,s:o,s:o,s:o,s:{s:s,s:o},s:{s:s,s:s,s:i,s:s},s:{s:i,s:I,s:s},s:s,s:I,s:s}", "pawl",
        "run/1", "name", experiment->name, "config_digest", digest_value(&experiment->digest),
        "config", document_values(experiment->document, AFFECTS_MATH), "schedule_end",
        document_values(experiment->document, AFFECTS_SCHEDULE_END), "data", "path",
        experiment->data, "digest", digest_value(&dataset->digest), "device", "name", device->name,
        "description", device->description, "threads", device->threads, "precision",
        device->tf32 ? "tf32" : dtype_name(dtype), "ranks", "world", ranks, "shards",
        (json_int_t)experiment->shards, "determinism", words[experiment->determinism], "build",
        build ? build : PAWL_VERSION, "seed", (json_int_t)experiment->seed, "started",
        clock_utc(time));
    if (!fs_digest("/proc/self/exe", &binary, NULL, NULL))
        json_object_set_new(facts, "binary", digest_value(&binary));
    return facts;
}

/* Dotted paths of the leaves in which two trees differ. */
static void list_changes(struct str *out, const char *path, const json_t *a, const json_t *b)
{
    if (json_equal(a, b)) return;
    if (!json_is_object(a) || !json_is_object(b)) {
        if (out->len) str_add(out, ", ");
        str_add(out, path);
        return;
    }
    struct arena arena = { 0 };
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)a, key, value)
        list_changes(out, *path ? arena_format(&arena, "%s.%s", path, key) : key, value,
                     json_object_get(b, key));
    json_object_foreach((json_t *)(uintptr_t)b, key, value) if (!json_object_get(a, key))
        list_changes(out, *path ? arena_format(&arena, "%s.%s", path, key) : key, NULL, value);
    arena_release(&arena);
}

static enum code other_configuration(const struct joining *joining, const json_t *before,
                                     const json_t *now, struct err *err)
{
    struct str changes = { 0 };
    list_changes(&changes, "", before, now);
    err_set(err, CONFIG, "cannot resume run '%s': its configuration differs in %.300s",
            joining->dir, str_text(&changes));
    err_hint(err, "Start another run with --run DIR, or take the change back.");
    str_release(&changes);
    return CONFIG;
}

/* The first of the facts that decide bits in which the two starts differ; "" when there is none. */
static void find_inexact(char text[INEXACT_TEXT], const struct joining *joining)
{
    static const char *const keys[] = { "name", "description", "threads", "precision" };
    const json_t *before = json_object_get(joining->stored, "device");
    const json_t *here = json_object_get(joining->now, "device");
    *text = '\0';
    for (size_t k = 0; k < sizeof keys / sizeof *keys && !*text; k++) {
        const json_t *a = json_object_get(before, keys[k]), *b = json_object_get(here, keys[k]);
        if (json_equal(a, b)) continue;
        struct arena arena = { 0 };
        snprintf(text, INEXACT_TEXT, "device %s was %.140s and is %.140s", keys[k],
                 a ? json_canonical(&arena, a, NULL) : "absent",
                 b ? json_canonical(&arena, b, NULL) : "absent");
        arena_release(&arena);
    }
}

/* The number of ranks decides the order of sums, but under `world`. */
static void find_other_world(char text[INEXACT_TEXT], const struct joining *joining)
{
    const json_t *before = json_object_get(json_object_get(joining->stored, "ranks"), "world");
    const json_t *here = json_object_get(json_object_get(joining->now, "ranks"), "world");
    int64_t was = before ? json_integer_value(before) : 1, is = json_integer_value(here);
    if (was == is || joining->experiment->determinism == DETERMINISM_WORLD) return;
    snprintf(text, INEXACT_TEXT, "it was trained by %lld ranks and would be by %lld",
             (long long)was, (long long)is);
}

/* Which ways to compute the device took. */
static void find_other_algorithms(char text[INEXACT_TEXT], const struct joining *joining)
{
    const char *was = json_string_value(json_object_get(joining->stored, "algorithms"));
    const char *is = json_string_value(json_object_get(joining->now, "algorithms"));
    if (!was && !is) return;
    if (was && is && strcmp(was, is) == 0) return;
    snprintf(text, INEXACT_TEXT, "its algorithms were %.80s and are %.80s",
             was ? was : "the device's first answers", is ? is : "the device's first answers");
}

static enum code check_end(const struct joining *joining, struct err *err)
{
    const struct run_progress *progress = joining->progress;
    const json_t *now = json_object_get(joining->now, "schedule_end");
    const json_t *before = progress->schedule_end
                               ? progress->schedule_end
                               : json_object_get(joining->stored, "schedule_end");
    if (json_equal(before, now)) return OK;
    if (!schedule_extends(&joining->experiment->schedule)) {
        other_configuration(joining, before, now, err);
        return err_hint(err, "This schedule spreads over the whole run, so its end cannot move. "
                             "Start another run with --run DIR, or take the change back.");
    }
    if (joining->steps >= progress->steps) return OK;
    err_set(err, CONFIG, "cannot resume run '%s': it was to end at step %lld and would end at %lld",
            joining->dir, (long long)progress->steps, (long long)joining->steps);
    return err_hint(err, "A run can be made longer, not shorter.");
}

enum code run_facts_match(char inexact[INEXACT_TEXT], const struct joining *joining,
                          struct err *err)
{
    const json_t *stored = joining->stored, *now = joining->now;
    *inexact = '\0';
    if (!json_equal(json_object_get(stored, "config_digest"),
                    json_object_get(now, "config_digest")))
        return other_configuration(joining, json_object_get(stored, "config"),
                                   json_object_get(now, "config"), err);
    const json_t *old_data = json_object_get(json_object_get(stored, "data"), "digest");
    const json_t *new_data = json_object_get(json_object_get(now, "data"), "digest");
    if (!json_equal(old_data, new_data)) {
        err_set(err, CONFIG,
                "cannot resume run '%s': the dataset '%s' is not the one it began with",
                joining->dir, joining->experiment->data);
        return err_hint(err, "Start another run with --run DIR, or put the old dataset back.");
    }
    TRY(check_end(joining, err));
    find_inexact(inexact, joining);
    if (!*inexact) find_other_world(inexact, joining);
    if (!*inexact) find_other_algorithms(inexact, joining);
    bool accepted = joining->allow_inexact || joining->experiment->determinism == DETERMINISM_OFF;
    if (!*inexact || accepted) return OK;
    err_set(err, CONFIG, "cannot resume run '%s' bit for bit: %.300s", joining->dir, inexact);
    return err_hint(err, "Say --allow-inexact to go on all the same; it is written to the log.");
}
