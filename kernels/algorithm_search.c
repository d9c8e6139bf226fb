/* The timed search over the candidates of one call.
 *
 * Each candidate runs on memory of the search's own: random numbers in (zeros would flatter: they
 * cost the card less power), a workspace, and a block of twice the last cache that is overwritten
 * before each timed run. The middle of a few runs counts; one that is far behind is run once. Then
 * the fastest must give the same bits for the same inputs; otherwise the next one is looked at. */
#include "kernels/algorithm.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/rng.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REPEATS = 7, CHECKS = 3, SHARE = 10 /* of the budget, for one call */ };

static const double default_budget_s = 60, hopeless = 3;
static const size_t pattern_bytes = 256 << 10; /* repeated over a tensor */

struct trial {
    struct device *device;
    struct algorithms *table;
    const char *text;
    struct op_call call; /* with the search's own memory */
    void *memory[OP_INS + OP_OUTS];
    size_t bytes[OP_INS + OP_OUTS];
    void *workspace, *cache, *pattern, *first, *again; /* the last three of the host */
    size_t workspace_bytes, out_bytes;
    enum dtype made; /* what the pattern is of; DTYPE_COUNT: nothing yet */
    double began_s;
    int of;
};

/* What a candidate came to. */
struct timed {
    double seconds; /* INFINITY: not timed */
    char name[ALGORITHM_NAME];
};

static double now(const struct algorithms *table)
{
    return table->search.now ? table->search.now(table->search.context) : clock_monotonic();
}

static double budget_of(const struct algorithms *table)
{
    return table->search.budget_s > 0 ? table->search.budget_s : default_budget_s;
}

/* Whether this call's time is over, or that of all. */
static bool over(const struct trial *trial)
{
    double budget = budget_of(trial->table), spent = now(trial->table) - trial->began_s;
    return spent >= budget / SHARE || trial->table->spent_s + spent >= budget;
}

static struct tensor *tensor_at(struct op_call *call, int i)
{
    return i < OP_INS ? &call->in[i] : &call->out[i - OP_INS];
}

static bool is_there(const struct op_call *call, int i)
{
    return i < OP_INS ? call_has_in(call, i) : call_has_out(call, i - OP_INS);
}

/* Random numbers in [-0.5, 0.5) of this type; whole numbers are 0. */
static void make_pattern(struct trial *trial, enum dtype dtype)
{
    struct tensor tensor = { .dtype = dtype, .data = trial->pattern };
    if (trial->made == dtype) return;
    trial->made = dtype;
    int64_t count = (int64_t)(pattern_bytes / dtype_size(dtype));
    for (int64_t i = 0; i < count; i++)
        tensor_set(&tensor, i, (double)rng_uniform((uint32_t)rng_mix(1, (uint64_t)i)) - 0.5);
}

/* Writes the pattern over a tensor. */
static enum code fill(struct trial *trial, int i, struct err *err)
{
    struct device *device = trial->device;
    make_pattern(trial, tensor_at(&trial->call, i)->dtype);
    for (size_t at = 0; at < trial->bytes[i]; at += pattern_bytes) {
        size_t part = trial->bytes[i] - at < pattern_bytes ? trial->bytes[i] - at : pattern_bytes;
        TRY(device->copy_in(device, (char *)trial->memory[i] + at, trial->pattern, part, err));
    }
    return OK;
}

static enum code take_tensors(struct trial *trial, struct err *err)
{
    struct device *device = trial->device;
    for (int i = 0; i < OP_INS + OP_OUTS; i++) {
        if (!is_there(&trial->call, i)) continue;
        struct tensor *tensor = tensor_at(&trial->call, i);
        TRY(shape_bytes(&trial->bytes[i], &tensor->shape, tensor->dtype, err));
        TRY(device->alloc(device, &trial->memory[i], trial->bytes[i], "a search", err));
        tensor->data = trial->memory[i];
        if (i >= OP_INS) trial->out_bytes += trial->bytes[i];
        TRY(fill(trial, i, err));
    }
    return OK;
}

/* All memory but the workspace. */
static enum code take_memory(struct trial *trial, struct err *err)
{
    struct device *device = trial->device;
    TRY(block_alloc(&trial->pattern, pattern_bytes, "a search", err));
    TRY(take_tensors(trial, err));
    TRY(block_alloc(&trial->first, trial->out_bytes, "a search", err));
    TRY(block_alloc(&trial->again, trial->out_bytes, "a search", err));
    if (!device->cache_bytes) return OK;
    return device->alloc(device, &trial->cache, 2 * device->cache_bytes, "a search", err);
}

