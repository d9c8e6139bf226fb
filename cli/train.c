/* pawl train, plan, verify-resume. */
#include "trainer/train.h"
#include "base/log.h"
#include "cli/groups.h"
#include "cli/ranks.h"
#include "cli/shared.h"
#include "cli/start.h"
#include "comm/launch.h"
#include "comm/over_mpi.h"
#include "trainer/plan.h"
#include "trainer/signals.h"
#include "workflow/verify_resume.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

static const struct option train_options[] = {
    { "run", OPTION_TEXT, "DIR", "The run's directory; default runs/NAME." },
    SET_OPTIONS,
    DEVICE_OPTION,
    REGISTRY_OPTION,
    START_OPTIONS,
    { "ranks", OPTION_INT, "N", "Trains on N ranks of this machine, started with mpirun." },
    { "rank-timeout", OPTION_TEXT, "TIME",
      "How long ranks wait for one of them; default 30s. Five times the longest wait so far is "
      "always allowed." },
    { "share-device", OPTION_FLAG, NULL,
      "Lets several ranks of this machine use one card, in turns; for tests." },
    { "record-sums", OPTION_FLAG, NULL,
      "Makes the cards' sums part of recorded steps; not yet tried on a card." },
    { "no-launch-detection", OPTION_FLAG, NULL,
      "Trains in this one process, whatever launcher the environment tells of." },
    { "kill-at-step", OPTION_INT, "N", "For drills: kills this process (SIGKILL) after step N." },
    { 0 },
};

static const struct option plan_options[] = {
    { "ranks", OPTION_INT, "N", "For the first of N ranks of this machine." },
    { "algorithms", OPTION_TEXT, "FILE", "With the choices in a run's algorithms.json." },
    SET_OPTIONS,
    DEVICE_OPTION,
    { 0 },
};

static const struct option verify_options[] = {
    { "kills", OPTION_INT, "N", "How often the run is killed; default 3." },
    { "seed", OPTION_INT, "N", "Which steps; default 1." },
    { "ranks", OPTION_INT, "N", "Both runs on N ranks of this machine." },
    { "dir", OPTION_TEXT, "DIR", "Where the two runs go; default runs/verify-resume." },
    SET_OPTIONS,
    DEVICE_OPTION,
    { 0 },
};

/* --rank-timeout; 0: the default. */
static enum code read_rank_timeout(const struct invocation *in, double *seconds, struct err *err)
{
    const char *text = text_of(in, "rank-timeout");
    *seconds = 0;
    if (!text || (units_time(seconds, text, NULL, NULL) && *seconds > 0)) return OK;
    return err_set(err, USAGE, "option '--rank-timeout' needs a time like 90s or 10min, not '%s'",
                   text);
}

/* --ranks; 0: not given. */
static enum code read_ranks(const struct invocation *in, int *ranks, struct err *err)
{
    int64_t number = int_of(in, "ranks", 0);
    *ranks = (int)number;
    if (!given(in, "ranks") || (number >= 1 && number <= INT_MAX)) return OK;
    return err_set(err, USAGE, "option '--ranks' must be at least 1");
}

static json_t *train_json(const struct train_result *result)
{
    char digest[DIGEST_TEXT];
    return json_pack("{s:s,s:s,s:s,s:s,s:I,s:f,s:f,s:b,s:b,s:O*}", "pawl", "train/1", "run",
                     result->run, "checkpoint", result->checkpoint, "model_digest",
                     digest_text(&result->digest, digest), "step", (json_int_t)result->step,
                     "seconds", result->seconds, "rows_per_s", result->rows_per_s, "resumed",
                     result->resumed, "already_done", result->already_done, "metrics",
                     result->metrics);
}

static void print_result(const struct invocation *in, const struct train_result *result)
{
    json_t *document = train_json(result);
    if (!print_json(in, document)) {
        char digest[DIGEST_TEXT];
        if (result->already_done)
            printf("run %s is complete already; nothing to do\n", result->run);
        else
            printf("run %s: step %lld in %.1f s (%.0f rows/s)\n", result->run,
                   (long long)result->step, result->seconds, result->rows_per_s);
        const char *name;
        json_t *value;
        json_object_foreach(result->metrics, name, value)
            printf("  validation %-12s %.5f\n", name, json_number_value(value));
        printf("  checkpoint   %s\n  model digest %s\n", result->checkpoint,
               digest_text(&result->digest, digest));
    }
    json_decref(document);
}

/* Trains in this process: alone, or with the ranks of `comm`. */
static enum code train_here(struct invocation *in, const struct experiment *experiment,
                            struct comm *comm, struct err *err)
{
    struct weights warm = { 0 };
    struct train_result result = { 0 };
    struct train_opts opts = { .comm = comm,
                               .share_device = given(in, "share-device"),
                               .record_sums = given(in, "record-sums"),
                               .kill_at_step = int_of(in, "kill-at-step", 0) };
    TRY(read_rank_timeout(in, &opts.rank_floor_s, err));
    TRY(read_start(in, &opts, err));
    TRY(load_warm_start(in, experiment, &warm, err));
    if (warm.model) opts.warm = &warm;
    enum code code = train(&result, experiment, &opts, err);
    if (!code && (!comm || comm->rank == 0)) print_result(in, &result);
    json_decref(result.metrics);
    weights_release(&warm);
    return code;
}

