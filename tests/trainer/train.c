/* Whole small runs: which checkpoints stay, what is best, when a run ends early, what a trainer's
 * state brings back, and that no failing call costs more than the work since the last checkpoint.
 * */
#include "small.h"
#include "tests/registry/shared_faults.h"

#include <stdio.h>
#include <string.h>

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

/* Steps of the `best` validations by loss (smallest first; earlier ones win ties) and the `last`
 * checkpoints of a run of `steps` steps with a checkpoint and a validation after each, as names in
 * order of step: what the run must have kept. */
static const char *should_keep(struct small *small, int steps, int best, int last)
{
    double loss[64] = { 0 };
    json_t *records = records_of(small);
    for (size_t i = 0; i < json_array_size(records); i++) {
        const json_t *record = json_array_get(records, i);
        if (is_kind(record, "validation"))
            loss[json_integer_value(json_object_get(record, "step"))] = json_number_value(
                json_object_get(json_object_get(record, "metrics"), "loss"));
    }
    json_decref(records);
    struct str text = { 0 };
    for (int step = 1; step <= steps; step++) {
        int beaten_by = 0;
        for (int other = 1; other <= steps; other++)
            beaten_by += loss[other] < loss[step] || (loss[other] == loss[step] && other < step);
        if (beaten_by < best || step > steps - last)
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
    } rows[] = { { 1, 2 }, { 2, 1 }, { 0, 3 }, { 3, 3 }, { 1, 1 } };
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
                                      "  optimizer: {sgd: {lr: 1.5, momentum: 0.5}}\n"
                                      "  checkpoint: {every: 1st, keep: {best: %d, last: %d}, "
                                      "by: {metric: loss, mode: min}}",
                                      rows[r].best, rows[r].last));
        cr_assert_eq(small_train(&small, &experiment, &(struct train_opts){ 0 }, &result), OK);
        cr_expect_str_eq(kept(&small), should_keep(&small, 9, rows[r].best, rows[r].last),
                         "row %zu", r);
        const char *best = should_keep(&small, 9, 1, 0);
        if (rows[r].best) cr_expect_str_eq(path_base(result.checkpoint), best);
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
                          .time = 12,
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
    cr_expect(b.number == 13 && b.time == 12 && !b.stopping_early && b.last_checkpoint == 13);
    json_t *all[] = { state, again, a.saves, a.metrics, b.saves, b.metrics };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) json_decref(all[i]);
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