static void give_memory(struct trial *trial)
{
    struct device *device = trial->device;
    for (int i = 0; i < OP_INS + OP_OUTS; i++)
        if (trial->memory[i]) device->free(device, trial->memory[i]);
    if (trial->workspace) device->free(device, trial->workspace);
    if (trial->cache) device->free(device, trial->cache);
    block_free(trial->pattern);
    block_free(trial->first);
    block_free(trial->again);
}

/* Prepares a candidate with its workspace; false where the device or the memory refuses. */
static bool prepare(struct trial *trial, const char *choice)
{
    struct device *device = trial->device;
    struct op_call *call = &trial->call;
    const struct kernel *kernel = &device->kernels[call->op];
    struct err unheard;
    call->choice = choice;
    call->workspace_bytes = 0;
    call->algorithm = device->name;
    if (kernel->prepare && kernel->prepare(device, call, &unheard)) return false;
    if (call->workspace_bytes > trial->workspace_bytes) {
        if (trial->workspace) device->free(device, trial->workspace);
        trial->workspace = NULL;
        trial->workspace_bytes = 0;
        if (device->alloc(device, &trial->workspace, call->workspace_bytes, "a search", &unheard))
            return false;
        trial->workspace_bytes = call->workspace_bytes;
    }
    call->workspace = trial->workspace;
    return true;
}