/* Connects; then all ranks train, leave their result, meet, and end. */
static enum code train_connected(struct invocation *in, const struct experiment *experiment,
                                 const struct placement *placement, struct err *err)
{
    struct comm comm;
    struct err unheard;
    const char *run = text_of(in, "run");
    if (!run) run = arena_format(in->arena, "runs/%s", experiment->name);
    struct over_mpi_opts opts = { .report_dir = path_join(in->arena, run, "view"),
                                  .ending = signals_ending };
    TRY(read_rank_timeout(in, &opts.floor_s, err));
    enum code code = comm_over_mpi(&comm, &opts, err);
    if (code) {
        if (ranks_have_parent(in)) ranks_say_ended(in, placement->rank, code, err, &unheard);
        return code;
    }
    if (placement->size && placement->size != comm.size) {
        code = err_set(err, USAGE,
                       "cannot train: the launcher started %d ranks, but MPI connects "
                       "%d",
                       placement->size, comm.size);
        err_hint(err, "Under Slurm say `srun --mpi=pmix`.");
    }
    in->silent = comm.rank > 0;
    if (in->silent) log_setup(LOG_QUIET, false);
    if (!code) code = train_here(in, experiment, &comm, err);
    if (ranks_have_parent(in)) ranks_say_ended(in, comm.rank, code, err, &unheard);
    comm_close(&comm);
    return code;
}

/* One rank of several. With a parent, the parent answers for what it came to. */
static enum code train_as_rank(struct invocation *in, const struct experiment *experiment,
                               const struct placement *placement, struct err *err)
{
    bool parent = ranks_have_parent(in);
    signals_install();
    if (parent) TRY(ranks_say_started(in, placement->rank, err));
    enum code code = train_connected(in, experiment, placement, err);
    return parent ? OK : code;
}

static enum code run_train(struct invocation *in, struct err *err)
{
    struct document document;
    struct experiment experiment;
    struct placement placement;
    struct launch_opts launch = { .no_detection = given(in, "no-launch-detection"),
                                  .lookup = environment_lookup,
                                  .context = in };
    TRY(read_ranks(in, &launch.ranks, err));
    TRY(launch_detect(&placement, &launch, err));
    TRY(load_experiment(in, &document, &experiment, in->args[0], err));
    if (*placement.evidence && !placement.rank && !ranks_have_parent(in))
        log_note("launch: %s (%s)", launch_describe(&placement), placement.evidence);
    if (placement.launcher == LAUNCH_PARENT) return ranks_run(in, placement.size, err);
    if (launch_has_peers(&placement)) return train_as_rank(in, &experiment, &placement, err);
    return train_here(in, &experiment, NULL, err);
}

static enum code run_plan(struct invocation *in, struct err *err)
{
    struct document document;
    struct experiment experiment;
    struct str text = { 0 };
    json_t *plan;
    struct plan_opts how = { .device = text_of(in, "device"),
                             .algorithms = text_of(in, "algorithms") };
    TRY(read_ranks(in, &how.ranks, err));
    TRY(load_experiment(in, &document, &experiment, in->args[0], err));
    TRY(plan_experiment(&plan, &experiment, &how, err));
    if (!print_json(in, plan)) {
        plan_print(plan, &text);
        fputs(str_text(&text), stdout);
    }
    str_release(&text);
    json_decref(plan);
    return OK;
}

static enum code run_verify(struct invocation *in, struct err *err)
{
    struct document document;
    struct experiment experiment;
    TRY(load_experiment(in, &document, &experiment, in->args[0], err));
    struct verify_resume_opts opts = { .experiment = in->args[0],
                                       .set = list_of(in, "set"),
                                       .unset = list_of(in, "unset"),
                                       .device = text_of(in, "device"),
                                       .dir = text_of(in, "dir"),
                                       .kills = int_of(in, "kills", 3),
                                       .seed = (uint64_t)int_of(in, "seed", 1),
                                       .environment = in->environment };
    if (!opts.dir) opts.dir = "runs/verify-resume";
    TRY(read_ranks(in, &opts.ranks, err));
    if (opts.kills < 1) return err_set(err, USAGE, "option '--kills' must be at least 1");
    json_t *result;
    TRY(verify_resume(&result, &opts, err));
    if (!print_json(in, result))
        printf("resuming is exact: %lld steps, killed %lld times; %lld tensors, positions, metrics "
               "and losses are equal bit for bit\n",
               (long long)json_integer_value(json_object_get(result, "steps")),
               (long long)opts.kills,
               (long long)json_integer_value(json_object_get(result, "compared")));
    json_decref(result);
    return OK;
}

const struct command train_commands[] = {
    { .name = "plan",
      .args = "EXPERIMENT",
      .least = 1,
      .most = 1,
      .help = "Shows shapes, parameters, FLOPs and memory before anything runs.",
      .example = "pawl plan configs/fashion-cnn.yaml",
      .options = plan_options,
      .run = run_plan },
    { .name = "train",
      .args = "EXPERIMENT",
      .least = 1,
      .most = 1,
      .help = "Trains; an unfinished run resumes by itself, a finished one says so.",
      .detail = "SIGTERM, SIGINT, SIGUSR1 and SIGUSR2 ask for a stop: a complete checkpoint is "
                "saved and the exit\ncode is 75. The same command goes on from there. A second "
                "SIGINT ends at once.",
      .example = "pawl train configs/fashion-cnn.yaml --set train.epochs=3 --run runs/short",
      .options = train_options,
      .run = run_train },
    { .name = "verify-resume",
      .args = "EXPERIMENT",
      .least = 1,
      .most = 1,
      .help = "Proves that resuming is bit-identical, by killing and resuming.",
      .example = "pawl verify-resume configs/mlp-table.yaml",
      .options = verify_options,
      .run = run_verify },
    { 0 },
};
