/* Does a run take the memory that `pawl plan` says?
 *
 *   bench_memory EXPERIMENT [STEPS]
 *
 * Prints the plan's total, the resident size after STEPS steps (default 50) less the resident size
 * before anything was opened for the run, and their ratio; then how many allocations of pawl's own
 * code the steps made, which must be none, and the growth of the heap over them. */
#include "base/log.h"
#include "trainer/loop.h"
#include "trainer/plan.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static double resident(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    long size = 0, pages = 0;
    if (!file || fscanf(file, "%ld %ld", &size, &pages) != 2) pages = 0;
    if (file) fclose(file);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

/* Loads the libraries' code and thread stacks, which belong to no run. */
static void warm_up(void)
{
    struct device device;
    if (!device_open(&device, "cpu", 0, NULL)) device_close(&device);
}

static bool never(void *context)
{
    (void)context;
    return false;
}

static enum code run_steps(struct trainer *t, int64_t steps, struct err *err)
{
    for (int64_t s = 0; s < steps; s++) {
        struct batch batch;
        struct step_result result;
        TRY(loader_next(t->loader, &batch, err));
        TRY(step_run(&t->step, &batch, s, 1e-4, &result, err));
    }
    return OK;
}

static enum code measure(const struct experiment *experiment, int64_t steps, struct err *err)
{
    json_t *plan;
    TRY(plan_experiment(&plan, experiment, &(struct plan_opts){ 0 }, err));
    double planned = json_number_value(json_object_get(json_object_get(plan, "memory"), "total"));
    double snapshot = json_number_value(
        json_object_get(json_object_get(plan, "memory"), "checkpoint_snapshot"));
    json_decref(plan);
    malloc_trim(0);
    double before = resident();

    struct train_opts opts = { 0 };
    struct trainer trainer = { .experiment = experiment, .opts = &opts };
    enum code code = trainer_compile(&trainer, err);
    if (!code) code = params_init(&trainer.params, 1, err);
    if (!code) code = run_steps(&trainer, 3, err);
    uint64_t allocations = memory_allocations();
    size_t heap = mallinfo2().uordblks;
    if (!code) code = run_steps(&trainer, steps, err);
    uint64_t made = memory_allocations() - allocations;
    int64_t grown = (int64_t)mallinfo2().uordblks - (int64_t)heap;
    json_t *metrics = NULL; /* a validation touches the rest of what the plan counts */
    if (!code && trainer.validates)
        code = validator_run(&trainer.validator, &metrics, never, NULL, err);
    json_decref(metrics);
    if (!code) {
        double took = resident() - before, expected = planned - snapshot;
        printf(
            "planned %.1f MiB (without the checkpoint's snapshot), resident %.1f MiB, ratio %.3f\n",
            expected / (1 << 20), took / (1 << 20), took / expected);
        printf("%lld steps: %llu allocations of our own, heap in use grew by %lld bytes\n",
               (long long)steps, (unsigned long long)made, (long long)grown);
    }
    trainer_release(&trainer);
    return code;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: bench_memory EXPERIMENT [STEPS]\n");
        return 2;
    }
    struct arena arena = { 0 };
    struct problems problems = { .arena = &arena };
    struct document document;
    struct experiment experiment;
    struct err err = { 0 };
    const struct kind *const kinds[] = { &experiment_kind, NULL };
    warm_up();
    enum code code = document_load(&document, &arena, argv[1], kinds, NULL, &problems, &err);
    if (!code) code = experiment_read(&experiment, &arena, &document, &err);
    if (!code) code = measure(&experiment, argc > 2 ? strtol(argv[2], NULL, 10) : 50, &err);
    if (code) fprintf(stderr, "error: %s\n", err.message);
    arena_release(&arena);
    return code_exit(code);
}
