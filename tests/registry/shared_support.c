/* One dense layer is enough of a model: its outputs can be computed by hand. */
#include "tests/registry/shared_support.h"

#include "base/rng.h"
#include "model/checkpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char model_text[] =
    "{\"pawl\":\"model/1\",\"task\":\"classification\",\"outputs\":3,"
    "\"input\":{\"column\":\"x\",\"dtype\":\"f32\",\"shape\":[4]},"
    "\"loss\":{\"cross_entropy\":{\"label_smoothing\":0.0,\"balance\":false}},"
    "\"classes\":[\"a\",\"b\",\"c\"],\"layers\":[{\"dense\":{\"units\":3,\"bias\":\"auto\"}}]}";

int support_no_fsync(int fd)
{
    (void)fd;
    return 0;
}

enum code support_open(struct support *support)
{
    static const char *const places[] = { "/dev/shm", "/tmp" }; /* in memory where that exists */
    char *made = NULL;
    memset(support, 0, sizeof *support);
    for (size_t i = 0; !made && i < sizeof places / sizeof *places; i++) {
        snprintf(support->dir, sizeof support->dir, "%s/pawl-registry-XXXXXX", places[i]);
        made = mkdtemp(support->dir);
    }
    if (!made) return err_set(&support->err, IO, "cannot make a folder for the test");
    snprintf(support->path, sizeof support->path, "%s/registry", support->dir);
    TRY(registry_init(support->path, "founder", "to test", &support->err));
    return registry_open(&support->registry, support->path, &support->err);
}

void support_close(struct support *support)
{
    fs_calls = fs_calls_real;
    registry_close(&support->registry);
    fs_remove_tree(support->dir, NULL);
    arena_release(&support->arena);
}

void support_inputs(float *input)
{
    for (uint64_t i = 0; i < SUPPORT_ROWS * SUPPORT_INPUTS; i++) input[i] = (float)rng_normal(5, i);
}

void support_weights(float *weight, float *bias, int seed)
{
    for (uint64_t i = 0; i < SUPPORT_OUTPUTS * SUPPORT_INPUTS; i++)
        weight[i] = (float)rng_normal((uint64_t)seed, i);
    for (uint64_t i = 0; i < SUPPORT_OUTPUTS; i++)
        bias[i] = (float)rng_normal((uint64_t)seed, 1000 + i);
}

enum code support_checkpoint(const char *dir, int seed, struct err *err)
{
    float weight[SUPPORT_OUTPUTS * SUPPORT_INPUTS], bias[SUPPORT_OUTPUTS];
    support_weights(weight, bias, seed);
    struct named_tensor tensors[] = {
        { "dense_1.bias", DTYPE_F32, SHAPE(SUPPORT_OUTPUTS), bias },
        { "dense_1.weight", DTYPE_F32, SHAPE(SUPPORT_OUTPUTS, SUPPORT_INPUTS), weight },
    };
    struct tensor_group group = { .name = "param", .tensors = tensors, .count = 2 };
    struct checkpoint_contents contents = { .groups = &group, .group_count = 1 };
    TRY(json_parse(&contents.model, model_text, strlen(model_text), "model", err));
    contents.profile = json_pack("{ss}", "pawl", "profile/1");
    enum code code = checkpoint_save(dir, &contents, NULL, NULL, err);
    json_decref(contents.model);
    json_decref(contents.profile);
    return code;
}

enum code support_add(struct registry *registry, struct added *added, const char *dir,
                      const char *model, int seed, struct err *err)
{
    float input[SUPPORT_ROWS * SUPPORT_INPUTS];
    struct arena arena = { 0 };
    const char *checkpoint = arena_format(&arena, "%s/checkpoints/seed-%d", dir, seed);
    support_inputs(input);
    struct add_opts opts = {
        .model = model,
        .checkpoint = checkpoint,
        .sample = { .input = input, .rows = SUPPORT_ROWS },
        .actor = "adder",
        .reason = "to have it",
    };
    opts.facts = json_pack("{si}", "seed", seed);
    enum code code = fs_mkdirs(path_dir(&arena, checkpoint), err);
    if (!code && !fs_is_dir(checkpoint)) code = support_checkpoint(checkpoint, seed, err);
    if (!code) code = registry_add(registry, added, &opts, err);
    json_decref(opts.facts);
    arena_release(&arena);
    return code;
}

enum code support_report(struct registry *registry, int64_t *seq, const char *dir,
                         const char *model, int64_t number, const char *suite, const char *verdict,
                         struct err *err)
{
    struct arena arena = { 0 };
    const char *name = arena_format(&arena, "%s-%lld-%s-%s", model, (long long)number, suite,
                                    verdict);
    const char *folder = arena_format(&arena, "%s/reports/%s", dir, name);
    json_t *report = json_pack("{ss ss}", "pawl", "report/1", "name", name);
    struct report_opts opts = {
        .model = model,
        .number = number,
        .dir = folder,
        .suite = digest_of(suite, strlen(suite)),
        .report = json_digest(report),
        .verdict = verdict,
        .actor = "evaluator",
    };
    enum code code = registry_refresh(registry, err);
    const struct model_line *line = state_model(&registry->state, model);
    const struct version *version = line ? model_version(line, number) : NULL;
    if (version) opts.model_digest = version->model_digest;
    if (!code) code = fs_mkdirs(folder, err);
    if (!code) code = json_publish(report, path_join(&arena, folder, "report.json"), err);
    if (!code) code = fs_publish(path_join(&arena, folder, "scores.h5"), name, strlen(name), err);
    if (!code) code = registry_record_report(registry, seq, &opts, err);
    json_decref(report);
    arena_release(&arena);
    return code;
}

enum code support_promote(struct registry *registry, struct moved *moved, const char *model,
                          int64_t number, const char *channel, struct err *err)
{
    struct move_opts opts = {
        .model = model,
        .channel = channel,
        .number = number,
        .from = CHANNEL_ANY,
        .actor = "releaser",
        .reason = "it is better",
    };
    return registry_promote(registry, moved, &opts, err);
}