static int compare_times(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

/* Seconds of one run with cold caches. A run that the library refuses takes for ever. */
static enum code time_run(struct trial *trial, double *seconds, struct err *err)
{
    struct device *device = trial->device;
    struct err unheard;
    *seconds = INFINITY;
    if (trial->cache)
        TRY(device->choices->clear(device, trial->cache, 2 * device->cache_bytes, err));
    TRY(device->choices->mark(device, 0, err));
    if (call_run(device, &trial->call, &unheard)) return OK;
    TRY(device->choices->mark(device, 1, err));
    return device->choices->elapsed(device, seconds, err);
}

/* The middle of the runs that the time allows; `best` is that of the candidates before. */
static enum code time_runs(struct trial *trial, double *seconds, double best, struct err *err)
{
    double times[REPEATS];
    int count = 0;
    TRY(time_run(trial, &times[0], err)); /* libraries set themselves up in their first run */
    if (isinf(times[0])) return OK;
    do TRY(time_run(trial, &times[count++], err));
    while (count < REPEATS && times[count - 1] < hopeless * best && !over(trial));
    qsort(times, (size_t)count, sizeof *times, compare_times);
    *seconds = times[count / 2];
    return OK;
}

static enum code tell(struct trial *trial, int candidate, struct err *err)
{
    const struct algorithms *table = trial->table;
    if (!table->search.progress) return OK;
    struct algorithm_progress progress = {
        .call = trial->text,
        .searched = table->searched,
        .candidate = candidate,
        .of = trial->of,
        .spent_s = table->spent_s + now(table) - trial->began_s,
        .budget_s = budget_of(table),
    };
    return table->search.progress(table->search.context, &progress, err);
}

/* Times the candidates in their order until the time is over. */
static enum code time_all(struct trial *trial, struct timed timed[CANDIDATES],
                          const struct candidates *list, struct err *err)
{
    double best = INFINITY;
    for (int c = 0; c < list->count; c++) timed[c].seconds = INFINITY;
    for (int c = 0; c < list->count && !over(trial); c++) {
        enum code code = tell(trial, c, err);
        if (!code && prepare(trial, list->text[c])) {
            snprintf(timed[c].name, sizeof timed[c].name, "%s", trial->call.algorithm);
            code = time_runs(trial, &timed[c].seconds, best, err);
        }
        call_release(trial->device, &trial->call);
        if (code) return code;
        if (timed[c].seconds < best) best = timed[c].seconds;
    }
    return OK;
}

/* Runs over outputs that begin as the pattern; their bits go to `host`. */
static enum code run_from_start(struct trial *trial, char *host, struct err *err)
{
    struct device *device = trial->device;
    for (int i = OP_INS; i < OP_INS + OP_OUTS; i++) {
        if (!trial->memory[i]) continue;
        TRY(fill(trial, i, err));
    }
    TRY(call_run(device, &trial->call, err));
    for (int i = OP_INS; i < OP_INS + OP_OUTS; i++) {
        if (!trial->memory[i]) continue;
        TRY(device->copy_out(device, host, trial->memory[i], trial->bytes[i], err));
        host += trial->bytes[i];
    }
    return OK;
}

/* Whether a candidate gives the same bits each time. */
static enum code repeats_itself(struct trial *trial, bool *same, const char *choice,
                                struct err *err)
{
    enum code code = OK;
    *same = prepare(trial, choice);
    if (*same) code = run_from_start(trial, trial->first, err);
    for (int n = 1; !code && *same && n < CHECKS; n++) {
        code = run_from_start(trial, trial->again, err);
        *same = !code && memcmp(trial->first, trial->again, trial->out_bytes) == 0;
    }
    call_release(trial->device, &trial->call);
    return code;
}

/* The fastest that repeats itself; -1 where none was timed or none does. */
static enum code choose(struct trial *trial, int *chosen, struct timed timed[CANDIDATES],
                        const struct candidates *list, struct err *err)
{
    *chosen = -1;
    for (;;) {
        int best = -1;
        bool same;
        for (int c = 0; c < list->count; c++)
            if (timed[c].seconds < (best < 0 ? INFINITY : timed[best].seconds)) best = c;
        if (best < 0) return OK;
        TRY(repeats_itself(trial, &same, list->text[best], err));
        if (same) {
            *chosen = best;
            return OK;
        }
        timed[best].seconds = INFINITY;
    }
}

/* The name of a candidate as prepare gives it; false where the device refuses it. */
static bool name_of(struct device *device, const struct op_call *call, const char *choice,
                    char name[ALGORITHM_NAME])
{
    const struct kernel *kernel = &device->kernels[call->op];
    struct op_call trial = *call;
    struct err unheard;
    trial.choice = choice;
    trial.algorithm = device->name;
    trial.state = NULL;
    bool taken = !kernel->prepare || kernel->prepare(device, &trial, &unheard) == OK;
    if (taken) snprintf(name, ALGORITHM_NAME, "%s", trial.algorithm);
    call_release(device, &trial);
    return taken;
}

/* The row of a call of which no candidate was timed: the first that the device prepares. */
static void set_first(struct algorithms *table, struct device *device, const struct op_call *call,
                      const char *text, const struct candidates *list)
{
    char name[ALGORITHM_NAME];
    struct algorithm_row row = {
        .device = device->description, .call = text, .name = name, .nanoseconds = -1
    };
    for (int c = 0; c < list->count && !row.choice; c++)
        if (name_of(device, call, list->text[c], name)) row.choice = list->text[c];
    if (row.choice) algorithms_set(table, &row);
}

static enum code search(struct trial *trial, int *chosen, struct timed timed[CANDIDATES],
                        const struct candidates *list, struct err *err)
{
    enum code code = take_memory(trial, err);
    if (!code) code = time_all(trial, timed, list, err);
    if (!code) code = choose(trial, chosen, timed, list, err);
    give_memory(trial);
    if (code != NO_MEMORY) return code;
    *chosen =
        -1; /* what a run will need later is larger than this, and says so where it is taken */
    return OK;
}

enum code algorithm_search(struct algorithms *table, struct device *device,
                           const struct op_call *call, const char *text,
                           const struct candidates *list, struct err *err)
{
    struct trial trial = {
        .device = device, .table = table, .text = text, .call = *call, .made = DTYPE_COUNT
    };
    struct timed timed[CANDIDATES];
    int chosen = -1;
    enum code code = OK;
    REQUIRE(!ops[call->op].updates && !ops[call->op].reads_block);
    trial.call.state = NULL;
    trial.began_s = now(table);
    trial.of = list->count;
    if (list->count > 1 && !over(&trial)) code = search(&trial, &chosen, timed, list, err);
    table->spent_s += now(table) - trial.began_s;
    table->searched++;
    if (code) return code;
    if (chosen < 0) {
        set_first(table, device, call, text, list);
        return OK;
    }
    struct algorithm_row row = { .device = device->description,
                                 .call = text,
                                 .choice = list->text[chosen],
                                 .name = timed[chosen].name,
                                 .nanoseconds = llround(timed[chosen].seconds * 1e9) };
    algorithms_set(table, &row);
    return OK;
}
