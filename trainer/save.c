/* Snapshots and the writer thread. */
#include "trainer/save.h"

#include "base/clock.h"
#include "base/fs.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { GROUPS = 6 };

enum phase { IDLE, WRITING, FINISHED };

struct saver {
    struct params *params;
    struct params shadow; /* the same table over the snapshot's memory */
    struct saver_opts opts;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    enum phase phase;
    bool closing;
    char path[1100];
    json_t *trainer, *facts;
    struct saved saved;
};

/* Which arena goes into which group of state.h5. */
static size_t list_groups(const struct params *params, const struct experiment *experiment,
                          struct arena *arena, struct tensor_group *groups)
{
    const char *slots[2];
    int count = optimizer_slots(&experiment->optimizer, slots);
    const struct {
        enum params_arena from;
        const char *name;
        bool present;
    } rows[GROUPS] = {
        { ARENA_VALUE, "param", true },
        { ARENA_STATE, "state", true },
        { ARENA_EMA, "ema", experiment->ema_decay > 0 },
        { ARENA_EMA_STATE, "ema_state", experiment->ema_decay > 0 },
        { ARENA_SLOT_0, count > 0 ? arena_format(arena, "optimizer/%s", slots[0]) : "", count > 0 },
        { ARENA_SLOT_1, count > 1 ? arena_format(arena, "optimizer/%s", slots[1]) : "", count > 1 },
    };
    size_t used = 0;
    for (int r = 0; r < GROUPS; r++) {
        if (!rows[r].present) continue;
        struct named_tensor *tensors;
        size_t tensor_count = params_tensors(params, rows[r].from, arena, &tensors);
        groups[used++] = (struct tensor_group){ .name = rows[r].name,
                                                .tensors = tensors,
                                                .count = tensor_count };
    }
    return used;
}

static void write_checkpoint(struct saver *saver)
{
    struct arena arena = { 0 };
    struct tensor_group groups[GROUPS];
    const struct experiment *experiment = saver->opts.experiment;
    struct checkpoint_contents contents = {
        .groups = groups,
        .group_count = list_groups(&saver->shadow, experiment, &arena, groups),
        .model = (json_t *)(uintptr_t)saver->opts.model,
        .profile = (json_t *)(uintptr_t)saver->opts.profile,
        .trainer = saver->trainer,
        .facts = saver->facts,
        .variant = experiment->ema_decay > 0 ? WEIGHTS_EMA : WEIGHTS_RAW,
    };
    double begin = clock_monotonic();
    struct saved *saved = &saver->saved;
    saved->code = checkpoint_save(saver->path, &contents, &saved->digest, &saved->bytes,
                                  &saved->err);
    saved->seconds = clock_monotonic() - begin;
    arena_release(&arena);
}

static void *writer(void *argument)
{
    struct saver *saver = argument;
    pthread_mutex_lock(&saver->mutex);
    for (;;) {
        while (saver->phase != WRITING && !saver->closing)
            pthread_cond_wait(&saver->changed, &saver->mutex);
        if (saver->phase != WRITING) break;
        pthread_mutex_unlock(&saver->mutex);
        write_checkpoint(saver);
        pthread_mutex_lock(&saver->mutex);
        saver->phase = FINISHED;
        pthread_cond_broadcast(&saver->changed);
    }
    pthread_mutex_unlock(&saver->mutex);
    return NULL;
}

static enum code take_memory(struct saver *saver, struct err *err)
{
    memset(saver->shadow.memory, 0, sizeof saver->shadow.memory); /* those are the params' own */
    for (int a = 0; a < ARENA_COUNT; a++) {
        if (!saver->params->memory[a] || a == ARENA_GRADIENT) continue;
        void *block;
        size_t bytes = (size_t)params_size(saver->params, (enum params_arena)a) * sizeof(float);
        TRY(block_alloc(&block, bytes ? bytes : 1, "a snapshot", err));
        saver->shadow.memory[a] = block;
    }
    return OK;
}

static void give_memory(struct saver *saver)
{
    for (int a = 0; a < ARENA_COUNT; a++) block_free(saver->shadow.memory[a]);
    block_free(saver);
}

