/* The schedule table and its four formulas. */
#include "trainer/schedule.h"

#include <math.h>
#include <string.h>

#define WARMUP_ROW(value)                                                                          \
    {                                                                                              \
        .key = "warmup", .type = FIELD_REAL, .low = 0, .high = 0.99, .fallback = (value),          \
        .since = "0.1", .help = "Share of the run over which the rate rises.", .example = "0.05"   \
    }

static const struct field constant_fields[] = { WARMUP_ROW("0"), { 0 } };

static const struct field step_fields[] = {
    { .key = "every",
      .type = FIELD_SPAN,
      .unit = "ep",
      .required = true,
      .low = 0,
      .low_open = true,
      .high = 1e12,
      .since = "0.1",
      .help = "Distance between the drops.",
      .example = "10ep" },
    { .key = "gamma",
      .type = FIELD_REAL,
      .low = 0,
      .low_open = true,
      .high = 1,
      .fallback = "0.1",
      .since = "0.1",
      .help = "Factor of each drop.",
      .example = "0.1" },
    { 0 },
};

static const struct field cosine_fields[] = {
    WARMUP_ROW("0"),
    { .key = "final",
      .type = FIELD_REAL,
      .low = 0,
      .high = 1,
      .fallback = "0",
      .since = "0.1",
      .help = "Last rate as a share of the peak.",
      .example = "0.1" },
    { 0 },
};

static const struct field one_cycle_fields[] = {
    WARMUP_ROW("0.3"),
    { .key = "divide",
      .type = FIELD_REAL,
      .low = 1,
      .high = 1e6,
      .fallback = "25",
      .since = "0.1",
      .help = "The first rate is the peak divided by this.",
      .example = "25" },
    { .key = "divide_final",
      .type = FIELD_REAL,
      .low = 1,
      .high = 1e9,
      .fallback = "1e4",
      .since = "0.1",
      .help = "The last rate is the first divided by this.",
      .example = "1e4" },
    { 0 },
};

const struct choice schedule_choices[] = {
    { .name = "constant", .help = "The same rate throughout.", .fields = constant_fields },
    { .name = "step", .help = "Drops by a factor at fixed distances.", .fields = step_fields },
    { .name = "cosine", .help = "Falls along half a cosine.", .fields = cosine_fields },
    { .name = "one_cycle",
      .help = "Rises to the peak and falls far below the start.",
      .fields = one_cycle_fields },
    { 0 },
};

static double option(const struct node *options, const char *key)
{
    return node_has(options, key) ? node_real(options, key) : 0;
}

void schedule_read(struct schedule *schedule, const struct node *choice)
{
    const struct node *options = node_options(choice, NULL);
    const char *name = node_choice(choice, NULL);
    *schedule = (struct schedule){ .warmup = option(options, "warmup"),
                                   .gamma = option(options, "gamma"),
                                   .final = option(options, "final"),
                                   .divide = option(options, "divide"),
                                   .divide_final = option(options, "divide_final") };
    for (int kind = 0; schedule_choices[kind].name; kind++)
        if (strcmp(schedule_choices[kind].name, name) == 0)
            schedule->kind = (enum schedule_kind)kind;
    if (schedule->kind == SCHEDULE_STEP) schedule->every = node_span(options, "every");
}

bool schedule_extends(const struct schedule *schedule)
{
    return (schedule->kind == SCHEDULE_CONSTANT && schedule->warmup <= 0) ||
           schedule->kind == SCHEDULE_STEP;
}

/* From `a` to `b` along half a cosine, `share` of the way. */
static double cosine_leg(double a, double b, double share)
{
    return b + (a - b) * 0.5 * (1 + cos(3.14159265358979323846 * share));
}

/* The first leg ends with step share * total - 1, the second with the last step, as PyTorch's
 * OneCycleLR has it. */
static double one_cycle(const struct schedule *schedule, double peak, double at, double total)
{
    double first = peak / schedule->divide, top = schedule->warmup * total - 1, end = total - 1;
    if (at <= top) return top > 0 ? cosine_leg(first, peak, at / top) : peak;
    double share = end > top ? fmin((at - top) / (end - top), 1) : 1;
    return cosine_leg(peak, first / schedule->divide_final, share);
}

double schedule_rate(const struct schedule *schedule, double peak, int64_t step, int64_t total,
                     int64_t epoch_steps)
{
    double at = (double)step, warm = schedule->warmup * (double)total;
    double rest = (double)total - 1 - warm, after = rest > 0 ? (at - warm) / rest : 1;
    switch (schedule->kind) {
    case SCHEDULE_CONSTANT:
        return at < warm ? peak * (at + 1) / (warm + 1) : peak;
    case SCHEDULE_STEP: {
        double length = schedule->every.unit == SPAN_EPOCHS
                            ? schedule->every.value * (double)epoch_steps
                            : schedule->every.value;
        return peak * pow(schedule->gamma, floor(at / length));
    }
    case SCHEDULE_COSINE:
        if (at < warm) return peak * (at + 1) / (warm + 1);
        return cosine_leg(peak, peak * schedule->final, fmin(after, 1));
    case SCHEDULE_ONE_CYCLE:
        break;
    }
    return one_cycle(schedule, peak, at, (double)total);
}
