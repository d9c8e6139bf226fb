/* Whole small runs: which checkpoints stay, what is best, when a run ends early, what a trainer's
 * state brings back, and that no failing call costs more than the work since the last checkpoint.
 * */
#include "small.h"
#include "tests/registry/shared_faults.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Names in the run's checkpoints folder, joined by blanks. */
static const char *kept(struct small *small)
{
    struct err err = { 0 };
    struct str text = { 0 };
    char **names;
    MUST(fs_list(&small->arena, &names, NULL, small_path(small, "run/checkpoints"), &err));
    for (; *names; names++) str_addf(&text, text.len ? " %s" : "%s", *names);
    const char *copy = arena_copy(&small->arena, str_text(&text));
    str_release(&text);
    return copy;
}

static json_t *records_of(struct small *small)
{
    struct err err = { 0 };
    json_t *records;
    MUST(run_log_read_all(&records, small_path(small, "run"), &err));
    return records;
}

static bool is_kind(const json_t *record, const char *kind)
{
    const char *got = json_string_value(json_object_get(record, "kind"));
    return got && strcmp(got, kind) == 0;
}

/* Steps of the `best` validations (earlier ones win ties) and the `last` checkpoints of a run of
 * `steps` steps with a checkpoint and a validation after each, as names in order of step: what the
 * run must have kept. */
static const char *should_keep(struct small *small, const char *metric, int best, int last)
{
    enum { STEPS = 9 };
    double value[STEPS + 1] = { 0 }, sign = strcmp(metric, "loss") == 0 ? -1 : 1;
    json_t *records = records_of(small);
    for (size_t i = 0; i < json_array_size(records); i++) {
        const json_t *record = json_array_get(records, i);
        if (is_kind(record, "validation"))
            value[json_integer_value(json_object_get(record, "step"))] =
                sign *
                json_number_value(json_object_get(json_object_get(record, "metrics"), metric));
    }
    json_decref(records);
    struct str text = { 0 };
    for (int step = 1; step <= STEPS; step++) {
        int beaten_by = 0;
        for (int other = 1; other <= STEPS; other++)
            beaten_by += value[other] > value[step] ||
                         (value[other] == value[step] && other < step);
        if (beaten_by < best || step > STEPS - last)
            str_addf(&text, text.len ? " step-%010d-0001" : "step-%010d-0001", step);
    }
    const char *copy = arena_copy(&small->arena, str_text(&text));
    str_release(&text);
    return copy;
}

Test(train, the_best_and_the_last_checkpoints_stay)
{
    static const struct {
        int best, last;
        const char *metric, *mode, *rate; /* the smallest rate: equal values throughout */
    } rows[] = {
        { 1, 2, "loss", "min", "1.5" },     { 2, 1, "loss", "min", "1.5" },
        { 0, 3, "loss", "min", "1.5" },     { 3, 3, "loss", "min", "1.5" },
        { 1, 1, "accuracy", "max", "1.5" }, { 2, 1, "accuracy", "max", "1e-9" },
    };
    struct small small;
    struct err err = { 0 };
    struct experiment experiment;
    struct train_result result;
    small_open(&small);
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        MUST(fs_remove_tree(small_path(&small, "run"), &err));
        small_experiment(&small, &experiment, NULL,
                         arena_format(&small.arena,
                                      "  steps: 9\n  batch: 8\n  validate_every: 1st\n"
                                      "  optimizer: {sgd: {lr: %s, momentum: 0.5}}\n"
                                      "  checkpoint: {every: 1st, keep: {best: %d, last: %d}, "
                                      "by: {metric: %s, mode: %s}}",
                                      rows[r].rate, rows[r].best, rows[r].last, rows[r].metric,
                                      rows[r].mode));
        cr_assert_eq(small_train(&small, &experiment, &(struct train_opts){ 0 }, &result), OK);
        cr_expect_str_eq(kept(&small),
                         should_keep(&small, rows[r].metric, rows[r].best, rows[r].last), "row %zu",
                         r);
        if (rows[r].best)
            cr_expect_str_eq(path_base(result.checkpoint),
                             should_keep(&small, rows[r].metric, 1, 0));
    }
    small_close(&small);
}

/* `least_gain` so large that only the first validation is a gain: the run ends `patience` later;
 * also when it is cut off in between, or between the last validation and the word of the end. */
