/* Comparing what report.json says of its inputs. */
#include "workflow/reuse.h"

#include <string.h>

enum { REPORT_LIMIT = 64 << 20 };

static bool same_digest(const json_t *object, const char *key, const struct digest *want)
{
    struct digest got;
    const char *text = json_string_value(json_object_get(object, key));
    return text && digest_parse(&got, text) && digest_equal(&got, want);
}

static const json_t *baseline_named(const json_t *list, const char *name)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *row = json_array_get(list, i);
        const char *text = json_string_value(json_object_get(row, "name"));
        if (text && strcmp(text, name) == 0) return row;
    }
    return NULL;
}

static bool same_baseline(const json_t *list, const struct eval_baseline *now,
                          const struct wanted *wanted)
{
    const json_t *then = baseline_named(list, now->name);
    if (!then) return false;
    if (now->weights && digest_equal(&now->weights->digest, &wanted->model)) return true;
    if (now->missing) return json_is_true(json_object_get(then, "missing"));
    if (now->predictions) return same_digest(then, "digest", &now->predictions->digest);
    if (!now->weights) return same_digest(then, "train_split", &wanted->train); /* majority */
    return same_digest(then, "digest", &now->weights->digest);
}

static bool same_version(const json_t *registry, const struct wanted *wanted)
{
    const char *model = json_string_value(json_object_get(registry, "model"));
    return same_digest(registry, "id", &wanted->registry->id) && model &&
           strcmp(model, wanted->version->model) == 0 &&
           json_integer_value(json_object_get(registry, "number")) == wanted->version->number;
}

static bool same_inputs(const json_t *inputs, const struct wanted *wanted)
{
    const json_t *baselines = json_object_get(inputs, "baselines");
    if (!same_digest(inputs, "suite_digest", &wanted->suite) ||
        !same_digest(json_object_get(inputs, "model"), "digest", &wanted->model) ||
        !same_digest(json_object_get(inputs, "data"), "digest", &wanted->data) ||
        !same_version(json_object_get(inputs, "registry"), wanted))
        return false;
    for (size_t b = 0; b < wanted->baseline_count; b++)
        if (!same_baseline(baselines, &wanted->baselines[b], wanted)) return false;
    return true;
}

bool report_answers(const char *dir, int64_t *seal, const struct wanted *wanted)
{
    struct arena arena = { 0 };
    json_t *report = NULL;
    const char *path = path_join(&arena, dir, "report.json");
    bool same = json_read(&report, path, REPORT_LIMIT, "report/1", NULL) == OK;
    if (same) {
        const json_t *inputs = json_object_get(report, "inputs");
        same = same_inputs(inputs, wanted);
        *seal = json_integer_value(json_object_get(json_object_get(inputs, "registry"), "seal"));
        json_decref(report);
    }
    arena_release(&arena);
    return same;
}
