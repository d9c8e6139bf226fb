/* Learning-rate schedules: the rate as a pure function of the optimizer step.
 *
 * constant, step, cosine (Loshchilov and Hutter 2017) and one_cycle (Smith and Topin 2019, with
 * cosine legs), each with a linear warmup where it has one. */
#ifndef PAWL_TRAINER_SCHEDULE_H
#define PAWL_TRAINER_SCHEDULE_H

#include "base/schema.h"

extern const struct choice schedule_choices[];

enum schedule_kind { SCHEDULE_CONSTANT, SCHEDULE_STEP, SCHEDULE_COSINE, SCHEDULE_ONE_CYCLE };

struct schedule {
    enum schedule_kind kind;
    double warmup;               /* share of all steps */
    double gamma;                /* STEP: factor at each milestone */
    struct span every;           /* STEP: distance of the milestones */
    double final;                /* COSINE: last rate as a share of the peak */
    double divide, divide_final; /* ONE_CYCLE: first = peak / divide, last = first / divide_final */
};

/* Reads the effective node of the choice. */
void schedule_read(struct schedule *schedule, const struct node *choice);

/* Whether the run may be made longer on resume without changing rates that were already used. */
bool schedule_extends(const struct schedule *schedule);

/* The rate of `step` (from 0) in a run of `total` steps with `epoch_steps` a pass over the data. */
double schedule_rate(const struct schedule *schedule, double peak, int64_t step, int64_t total,
                     int64_t epoch_steps);

#endif