Test(train, early_stop_ends_the_run_where_it_would_without_interruption)
{
    struct small small;
    struct err err = { 0 };
    struct experiment experiment;
    struct train_result straight, result;
    small_open(&small);
    small_experiment(&small, &experiment, NULL,
                     "  epochs: 50\n  batch: 16\n  optimizer: {sgd: {lr: 0.1}}\n"
                     "  early_stop: {metric: accuracy, mode: max, patience: 3, least_gain: 1}\n"
                     "  checkpoint: {every: 2st}");
    cr_assert_eq(small_train(&small, &experiment, &(struct train_opts){ 0 }, &straight), OK);
    cr_expect_eq(straight.step, 4 * 5, "stopped after %lld steps", (long long)straight.step);
    /* checkpoints that are ranked are validated too, but no patience is lost by that */
    struct train_opts ranked = { .run = small_path(&small, "ranked") };
    small_experiment(&small, &experiment, NULL,
                     "  epochs: 50\n  batch: 16\n  optimizer: {sgd: {lr: 0.1}}\n"
                     "  early_stop: {metric: accuracy, mode: max, patience: 3, least_gain: 1}\n"
                     "  checkpoint: {every: 2st, by: {metric: accuracy, mode: max}}");
    cr_assert_eq(small_train(&small, &experiment, &ranked, &result), OK);
    cr_expect_eq(result.step, straight.step);
    small_experiment(&small, &experiment, NULL,
                     "  epochs: 50\n  batch: 16\n  optimizer: {sgd: {lr: 0.1}}\n"
                     "  early_stop: {metric: accuracy, mode: max, patience: 3, least_gain: 1}\n"
                     "  checkpoint: {every: 2st}");
    for (int64_t after = 7; after <= 20; after += 13) {
        struct train_opts opts = { .run = small_path(&small, "cut"), .stop_after = after };
        MUST(fs_remove_tree(opts.run, &err));
        enum code code = small_train(&small, &experiment, &opts, &result);
        cr_assert_eq(code, after == 20 ? OK : STOPPED);
        if (after == 20) { /* as if it had been cut off before it could say that it had ended */
            struct bytes bytes;
            const char *log = small_path(&small, "cut/log-0001.jsonl");
            MUST(fs_read(&small.arena, &bytes, log, 1 << 20, &err));
            size_t len = bytes.len - 1;
            while (bytes.at[len - 1] != '\n') len--;
            cr_assert(strstr(bytes.at + len, "early stop"));
            MUST(fs_publish_view(log, bytes.at, len, &err));
        }
        opts.stop_after = 0;
        cr_assert_eq(small_train(&small, &experiment, &opts, &result), OK);
        cr_expect(!result.already_done && result.step == straight.step, "cut after %lld: %lld",
                  (long long)after, (long long)result.step);
        cr_expect(digest_equal(&result.digest, &straight.digest));
    }
    small_close(&small);
}

Test(train, a_trainers_state_comes_back_and_a_broken_one_is_refused)
{
    static const struct {
        const char *name, *key, *value; /* value NULL: taken away */
    } wrong[] = {
        { "no step", "step", NULL },       { "a step that is text", "step", "\"3\"" },
        { "no time", "time", NULL },       { "no saves", "saves", NULL },
        { "another batch", "index", "0" }, { "below zero", "step", "-1" },
        { "no epoch", "epoch", NULL },
    };
    struct small small;
    struct err err = { 0 };
    struct experiment experiment;
    struct trainer a = { 0 }, b = { 0 };
    small_open(&small);
    small_experiment(&small, &experiment, NULL,
                     "  epochs: 9\n  batch: 16\n  optimizer: {sgd: {lr: 0.1}}\n"
                     "  early_stop: {metric: accuracy, mode: max, patience: 3}");
    a = (struct trainer){ .experiment = &experiment,
                          .epoch_steps = 5,
                          .number = 13,
                          .step.block = { .optimizer_time = 12, .loss_scale = 1 },
                          .waited = 2,
                          .has_stop_best = true,
                          .stop_best = 0.1,
                          .last_validation = 10,
                          .metrics = json_pack("{s:f}", "accuracy", 0.25),
                          .saves = json_pack("[{s:s,s:i,s:f}]", "name", "x", "step", 10, "value",
                                             0.25) };
    json_t *state = trainer_state(&a);
    cr_assert(state);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        json_t *changed = json_deep_copy(state);
        if (wrong[i].value)
            json_object_set_new(changed, wrong[i].key,
                                json_loads(wrong[i].value, JSON_DECODE_ANY, NULL));
        else
            json_object_del(changed, wrong[i].key);
        b = (struct trainer){ .experiment = &experiment, .epoch_steps = 5, .saves = json_array() };
        cr_expect_eq(trainer_restore(&b, changed, &err), DAMAGED, "%s", wrong[i].name);
        json_decref(b.saves);
        json_decref(b.metrics);
        json_decref(changed);
    }
    b = (struct trainer){ .experiment = &experiment, .epoch_steps = 5, .saves = json_array() };
    MUST(trainer_restore(&b, state, &err));
    json_t *again = trainer_state(&b);
    cr_expect(json_equal(state, again));
    cr_expect(b.number == 13 && step_state(&b.step).time == 12 && !b.stopping_early &&
              b.last_checkpoint == 13);
    json_t *all[] = { state, again, a.saves, a.metrics, b.saves, b.metrics };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) json_decref(all[i]);
    small_close(&small);
}

