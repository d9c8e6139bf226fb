/* The checkpoint writer under ThreadSanitizer: the loop goes on changing weights while one is
 * written.
 *
 * A plain program, since TSan cannot run Criterion. What was saved must be the snapshot, not what
 * the loop wrote meanwhile. */
#include "trainer/save.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "failed: %s at line %d: %s\n", #condition, __LINE__, err.message);     \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

enum { ROUNDS = 5, NUMBERS = 5000 };

static void fill(struct params *params, float value)
{
    for (int64_t i = 0; i < params->segments.size; i++) params->memory[ARENA_VALUE][i] = value;
}

static void check(const char *path, float value)
{
    struct err err = { 0 };
    struct checkpoint checkpoint;
    MUST(checkpoint_open(&checkpoint, path, &err) == OK);
    const struct tensor_group *group = checkpoint_group(&checkpoint, "param");
    MUST(group && group->count == 1);
    const float *numbers = group->tensors[0].data;
    for (int i = 0; i < NUMBERS; i++) MUST(numbers[i] == value);
    checkpoint_close(&checkpoint);
}

int main(void)
{
    struct err err = { 0 };
    struct arena arena = { 0 };
    struct device device;
    struct graph graph;
    struct params params;
    struct saver *saver;
    char dir[] = "/tmp/pawl-saver-XXXXXX";
    MUST(mkdtemp(dir));
    MUST(device_open(&device, "ref", 1, &err) == OK);
    graph_init(&graph, &arena);
    graph_parameter(&graph, &(struct parameter){ .name = "w", .shape = SHAPE(NUMBERS) });
    MUST(params_open(&params, &graph, &device, 0, &err) == OK);
    struct experiment experiment = { .optimizer = { .op = OP_SGD } };
    json_t *model = json_pack("{s:s}", "pawl", "model/1");
    struct saver_opts opts = { .model = model, .experiment = &experiment };
    MUST(saver_open(&saver, &params, &opts, &err) == OK);
    for (int round = 0; round < ROUNDS; round++) {
        char path[64];
        snprintf(path, sizeof path, "%s/step-%d", dir, round);
        fill(&params, (float)round);
        MUST(saver_begin(saver, path, round, json_object(), json_object(), &err) == OK);
        struct saved saved;
        int spins = 0;
        while (!saver_poll(saver, &saved, spins > 100)) fill(&params, (float)(1000 + ++spins));
        MUST(saved.code == OK && saved.step == round);
        check(path, (float)round);
    }
    saver_close(saver);
    params_close(&params);
    device_close(&device);
    json_decref(model);
    arena_release(&arena);
    MUST(fs_remove_tree(dir, &err) == OK);
    puts("saver: ok");
    return 0;
}
