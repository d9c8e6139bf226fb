/* Whole programs on the card: losses and gradients near those of `ref`, recorded and launched op by
 * op with the same bits, memory reused or not with the same bits, no waiting between steps, the
 * ways to compute that were found fastest.
 *
 * A plain program. One line per check; exits 0, 1 when one fails, 77 with the reason when there is
 * no device. */
#include "tests/cuda/open.h"
#include "tests/cuda/report.h"
#include "tests/kernels/shared_far.h"
#include "tests/model/bench_model.h"

#include "kernels/algorithm.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MUST(call) cr_assert_eq((call), OK, "%s", err.message)

enum { ROUNDS = 6, BATCH = 9 };

static const char *const models[] = { "cnn", "residual", "mlp", "mixed", "flat" };
enum { MODELS = sizeof models / sizeof *models };

/* How far two gradients are apart: relative to the largest, and the cosine between them. */
struct apart {
    double gap, cosine;
};

static struct apart apart(struct trial *a, struct trial *b)
{
    const float *x = trial_numbers(a, ARENA_GRADIENT), *y = trial_numbers(b, ARENA_GRADIENT);
    double most = 0, scale = 0, xy = 0, xx = 0, yy = 0;
    for (int64_t i = 0; i < params_size(&a->params, ARENA_GRADIENT); i++) {
        double left = (double)x[i], right = (double)y[i];
        most = fmax(most, fabs(left - right));
        scale = fmax(scale, fabs(right));
        xy += left * right, xx += left * left, yy += right * right;
    }
    return (struct apart){ most / scale, xy / sqrt(xx * yy) };
}

/* The compute types against f32 on ref. f32 sums in other orders; 16 bits keep 8 or 11 of them. */
static void against_ref(const char *model)
{
    static const struct {
        enum dtype dtype;
        double loss, gap, cosine;
    } rows[] = {
        { DTYPE_F32, 1e-5, 2e-4, 1 - 1e-6 },
        { DTYPE_BF16, 0.02, INFINITY, 0.99 },
        { DTYPE_F16, 0.005, INFINITY, 0.999 },
    };
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        struct trial card, ref;
        trial_open(
            &card, model,
            &(struct trial_opts){ .open = card_open, .batch = BATCH, .dtype = rows[r].dtype });
        trial_open(&ref, model, &(struct trial_opts){ .device = "ref", .batch = BATCH });
        double a = trial_loss(&card), b = trial_loss(&ref);
        struct apart far = apart(&card, &ref);
        report(fabs(a - b) <= rows[r].loss * b && far.gap <= rows[r].gap &&
                   far.cosine >= rows[r].cosine,
               "%s %s against ref: losses %.6g and %.6g, gradients off by %.2g, cosine %.6f", model,
               dtype_name(rows[r].dtype), a, b, far.gap, far.cosine);
        trial_close(&card);
        trial_close(&ref);
    }
}

/* Rounds on ever other rows: the same losses and gradients to the bit. */
static void same_bits(const char *model, const char *what, struct trial_opts a, struct trial_opts b)
{
    struct trial left, right;
    bool same = true;
    a.open = b.open = card_open;
    a.batch = b.batch = BATCH;
    trial_open(&left, model, &a);
    trial_open(&right, model, &b);
    size_t bytes = (size_t)params_size(&left.params, ARENA_GRADIENT) * sizeof(float);
    for (int round = 0; round < ROUNDS; round++) {
        trial_rows(&left, (uint64_t)round);
        trial_rows(&right, (uint64_t)round);
        double x = trial_loss(&left), y = trial_loss(&right);
        same &= x == y && memcmp(trial_numbers(&left, ARENA_GRADIENT),
                                 trial_numbers(&right, ARENA_GRADIENT), bytes) == 0;
    }
    report(same, "%s: %s, the same bits in %d rounds", model, what, ROUNDS);
    trial_close(&left);
    trial_close(&right);
}

/* Opened with choices, in `table`; the emulation has no clock, so that it is known what wins. */
static struct algorithms table;

static double last_ones_win(const struct op_call *call)
{
    bool last = strncmp(call->algorithm, "cublaslt:2", 10) == 0 ||
                strncmp(call->algorithm, "cudnn:9", 7) == 0;
    return last ? 1e-4 : 1e-3;
}

static enum code open_choosing(struct device *device, struct err *err)
{
    TRY(card_open(device, err));
    device->algorithms = &table;
    if (strcmp(device->name, "far") == 0) far_clock(device, last_ones_win);
    return OK;
}