static int appends_left;

/* Raises the signal while the N-th record is appended: the record of a step, behind which the
 * validation of that step begins. */
static ssize_t append_and_raise(int fd, const void *bytes, size_t len)
{
    if (--appends_left == 0) raise(SIGUSR1);
    return fs_calls_real.append(fd, bytes, len);
}

/* Trains in a process of its own, which gets the signal in the middle; its exit code. */
static int train_until(struct small *small, const struct experiment *experiment, const char *run,
                       int appends)
{
    int status;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        struct train_opts opts = { .run = run, .install_signals = true };
        appends_left = appends;
        fs_calls.append = append_and_raise;
        _exit((int)small_train(small, experiment, &opts, NULL));
    }
    cr_assert(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status));
    return WEXITSTATUS(status);
}

Test(train, a_validation_cut_short_by_a_signal_is_made_up_for)
{
    struct small small;
    struct err err = { 0 };
    struct experiment experiment;
    struct train_result straight, result;
    int stopped = 0;
    small_open(&small);
    small_experiment(&small, &experiment, NULL,
                     "  steps: 6\n  batch: 16\n  validate_every: 2st\n"
                     "  optimizer: {sgd: {lr: 0.5}}\n"
                     "  checkpoint: {every: 2st, keep: {best: 1, last: 1}, "
                     "by: {metric: loss, mode: min}}");
    cr_assert_eq(small_train(&small, &experiment, &(struct train_opts){ 0 }, &straight), OK);
    for (int appends = 1; appends < 40; appends++) {
        struct train_opts opts = { .run = small_path(&small, "cut") };
        MUST(fs_remove_tree(opts.run, &err));
        int code = train_until(&small, &experiment, opts.run, appends);
        cr_assert(code == OK || code == STOPPED, "record %d: %d", appends, code);
        stopped += code == STOPPED;
        cr_assert_eq(small_train(&small, &experiment, &opts, &result), OK);
        cr_expect(digest_equal(&result.digest, &straight.digest), "record %d", appends);
        struct checkpoint a, b;
        MUST(checkpoint_open(&a, straight.checkpoint, &err));
        MUST(checkpoint_open(&b, result.checkpoint, &err));
        cr_expect(json_equal(json_object_get(a.trainer, "metrics"),
                             json_object_get(b.trainer, "metrics")),
                  "record %d", appends);
        checkpoint_close(&a);
        checkpoint_close(&b);
    }
    cr_expect_geq(stopped, 8, "%d", stopped);
    small_close(&small);
}

/* The last start died after a checkpoint was in place and before the log said so, and left half of
 * another. */