enum code saver_open(struct saver **saver, struct params *params, const struct saver_opts *opts,
                     struct err *err)
{
    void *block;
    *saver = NULL;
    TRY(block_alloc(&block, sizeof **saver, "a checkpoint writer", err));
    struct saver *made = block;
    made->params = params;
    made->shadow = *params;
    made->opts = *opts;
    enum code code = take_memory(made, err);
    if (!code) {
        pthread_mutex_init(&made->mutex, NULL);
        pthread_cond_init(&made->changed, NULL);
        int failed = pthread_create(&made->thread, NULL, writer, made);
        if (failed) code = err_errno(err, IO, failed, "cannot start the checkpoint writer");
    }
    if (code)
        give_memory(made);
    else
        *saver = made;
    return code;
}

void saver_close(struct saver *saver)
{
    if (!saver) return;
    pthread_mutex_lock(&saver->mutex);
    saver->closing = true;
    pthread_cond_broadcast(&saver->changed);
    pthread_mutex_unlock(&saver->mutex);
    pthread_join(saver->thread, NULL);
    pthread_mutex_destroy(&saver->mutex);
    pthread_cond_destroy(&saver->changed);
    json_decref(saver->trainer);
    json_decref(saver->facts);
    give_memory(saver);
}

enum code saver_begin(struct saver *saver, const char *path, int64_t step, json_t *trainer,
                      json_t *facts, struct err *err)
{
    pthread_mutex_lock(&saver->mutex);
    REQUIRE(saver->phase == IDLE); /* the loop polls before it begins another */
    pthread_mutex_unlock(&saver->mutex);
    enum code code = OK;
    struct device *device = saver->params->device;
    for (int a = 0; a < ARENA_COUNT && !code; a++)
        if (saver->shadow.memory[a])
            code = device->copy_out(
                device, saver->shadow.memory[a], saver->params->memory[a],
                (size_t)params_size(saver->params, (enum params_arena)a) * sizeof(float), err);
    json_decref(saver->trainer);
    json_decref(saver->facts);
    saver->trainer = trainer;
    saver->facts = facts;
    if (code) return code;
    snprintf(saver->path, sizeof saver->path, "%s", path);
    saver->saved = (struct saved){ .path = saver->path, .step = step };
    pthread_mutex_lock(&saver->mutex);
    saver->phase = WRITING;
    pthread_cond_broadcast(&saver->changed);
    pthread_mutex_unlock(&saver->mutex);
    return OK;
}

bool saver_idle(struct saver *saver, double seconds)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += (long)(seconds * 1e9);
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&saver->mutex);
    int late = 0;
    while (saver->phase == WRITING && !late)
        late = pthread_cond_timedwait(&saver->changed, &saver->mutex, &until);
    bool idle = saver->phase != WRITING;
    pthread_mutex_unlock(&saver->mutex);
    return idle;
}

bool saver_poll(struct saver *saver, struct saved *saved, bool wait)
{
    pthread_mutex_lock(&saver->mutex);
    while (wait && saver->phase == WRITING) pthread_cond_wait(&saver->changed, &saver->mutex);
    bool finished = saver->phase == FINISHED;
    if (finished) {
        *saved = saver->saved;
        saver->phase = IDLE;
    }
    pthread_mutex_unlock(&saver->mutex);
    return finished;
}

enum code saver_load(struct params *params, const struct checkpoint *checkpoint,
                     const struct experiment *experiment, struct err *err)
{
    struct arena arena = { 0 };
    struct tensor_group groups[GROUPS];
    static const enum params_arena order[GROUPS] = { ARENA_VALUE,     ARENA_STATE,  ARENA_EMA,
                                                     ARENA_EMA_STATE, ARENA_SLOT_0, ARENA_SLOT_1 };
    size_t count = list_groups(params, experiment, &arena, groups);
    enum code code = OK;
    size_t next = 0;
    for (size_t g = 0; g < count && !code; g++) {
        while (!params->memory[order[next]]) next++;
        const struct tensor_group *group = checkpoint_group(checkpoint, groups[g].name);
        if (group || groups[g].count)
            code = params_load(params, order[next], group ? group->tensors : NULL,
                               group ? group->count : 0, false, NULL, err);
        next++;
    }
    arena_release(&arena);
    return code;
}
