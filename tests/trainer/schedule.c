/* Schedules: the rates that PyTorch's schedulers gave, recorded, and closed formulas. */
#include "trainer/schedule.h"

#include <criterion/criterion.h>
#include <math.h>

static void expect_rate(const char *name, const struct schedule *schedule, int64_t step,
                        int64_t total, double want)
{
    double got = schedule_rate(schedule, 0.1, step, total, 10);
    cr_expect(fabs(got - want) <= 1e-12 * fmax(fabs(want), 1e-3),
              "%s, step %lld of %lld: %.17g, not %.17g", name, (long long)step, (long long)total,
              got, want);
}

/* torch 2.15, torch.optim.lr_scheduler, peak 0.1: OneCycleLR(cycle_momentum=False),
 * CosineAnnealingLR(T_max=19, eta_min=0.01), StepLR(7, gamma=0.5). */
Test(schedule, rates_are_those_of_pytorch)
{
    static const struct schedule usual = {
        .kind = SCHEDULE_ONE_CYCLE, .warmup = 0.3, .divide = 25, .divide_final = 1e4
    };
    static const struct schedule odd = {
        .kind = SCHEDULE_ONE_CYCLE, .warmup = 0.25, .divide = 10, .divide_final = 100
    };
    static const struct schedule half = {
        .kind = SCHEDULE_ONE_CYCLE, .warmup = 0.5, .divide = 25, .divide_final = 1e4
    };
    static const struct schedule cosine = { .kind = SCHEDULE_COSINE, .final = 0.1 };
    static const struct schedule drops = { .kind = SCHEDULE_STEP,
                                           .gamma = 0.5,
                                           .every = { 7, SPAN_STEPS } };
    static const struct {
        const char *name;
        const struct schedule *schedule;
        int64_t step, total;
        double rate;
    } rows[] = {
        { "one_cycle", &usual, 0, 10, 0.0040000000000000036 },
        { "one_cycle", &usual, 1, 10, 0.052000000000000005 },
        { "one_cycle", &usual, 2, 10, 0.1 },
        { "one_cycle", &usual, 5, 10, 0.06112620219362893 },
        { "one_cycle", &usual, 8, 10, 0.004951936798652629 },
        { "one_cycle", &usual, 9, 10, 4e-07 },
        { "one_cycle", &usual, 1, 100, 0.004281378056590748 },
        { "one_cycle", &usual, 25, 100, 0.09556362014420594 },
        { "one_cycle", &usual, 50, 100, 0.0793893450575732 },
        { "one_cycle", &usual, 98, 100, 5.07464715475788e-05 },
        { "one_cycle", &odd, 0, 37, 0.009999999999999995 },
        { "one_cycle", &odd, 2, 37, 0.022431968285271844 },
        { "one_cycle", &odd, 9, 37, 0.0998200545526992 },
        { "one_cycle", &odd, 18, 37, 0.07253767705364278 },
        { "one_cycle", &odd, 36, 37, 0.0001 },
        { "one_cycle", &half, 1, 5, 0.076 },
        { "one_cycle", &half, 2, 5, 0.0904508879153485 },
        { "one_cycle", &half, 4, 5, 4e-07 },
        { "cosine", &cosine, 0, 20, 0.1 },
        { "cosine", &cosine, 1, 20, 0.0993862586531225 },
        { "cosine", &cosine, 7, 20, 0.07307629410938361 },
        { "cosine", &cosine, 13, 20, 0.030387332884490775 },
        { "cosine", &cosine, 19, 20, 0.01 },
        { "step", &drops, 6, 30, 0.1 },
        { "step", &drops, 7, 30, 0.05 },
        { "step", &drops, 13, 30, 0.05 },
        { "step", &drops, 14, 30, 0.025 },
        { "step", &drops, 29, 30, 0.00625 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        expect_rate(rows[i].name, rows[i].schedule, rows[i].step, rows[i].total, rows[i].rate);
}

Test(schedule, warmup_rises_in_equal_steps_and_ends_of_runs_are_sound)
{
    struct schedule constant = { .kind = SCHEDULE_CONSTANT, .warmup = 0.4 };
    struct schedule cosine = { .kind = SCHEDULE_COSINE, .warmup = 0.4 };
    struct schedule epochs = { .kind = SCHEDULE_STEP, .gamma = 0.1, .every = { 2, SPAN_EPOCHS } };
    for (int64_t step = 0; step < 4; step++) {
        expect_rate("constant", &constant, step, 10, 0.1 * (double)(step + 1) / 5);
        expect_rate("cosine", &cosine, step, 10, 0.1 * (double)(step + 1) / 5);
    }
    for (int64_t step = 4; step < 10; step++) expect_rate("constant", &constant, step, 10, 0.1);
    expect_rate("cosine", &cosine, 4, 10, 0.1);
    expect_rate("cosine", &cosine, 9, 10, 0);
    expect_rate("step in epochs", &epochs, 19, 100, 0.1); /* 10 steps an epoch */
    expect_rate("step in epochs", &epochs, 20, 100, 0.01);
    expect_rate("step in epochs", &epochs, 40, 100, 0.001);
    for (int kind = SCHEDULE_CONSTANT; kind <= SCHEDULE_ONE_CYCLE; kind++) /* runs of one step */
        for (int warm = 0; warm < 2; warm++) {
            struct schedule one = { .kind = (enum schedule_kind)kind,
                                    .warmup = 0.5 * warm,
                                    .gamma = 1,
                                    .every = { 1, SPAN_STEPS },
                                    .final = 1,
                                    .divide = 1,
                                    .divide_final = 1 };
            double rate = schedule_rate(&one, 0.1, 0, 1, 1);
            cr_expect(rate > 0 && rate <= 0.1, "kind %d: %g", kind, rate);
        }
}

Test(schedule, a_run_can_be_made_longer_only_where_used_rates_stay_the_same)
{
    static const struct {
        struct schedule schedule;
        bool extends;
    } rows[] = {
        { { .kind = SCHEDULE_CONSTANT }, true },
        { { .kind = SCHEDULE_CONSTANT, .warmup = 0.1 }, false },
        { { .kind = SCHEDULE_STEP, .gamma = 0.5, .every = { 3, SPAN_STEPS } }, true },
        { { .kind = SCHEDULE_COSINE }, false },
        { { .kind = SCHEDULE_ONE_CYCLE, .warmup = 0.3, .divide = 25, .divide_final = 1e4 }, false },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bool same = true;
        for (int64_t step = 0; step < 20; step++)
            same &= schedule_rate(&rows[i].schedule, 1, step, 20, 10) ==
                    schedule_rate(&rows[i].schedule, 1, step, 40, 10);
        cr_expect_eq(schedule_extends(&rows[i].schedule), rows[i].extends, "row %zu", i);
        cr_expect_eq(same, rows[i].extends, "row %zu", i);
    }
}