Test(train, a_best_checkpoint_without_its_record_is_the_best_all_the_same)
{
    struct small small;
    struct err err = { 0 };
    struct bytes bytes;
    struct experiment experiment;
    struct train_result result;
    const char *best;
    small_open(&small);
    small_experiment(&small, &experiment, NULL,
                     "  steps: 9\n  batch: 16\n  validate_every: 1st\n"
                     "  optimizer: {sgd: {lr: 0.01}}\n"
                     "  checkpoint: {every: 1st, by: {metric: loss, mode: min}}");
    struct train_opts opts = { .run = small_path(&small, "run"), .stop_after = 5 };
    cr_assert_eq(small_train(&small, &experiment, &opts, &result), STOPPED);
    MUST(run_best(&small.arena, &best, opts.run, &err));
    cr_assert_str_eq(path_base(best), "step-0000000005-0001");
    const char *log = small_path(&small, "run/log-0001.jsonl"), *record = NULL;
    MUST(fs_read(&small.arena, &bytes, log, 1 << 20, &err));
    for (const char *at = bytes.at; (at = strstr(at, "\"kind\":\"checkpoint\"")); at++) record = at;
    cr_assert(record);
    while (record[-1] != '\n') record--;
    MUST(fs_publish_view(log, bytes.at, (size_t)(record - bytes.at), &err));
    const char *half = small_path(&small, "run/checkpoints/.step-0000000006-0001.0.tmp/x");
    MUST(fs_mkdirs(half, &err));

    opts = (struct train_opts){ .run = opts.run, .time_limit_s = 1e-9 };
    cr_assert_eq(small_train(&small, &experiment, &opts, &result), STOPPED);
    MUST(run_best(&small.arena, &best, opts.run, &err));
    cr_expect_str_eq(path_base(best), "step-0000000005-0001");
    cr_expect(!fs_exists(half));
    small_close(&small);
}

/* Fails call N while training: the run ends well, or stops with a reason; then it goes on to the
 * same end. */
Test(train, whatever_call_fails_the_run_comes_to_the_same_end, .timeout = 300)
{
    struct small small;
    struct experiment experiment;
    struct train_result straight, result;
    int failed = 0;
    small_open(&small);
    small_experiment(&small, &experiment, NULL,
                     "  epochs: 2\n  batch: 16\n  optimizer: {adamw: {lr: 0.01}}\n"
                     "  checkpoint: {every: 3st, keep: {last: 2}}");
    faults_begin(FAULT_NONE, 0);
    cr_assert_eq(small_train(&small, &experiment, &(struct train_opts){ 0 }, &straight), OK);
    int calls = faults_end();
    cr_assert_gt(calls, 300);
    for (int kind = FAULT_ONCE; kind <= FAULT_FOR_GOOD; kind++) {
        for (int at = 1; at <= calls; at += kind == FAULT_ONCE ? 7 : 41) {
            struct err err = { 0 };
            struct train_opts opts = { .run = small_path(&small, "faulty") };
            MUST(fs_remove_tree(opts.run, &err));
            faults_begin((enum fault)kind, at);
            enum code code = small_train(&small, &experiment, &opts, &result);
            faults_end();
            failed += code != OK;
            code = small_train(&small, &experiment, &opts, &result);
            cr_assert_eq(code, OK, "after call %d", at);
            cr_expect(digest_equal(&result.digest, &straight.digest), "after call %d", at);
        }
    }
    cr_expect_gt(failed, 10);
    small_close(&small);
}

/* Each block of memory is refused once: an error with the right code, and the next try works. */
Test(train, whatever_memory_is_refused_the_run_says_so, .timeout = 120)
{
    struct small small;
    struct err err = { 0 };
    struct experiment experiment;
    struct train_result straight, result;
    int refused = 0;
    small_open(&small);
    small_experiment(&small, &experiment, NULL,
                     "  epochs: 1\n  batch: 16\n  micro_batch: 8\n  ema: {decay: 0.5}\n"
                     "  optimizer: {adamw: {lr: 0.01}}\n  checkpoint: {every: 3st}");
    cr_assert_eq(small_train(&small, &experiment, &(struct train_opts){ 0 }, &straight), OK);
    for (uint64_t n = 1; n < 100; n++) {
        struct train_opts opts = { .run = small_path(&small, "poor") };
        MUST(fs_remove_tree(opts.run, &err));
        memory_fail_after(n);
        enum code code = small_train(&small, &experiment, &opts, &result);
        memory_fail_after(0);
        cr_assert(code == OK || code == NO_MEMORY, "block %d: %d", (int)n, code);
        refused += code == NO_MEMORY;
        cr_assert_eq(small_train(&small, &experiment, &opts, &result), OK);
        cr_expect(digest_equal(&result.digest, &straight.digest), "block %d", (int)n);
    }
    cr_expect_gt(refused, 15, "%d", refused);
    small_close(&small);
}
