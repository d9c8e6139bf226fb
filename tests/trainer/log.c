/* The log: torn, damaged and superseded records; what a run's progress is read from. */
#include "small.h"
#include "tests/registry/shared_faults.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add(struct run_log *log, const char *text)
{
    struct err err = { 0 };
    MUST(run_log_add(log, json_loads(text, 0, NULL), &err));
}

/* Writes a log of these records (NULL-terminated). */
static void write_log(const char *path, const char *const *records)
{
    struct err err = { 0 };
    struct run_log log;
    MUST(run_log_open(&log, path, &err));
    for (; *records; records++) add(&log, *records);
    run_log_close(&log);
}

static const char *const steps[] = { "{\"kind\":\"begin\",\"resumed_step\":0,\"steps\":9}",
                                     "{\"kind\":\"step\",\"step\":1,\"loss\":0.1}",
                                     "{\"kind\":\"step\",\"step\":2,\"loss\":1e-300}",
                                     "{\"kind\":\"step\",\"step\":3,\"loss\":3.5}", NULL };

static size_t count(const char *path, int *damaged)
{
    struct err err = { 0 };
    json_t *records;
    MUST(run_log_read(&records, damaged, path, &err));
    size_t size = json_array_size(records);
    json_decref(records);
    return size;
}

Test(log, a_cut_anywhere_loses_the_last_record_at_most)
{
    struct small small;
    struct err err = { 0 };
    struct bytes bytes;
    int damaged;
    small_open(&small);
    const char *path = small_path(&small, "log-0001.jsonl"), *cut = small_path(&small, "cut");
    write_log(path, steps);
    MUST(fs_read(&small.arena, &bytes, path, 1 << 20, &err));
    for (size_t len = 0; len <= bytes.len; len++) {
        size_t whole = 0;
        for (size_t i = 0; i < len; i++) whole += bytes.at[i] == '\n';
        MUST(fs_publish_view(cut, bytes.at, len, &err));
        cr_expect_eq(count(cut, &damaged), whole, "cut at %zu", len);
        cr_expect_eq(damaged, 0, "cut at %zu", len);
    }
    small_close(&small);
}

Test(log, a_flipped_bit_loses_its_own_record_and_no_other)
{
    struct small small;
    struct err err = { 0 };
    struct bytes bytes;
    int damaged;
    small_open(&small);
    const char *path = small_path(&small, "log-0001.jsonl"), *hurt = small_path(&small, "hurt");
    write_log(path, steps);
    MUST(fs_read(&small.arena, &bytes, path, 1 << 20, &err));
    char *copy = arena_copy_len(&small.arena, bytes.at, bytes.len);
    for (size_t at = 0; at < bytes.len; at++) {
        copy[at] = (char)(bytes.at[at] ^ 1 << at % 7);
        MUST(fs_publish_view(hurt, copy, bytes.len, &err));
        size_t left = count(hurt, &damaged);
        /* a broken line end takes two records along; one made in a line cuts only that */
        bool end = bytes.at[at] == '\n';
        cr_expect(left == (end ? (at + 1 == bytes.len ? 3u : 2u) : 3u), "flip at %zu: %zu left", at,
                  left);
        copy[at] = bytes.at[at];
    }
    small_close(&small);
}

Test(log, a_record_after_a_failed_append_stands_on_a_line_of_its_own)
{
    struct small small;
    struct err err = { 0 };
    struct run_log log;
    int damaged;
    small_open(&small);
    const char *path = small_path(&small, "log-0001.jsonl");
    MUST(run_log_open(&log, path, &err));
    add(&log, steps[0]);
    faults_begin(FAULT_ONCE, 1);
    cr_expect_neq(run_log_add(&log, json_loads(steps[1], 0, NULL), &err), OK);
    faults_end();
    add(&log, steps[2]);
    run_log_close(&log);
    cr_expect_eq(count(path, &damaged), 2);
    cr_expect_eq(damaged, 0);
    small_close(&small);
}

/* Three starts: the second goes on from step 2, the third from step 4 of the second. */
Test(log, what_an_older_start_wrote_behind_the_point_of_resuming_is_void)
{
    static const char *const second[] = { "{\"kind\":\"begin\",\"resumed_step\":2,\"steps\":9}",
                                          "{\"kind\":\"step\",\"step\":3,\"loss\":30}",
                                          "{\"kind\":\"step\",\"step\":4,\"loss\":40}",
                                          "{\"kind\":\"step\",\"step\":5,\"loss\":50}",
                                          "{\"kind\":\"end\",\"step\":5}",
                                          NULL };
    static const char *const third[] = {
        "{\"kind\":\"begin\",\"resumed_step\":4,\"steps\":12,\"schedule_end\":{\"x\":1}}",
        "{\"kind\":\"validation\",\"step\":5,\"metrics\":{\"accuracy\":0.5}}", NULL
    };
    struct small small;
    struct err err = { 0 };
    json_t *records;
    struct run_progress progress;
    small_open(&small);
    write_log(small_path(&small, "log-0001.jsonl"), steps);
    write_log(small_path(&small, "log-0002.jsonl"), second);
    MUST(run_progress_read(&progress, small.dir, &err));
    cr_expect(progress.finished && progress.step == 5 && progress.steps == 9);
    run_progress_release(&progress);

    write_log(small_path(&small, "log-0003.jsonl"), third);
    MUST(run_log_read_all(&records, small.dir, &err));
    double sum = 0;
    for (size_t i = 0; i < json_array_size(records); i++)
        sum += json_number_value(json_object_get(json_array_get(records, i), "loss"));
    cr_expect_eq(sum, 0.1 + 1e-300 + 30 + 40, "%g", sum);
    json_decref(records);
    MUST(run_progress_read(&progress, small.dir, &err));
    cr_expect(!progress.finished && progress.step == 5 && progress.steps == 12);
    cr_expect_eq(json_integer_value(json_object_get(progress.schedule_end, "x")), 1);
    cr_expect_eq(json_number_value(json_object_get(progress.metrics, "accuracy")), 0.5);
    run_progress_release(&progress);
    small_close(&small);
}