/* Products and convolutions that took a row of the table; *all: every one did, and where it is
 * known the one that wins. */
static int rows_taken(const struct trial *trial, bool *all)
{
    int taken = 0;
    *all = true;
    for (int n = 0; n < trial->program.count; n++) {
        const struct op_call *call = &trial->program.calls[n];
        char text[ALGORITHM_CALL];
        if (!algorithm_call_text(text, &trial->device, call)) continue;
        const struct algorithm_row *row = algorithms_find(&table, trial->device.description, text);
        bool won = strcmp(trial->device.name, "far") != 0 || last_ones_win(call) < 5e-4;
        *all &= row && won && strcmp(row->name, call->algorithm) == 0;
        taken++;
    }
    return taken;
}

/* What is found fastest is what a program takes, and gives the same bits from the table alone. */
static void choices(const char *model, enum dtype dtype)
{
    struct trial_opts opts = { .open = open_choosing, .batch = BATCH, .dtype = dtype };
    struct trial first, second;
    bool all, again;
    algorithms_init(&table, "a table");
    table.missing = MISSING_SEARCHED;
    trial_open(&first, model, &opts);
    int taken = rows_taken(&first, &all), searched = table.searched;
    table.missing = MISSING_REFUSED;
    trial_open(&second, model, &opts);
    rows_taken(&second, &again);
    double x = trial_loss(&first), y = trial_loss(&second);
    size_t bytes = (size_t)params_size(&first.params, ARENA_GRADIENT) * sizeof(float);
    report(all && again && taken > 0 && searched <= taken && x == y &&
               memcmp(trial_numbers(&first, ARENA_GRADIENT), trial_numbers(&second, ARENA_GRADIENT),
                      bytes) == 0,
           "%s %s: %d products in the ways found fastest (%d searched in %.1f s), twice the same "
           "bits",
           model, dtype_name(dtype), taken, searched, table.spent_s);
    trial_close(&first);
    trial_close(&second);
    algorithms_release(&table);
}

/* Steps without a wait, their blocks read late and in order. */
static void no_waiting(const char *model)
{
    enum { STEPS = 40 };
    struct err err = { 0 };
    struct trial trial;
    struct step_block block, got;
    bool there, ordered = true;
    int taken = 0;
    trial_open(&trial, model, &(struct trial_opts){ .open = card_open, .batch = BATCH });
    block = trial.block;
    uint64_t waits = trial.device.waits;
    for (int step = 0; step < STEPS; step++) {
        block.step = step;
        MUST(program_block_write(&trial.program, &block, &err));
        MUST(program_run(&trial.program, &err));
        MUST(program_block_ask(&trial.program, &err));
        bool wait = step - taken >= PROGRAM_LATE - 1;
        MUST(program_block_take(&trial.program, &got, wait, &there, &err));
        if (there) ordered &= got.step == taken++;
    }
    waits = trial.device.waits - waits;
    report(waits == 0 && ordered && taken >= STEPS - PROGRAM_LATE,
           "%s: %llu waits in %d steps, %d blocks read late", model, (unsigned long long)waits,
           STEPS, taken);
    MUST(trial.device.wait(&trial.device, &err));
    trial_close(&trial);
}

int main(void)
{
    struct device device;
    struct err err = { 0 };
    if (card_open(&device, &err)) {
        printf("SKIPPED: %s\n", err.message);
        return 77;
    }
    printf("%s\n", device.description);
    device_close(&device);
    for (int m = 0; m < MODELS; m++) {
        against_ref(models[m]);
        same_bits(models[m], "recorded or op by op", (struct trial_opts){ 0 },
                  (struct trial_opts){ .no_capture = true });
        same_bits(models[m], "recorded or op by op in bf16",
                  (struct trial_opts){ .dtype = DTYPE_BF16 },
                  (struct trial_opts){ .dtype = DTYPE_BF16, .no_capture = true });
        same_bits(models[m], "recorded or op by op in f16",
                  (struct trial_opts){ .dtype = DTYPE_F16 },
                  (struct trial_opts){ .dtype = DTYPE_F16, .no_capture = true });
        same_bits(models[m], "memory reused or not", (struct trial_opts){ 0 },
                  (struct trial_opts){ .no_reuse = true });
        no_waiting(models[m]);
        choices(models[m], m % 2 ? DTYPE_BF16 : DTYPE_F32);
    }
    printf("%d checks failed\n", report_failures());
    return report_failures() ? 1 : 0;
}
