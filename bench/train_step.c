/* Step time of whole training steps: forward, backward, norm, clip, AdamW, on random rows.
 *
 *   bench_train_step [--device cuda] [--precision f32|bf16|f16] [--isa avx2] [--profile]
 *                    [--no-capture] [--no-tune] [--seconds S] [CASE...]
 *
 * One line a case: median, fastest and slowest step in ms. `--profile` adds the time of each node.
 * On a device with choices algorithms are searched first, but for `--no-tune`; the line says how
 * long that took.
 * On a device with a queue the host does not wait for a step: blocks are read late, and a figure is
 * the mean over a window of steps. Without names every case that fits a CPU is run.
 * bench/peers/torch_step.py measures the same cases; bench/compare.py runs both in turn. */
#include "base/clock.h"
#include "base/rng.h"
#include "kernels/algorithm.h"
#include "kernels/cpu/cpu.h"
#include "trainer/step.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct bench_case {
    const char *name, *config;
    struct shape input;
    int64_t classes;
    bool large; /* for a card */
} cases[] = {
    { "demo-cnn", "configs/fashion-cnn.yaml", { 3, { 28, 28, 1 } }, 10, false },
    { "mlp", "bench/configs/mlp.yaml", { 3, { 28, 28, 1 } }, 10, false },
    { "resnet18", "bench/configs/resnet18.yaml", { 3, { 32, 32, 3 } }, 10, false },
    { "mlp4096", "bench/configs/mlp4096.yaml", { 1, { 4096 } }, 10, true },
    { "resnet50", "bench/configs/resnet50.yaml", { 3, { 224, 224, 3 } }, 1000, true },
};

enum { CASES = sizeof cases / sizeof *cases, MOST_STEPS = 4096, WARM_STEPS = 3, WINDOW = 20 };

struct setting {
    enum dtype dtype;
    bool profile;
    const char *device; /* "cpu", "cuda" */
    bool no_capture, no_tune;
    double seconds;
    const char *isa; /* "avx2": as if the processor had no more; NULL: all that it has */
};

/* Everything that one case holds. */
struct run {
    struct arena arena;
    struct problems problems;
    struct document document;
    struct experiment experiment;
    struct device device;
    struct algorithms algorithms;
    struct params params;
    struct step step;
    json_t *model, *augment;
    struct batch batch;
    void *input;
};

static void make_batch(struct run *run, const struct bench_case *c)
{
    int64_t rows = run->experiment.batch;
    size_t bytes = (size_t)(rows * shape_count(&c->input));
    struct err err;
    if (block_alloc(&run->input, bytes, "rows", &err)) abort();
    int32_t *label = ARENA_ARRAY(&run->arena, rows, int32_t);
    int64_t *ordinal = ARENA_ARRAY(&run->arena, rows, int64_t);
    for (size_t i = 0; i < bytes; i++)
        ((uint8_t *)run->input)[i] = (uint8_t)philox4x32(1, i, 0).word[0];
    for (int64_t i = 0; i < rows; i++) {
        label[i] = (int32_t)(philox4x32(2, (uint64_t)i, 0).word[0] % (uint32_t)c->classes);
        ordinal[i] = i;
    }
    run->batch =
        (struct batch){ .input = run->input, .target = label, .ordinal = ordinal, .valid = rows };
}

static enum code open_run(struct run *run, const struct bench_case *c, const struct setting *how,
                          struct err *err)
{
    const struct kind *const kinds[] = { &experiment_kind, NULL };
    TRY(document_load(&run->document, &run->arena, c->config, kinds, NULL, &run->problems, err));
    TRY(experiment_read(&run->experiment, &run->arena, &run->document, err));
    double mean = 127.5, deviation = 73.6;
    struct model_facts facts = { .input_dtype = DTYPE_U8,
                                 .input = c->input,
                                 .column = "image",
                                 .classification = true,
                                 .outputs = c->classes,
                                 .mean = &mean,
                                 .deviation = &deviation,
                                 .constants = 1 };
    TRY(model_describe(&run->model, run->experiment.model, &facts, err));
    if (how->isa)
        TRY(device_open_cpu_isa(&run->device, 0, how->isa, err));
    else
        TRY(device_open(&run->device, how->device, 0, err));
    algorithms_init(&run->algorithms, "the bench's choices");
    run->algorithms.missing = MISSING_SEARCHED;
    if (!how->no_tune) run->device.algorithms = &run->algorithms;
    TRY(step_params(&run->params, run->model, &run->experiment, &run->device, false, err));
    TRY(params_init(&run->params, 1, err));
    run->augment = run->experiment.augment ? node_json(run->experiment.augment) : NULL;
    struct step_opts opts = { .model = run->model,
                              .augment = run->augment,
                              .dtype = how->dtype,
                              .no_capture = how->no_capture,
                              .experiment = &run->experiment };
    TRY(step_open(&run->step, &run->params, &opts, err));
    make_batch(run, c);
    return OK;
}

