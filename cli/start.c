/* Reading how a run starts, from options and from the scheduler's variables. */
#include "cli/start.h"

#include "base/clock.h"

#include <stdlib.h>

/* Seconds kept free before a scheduler's limit, for the last checkpoint. */
enum { GRACE_S = 60 };

/* --time-limit, or what is left of a Slurm job's time. */
static enum code read_time(const struct invocation *in, double *seconds, struct err *err)
{
    const char *text = text_of(in, "time-limit"), *end = variable(in, "SLURM_JOB_END_TIME");
    *seconds = 0;
    if (text) {
        if (units_time(seconds, text, NULL, NULL) && *seconds > 0) return OK;
        return err_set(err, USAGE,
                       "option '--time-limit' needs a time like 90s, 30min or 2h, not '%s'", text);
    }
    int64_t when;
    if (!end || !units_int(&when, end, NULL)) return OK;
    double left = (double)when - clock_wall() - GRACE_S;
    *seconds = left > 1 ? left : 1;
    return OK;
}

static void read_launch(const struct invocation *in, struct launch *launch)
{
    const char *restart = variable(in, "SLURM_RESTART_COUNT");
    *launch = (struct launch){ .job = variable(in, "SLURM_JOB_ID"),
                               .restart = restart ? strtoll(restart, NULL, 10) : 0,
                               .take_over = given(in, "take-over") };
}

enum code read_start(const struct invocation *in, struct train_opts *opts, struct err *err)
{
    opts->run = text_of(in, "run");
    opts->device = text_of(in, "device");
    opts->build = PAWL_BUILD;
    opts->install_signals = true;
    opts->allow_inexact = given(in, "allow-inexact");
    opts->algorithms = text_of(in, "algorithms");
    opts->no_tune = given(in, "no-tune");
    if (opts->algorithms && opts->no_tune)
        return err_set(err, USAGE, "options '--algorithms' and '--no-tune' exclude each other");
    read_launch(in, &opts->launch);
    return read_time(in, &opts->time_limit_s, err);
}
