/* Making the manifest and comparing two of them. */
#include "trainer/facts.h"

#include "base/clock.h"
#include "base/str.h"

#include <string.h>

static json_t *digest_value(const struct digest *digest)
{
    char text[DIGEST_TEXT];
    return json_string(digest_text(digest, text));
}

json_t *run_facts(const struct experiment *experiment, const struct dataset *dataset,
                  const struct device *device, enum dtype dtype, const char *build)
{
    char time[TIME_TEXT];
    struct digest binary;
    json_t *facts = json_pack(
        "{s:s,s:s,s:o,s:o,s:o,s:{s:s,s:o},s:{s:s,s:s,s:i,s:s},s:s,s:I,s:s}", "pawl", "run/1",
        "name", experiment->name, "config_digest", digest_value(&experiment->digest), "config",
        document_values(experiment->document, AFFECTS_MATH), "schedule_end",
        document_values(experiment->document, AFFECTS_SCHEDULE_END), "data", "path",
        experiment->data, "digest", digest_value(&dataset->digest), "device", "name", device->name,
        "description", device->description, "threads", device->threads, "precision",
        dtype_name(dtype), "build", build ? build : PAWL_VERSION, "seed",
        (json_int_t)experiment->seed, "started", clock_utc(time));
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

static enum code other_configuration(const json_t *stored, const json_t *now, const char *key,
                                     const char *dir, struct err *err)
{
    struct str changes = { 0 };
    list_changes(&changes, "", json_object_get(stored, key), json_object_get(now, key));
    err_set(err, CONFIG, "cannot resume run '%s': its configuration differs in %.300s", dir,
            str_text(&changes));
    err_hint(err, "Start another run with --run DIR, or take the change back.");
    str_release(&changes);
    return CONFIG;
}

static enum code inexact(const json_t *stored, const json_t *now, const char *dir, struct err *err)
{
    static const char *const keys[] = { "name", "description", "threads", "precision" };
    const json_t *before = json_object_get(stored, "device"),
                 *here = json_object_get(now, "device");
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
        const json_t *a = json_object_get(before, keys[k]), *b = json_object_get(here, keys[k]);
        if (json_equal(a, b)) continue;
        struct arena arena = { 0 };
        char *was = json_dumps(a, JSON_ENCODE_ANY), *is = json_dumps(b, JSON_ENCODE_ANY);
        err_set(err, CONFIG,
                "cannot resume run '%s' bit for bit: device %s was %.120s and is %.120s", dir,
                keys[k], was ? was : "absent", is ? is : "absent");
        err_hint(err, "Say --allow-inexact to go on all the same; it is written to the log.");
        free(was);
        free(is);
        arena_release(&arena);
        return CONFIG;
    }
    return OK;
}

enum code run_facts_match(bool *extends, const json_t *stored, const json_t *now,
                          const struct experiment *experiment, bool allow_inexact, const char *dir,
                          struct err *err)
{
    *extends = false;
    if (!json_equal(json_object_get(stored, "config_digest"),
                    json_object_get(now, "config_digest")))
        return other_configuration(stored, now, "config", dir, err);
    const json_t *old_data = json_object_get(json_object_get(stored, "data"), "digest");
    const json_t *new_data = json_object_get(json_object_get(now, "data"), "digest");
    if (!json_equal(old_data, new_data)) {
        err_set(err, CONFIG,
                "cannot resume run '%s': the dataset '%s' is not the one it began with", dir,
                experiment->data);
        err_hint(err, "Start another run with --run DIR, or put the old dataset back.");
        return CONFIG;
    }
    const json_t *old_end = json_object_get(stored, "schedule_end");
    const json_t *new_end = json_object_get(now, "schedule_end");
    if (!json_equal(old_end, new_end)) {
        if (!schedule_extends(&experiment->schedule))
            return other_configuration(stored, now, "schedule_end", dir, err);
        *extends = true;
    }
    return allow_inexact ? OK : inexact(stored, now, dir, err);
}