static void close_run(struct run *run)
{
    step_close(&run->step);
    if (run->params.device) params_close(&run->params);
    device_close(&run->device);
    algorithms_release(&run->algorithms);
    json_decref(run->model);
    json_decref(run->augment);
    block_free(run->input);
    arena_release(&run->arena);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void print_line(const struct run *run, const struct bench_case *c, const struct setting *how,
                       double *ms, int count)
{
    static const char *const names[] = {
        [DTYPE_F32] = "f32", [DTYPE_BF16] = "bf16", [DTYPE_F16] = "f16"
    };
    qsort(ms, (size_t)count, sizeof *ms, by_value);
    printf("%-10s %-5s batch %-4lld median %9.3f ms  fastest %9.3f  slowest %9.3f  (%d %s)",
           c->name, names[how->dtype], (long long)run->experiment.batch, ms[count / 2], ms[0],
           ms[count - 1], count, run->device.queue ? "windows" : "steps");
    if (run->algorithms.searched)
        printf("  %d calls searched in %.1f s", run->algorithms.searched, run->algorithms.spent_s);
    putchar('\n');
}

/* One step; waits only when too many are under way. */
static enum code late_step(struct run *run, int64_t s, struct err *err)
{
    struct step_result result;
    if (run->step.outstanding == STEP_LATE) TRY(step_collect(&run->step, &result, err));
    return step_submit(&run->step, &run->batch, s, 1e-3, err);
}

static enum code measure_late(struct run *run, const struct bench_case *c,
                              const struct setting *how, struct err *err)
{
    double *ms = ARENA_ARRAY(&run->arena, MOST_STEPS, double), begin = clock_monotonic();
    int count = 0;
    for (int64_t s = 0; count < MOST_STEPS; s += WINDOW) {
        TRY(run->device.wait(&run->device, err));
        double from = clock_monotonic();
        uint64_t waits = run->device.waits;
        if (count > 5 && from - begin > how->seconds) break;
        for (int i = 0; i < WINDOW; i++) TRY(late_step(run, s + i, err));
        if (run->device.waits != waits) return err_set(err, DEVICE, "the host waited in a step");
        TRY(run->device.wait(&run->device, err));
        if (s >= WINDOW) ms[count++] = (clock_monotonic() - from) * 1e3 / WINDOW;
    }
    print_line(run, c, how, ms, count);
    return OK;
}

static enum code measure(struct run *run, const struct bench_case *c, const struct setting *how,
                         struct err *err)
{
    double *ms = ARENA_ARRAY(&run->arena, MOST_STEPS, double), begin = clock_monotonic();
    int count = 0;
    struct step_result result;
    for (int64_t s = 0; s < MOST_STEPS; s++) {
        double from = clock_monotonic();
        if (s > WARM_STEPS + 5 && from - begin > how->seconds) break;
        TRY(step_run(&run->step, &run->batch, s, 1e-3, &result, err));
        if (s >= WARM_STEPS) ms[count++] = (clock_monotonic() - from) * 1e3;
    }
    print_line(run, c, how, ms, count);
    return OK;
}

static enum code profile(struct run *run, struct err *err)
{
    enum { REPEATS = 10 };
    struct program *program = &run->step.whole_program;
    double *seconds = ARENA_ARRAY(&run->arena, program->count, double), total = 0;
    TRY(run->device.copy_in(&run->device, program->block, &run->step.block, sizeof run->step.block,
                            err));
    TRY(program_profile(program, REPEATS, seconds, err));
    for (int n = 0; n < program->count; n++) total += seconds[n];
    for (int n = 0; n < program->count; n++) {
        const struct op_call *call = &program->calls[n];
        char shape[SHAPE_TEXT];
        const struct tensor *shown = call->outs ? &call->out[0] : &call->in[0];
        double flops = ops[call->op].flops ? ops[call->op].flops(call->attr, call->in, call->ins,
                                                                 call->out, call->outs)
                                           : 0;
        printf("  %-18s %-20s %-22s %8.3f ms %5.1f %%  %7.1f GFLOP/s  %s\n",
               program->graph->nodes[n].layer, ops[call->op].name, shape_text(&shown->shape, shape),
               seconds[n] / REPEATS * 1e3, 100 * seconds[n] / total,
               flops * REPEATS / seconds[n] / 1e9, call->algorithm ? call->algorithm : "");
    }
    return OK;
}

static int run_case(const struct bench_case *c, const struct setting *how)
{
    struct run run = { 0 };
    struct err err = { 0 };
    run.problems.arena = &run.arena;
    enum code code = open_run(&run, c, how, &err);
    if (!code && run.step.late)
        code = measure_late(&run, c, how, &err);
    else if (!code)
        code = measure(&run, c, how, &err);
    if (!code && how->profile && run.step.passes == 1) code = profile(&run, &err);
    if (code) fprintf(stderr, "%s: %s\n", c->name, err.message);
    close_run(&run);
    return code != OK;
}

int main(int argc, char **argv)
{
    struct setting how = { .seconds = 5, .device = "cpu" };
    bool chosen = false, failed = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--profile") == 0)
            how.profile = true;
        else if (strcmp(argv[i], "--precision") == 0 && i + 1 < argc)
            dtype_parse(&how.dtype, argv[++i]);
        else if (strcmp(argv[i], "--device") == 0 && i + 1 < argc)
            how.device = argv[++i];
        else if (strcmp(argv[i], "--no-capture") == 0)
            how.no_capture = true;
        else if (strcmp(argv[i], "--no-tune") == 0)
            how.no_tune = true;
        else if (strcmp(argv[i], "--isa") == 0 && i + 1 < argc)
            how.isa = argv[++i];
        else if (strcmp(argv[i], "--seconds") == 0 && i + 1 < argc)
            how.seconds = strtod(argv[++i], NULL);
        else
            chosen = true;
    }
    struct device device;
    struct err err = { 0 };
    if (device_open(&device, how.device, 0, &err)) {
        printf("SKIPPED: %s\n", err.message);
        return 77;
    }
    device_close(&device);
    for (size_t c = 0; c < CASES; c++) {
        bool wanted = !chosen && !cases[c].large;
        for (int i = 1; i < argc; i++) wanted |= strcmp(argv[i], cases[c].name) == 0;
        if (wanted) failed |= run_case(&cases[c], &how) != 0;
    }
    return failed;
}
