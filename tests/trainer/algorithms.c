/* Choices of algorithms as an input of a run: searched once, kept, resumed from, shared by ranks.
 * On a device whose ways differ in their last bits, so that the weights tell which were taken. */
#include "small.h"

#include "tests/comm/threads.h"
#include "tests/kernels/shared_far.h"

#include <stdio.h>
#include <string.h>

#define TRAIN                                                                                      \
    "  epochs: 2\n  batch: 16\n  optimizer: {sgd: {lr: 0.1}}\n  checkpoint: {every: 2st}\n"

static double exact_wins(const struct op_call *call)
{
    return strcmp(call->algorithm, FAR_TRIMMED) == 0 ? 2e-3 : 1e-3;
}

static double trimmed_wins(const struct op_call *call)
{
    return strcmp(call->algorithm, FAR_TRIMMED) == 0 ? 1e-3 : 2e-3;
}

static void open_far(struct device *far, double (*clock)(const struct op_call *call))
{
    struct err err = { 0 };
    struct device inner;
    MUST(device_open(&inner, "cpu", 1, &err));
    MUST(device_open_far(far, &inner, FAR_QUEUE | FAR_CHOICES, &err));
    far_clock(far, clock);
}

struct start {
    double (*clock)(const struct op_call *call);
    int64_t stop;
    const char *algorithms;
    bool no_tune, allow_inexact;
};

/* One start of the run in the folder's `run`; its code, and the digest where it came to its end. */
static enum code start(struct small *small, const struct experiment *experiment,
                       const struct start *how, struct digest *digest)
{
    struct device far;
    struct train_result result = { 0 };
    struct train_opts opts = { .opened = &far,
                               .stop_after = how->stop,
                               .algorithms = how->algorithms,
                               .no_tune = how->no_tune,
                               .allow_inexact = how->allow_inexact };
    open_far(&far, how->clock);
    enum code code = small_train(small, experiment, &opts, &result);
    if (digest) *digest = result.digest;
    return code;
}

static void begin_again(struct small *small)
{
    struct err err = { 0 };
    MUST(fs_remove_tree(small_path(small, "run"), &err));
}

static struct digest digest_of_file(const char *path)
{
    struct err err = { 0 };
    struct digest digest;
    MUST(fs_digest(path, &digest, NULL, &err));
    return digest;
}

static bool same(const struct digest *a, const struct digest *b)
{
    return digest_equal(a, b);
}

Test(algorithms, a_run_keeps_what_it_searched_and_goes_on_with_it, .timeout = 120)
{
    struct small small;
    struct experiment experiment;
    struct err err = { 0 };
    struct digest trimmed, exact, first, resumed, other;
    small_open(&small);
    small_experiment(&small, &experiment, NULL, TRAIN);
    const char *path = small_path(&small, "run/algorithms.json");
    const char *kept = small_path(&small, "kept.json");
    cr_assert_eq(start(&small, &experiment, &(struct start){ .clock = exact_wins }, &exact), OK);
    begin_again(&small);
    cr_assert_eq(start(&small, &experiment, &(struct start){ .clock = trimmed_wins }, &trimmed),
                 OK);
    cr_expect(!same(&exact, &trimmed), "the ways do not show");
    struct digest table = digest_of_file(path);
    MUST(fs_replace(path, kept, &err));
    begin_again(&small);
    /* from here on a search would find another way */
    cr_assert_eq(start(&small, &experiment,
                       &(struct start){ .clock = exact_wins, .algorithms = kept, .stop = 3 }, NULL),
                 STOPPED);
    other = digest_of_file(path);
    cr_expect(same(&table, &other), "the file was not taken as it is");
    cr_assert_eq(start(&small, &experiment, &(struct start){ .clock = exact_wins }, &resumed), OK);
    cr_expect(same(&resumed, &trimmed), "the resumed run took other ways");
    begin_again(&small);
    cr_assert_eq(
        start(&small, &experiment, &(struct start){ .clock = trimmed_wins, .stop = 2 }, NULL),
        STOPPED);
    cr_assert_eq(start(&small, &experiment, &(struct start){ .clock = exact_wins }, &resumed), OK);
    cr_expect(same(&resumed, &trimmed));
    begin_again(&small);
    cr_assert_eq(start(&small, &experiment,
                       &(struct start){ .clock = trimmed_wins, .no_tune = true, .stop = 2 }, NULL),
                 STOPPED);
    cr_expect(!fs_exists(path));
    cr_assert_eq(start(&small, &experiment, &(struct start){ .clock = trimmed_wins }, &first), OK);
    cr_expect(!fs_exists(path) && same(&first, &exact), "first answers are the exact ones");
    begin_again(&small);
    cr_assert_eq(small_train(&small, &experiment, &(struct train_opts){ .device = "cpu" }, NULL),
                 OK);
    cr_expect(!fs_exists(path), "the CPU has no choice");
    struct train_opts unused = { .device = "cpu", .algorithms = kept };
    begin_again(&small);
    cr_expect_eq(small_train(&small, &experiment, &unused, NULL), USAGE);
    /* a start that died between the file and the manifest */
    MUST(fs_mkdirs(small_path(&small, "run"), &err));
    MUST(fs_replace(kept, path, &err));
    cr_assert_eq(start(&small, &experiment, &(struct start){ .clock = exact_wins }, &other), OK);
    cr_expect(same(&other, &trimmed));
    small_close(&small);
}

/* Rewrites the run's file, whole and sound, with `edit` done to its rows. */
static void rewrite(const char *path, void (*edit)(struct algorithms *table))
{
    struct err err = { 0 };
    struct algorithms table;
    algorithms_init(&table, path);
    MUST(algorithms_load(&table, path, &err));
    edit(&table);
    MUST(algorithms_publish(&table, path, &err));
    algorithms_release(&table);
}

static void take_exact(struct algorithms *table)
{
    table->rows[0].choice = FAR_EXACT;
}

static void take_refused(struct algorithms *table)
{
    for (int i = 0; i < table->count; i++) table->rows[i].choice = FAR_REFUSED;
}

static void drop_row(struct algorithms *table)
{
    table->count--;
}

static void rename_device(struct algorithms *table)
{
    for (int i = 0; i < table->count; i++) table->rows[i].device = "a card of another time";
}

/* Whether the run's log says what differs. */
static bool told_inexact(struct small *small, const char *what)
{
    struct err err = { 0 };
    json_t *records;
    bool told = false;
    MUST(run_log_read_all(&records, small_path(small, "run"), &err));
    for (size_t i = 0; i < json_array_size(records); i++) {
        const json_t *record = json_array_get(records, i);
        const char *kind = json_string_value(json_object_get(record, "kind"));
        const char *text = json_string_value(json_object_get(record, "message"));
        told |= strcmp(kind, "inexact") == 0 && strstr(text, what);
    }
    json_decref(records);
    return told;
}

Test(algorithms, a_run_whose_file_was_changed_goes_on_only_where_other_bits_are_accepted,
     .timeout = 120)
{
    static const struct {
        const char *name;
        void (*edit)(struct algorithms *table); /* NULL: the file is removed */
    } rows[] = {
        { "another choice", take_exact },
        { "a choice that the device refuses", take_refused },
        { "a row less", drop_row },
        { "rows of another device", rename_device },
        { "no file", NULL },
    };
    struct small small;
    struct experiment experiment;
    small_open(&small);
    small_experiment(&small, &experiment, NULL, TRAIN);
    const char *path = small_path(&small, "run/algorithms.json");
    struct start begin = { .clock = trimmed_wins, .stop = 2 };
    struct start inexact = { .clock = trimmed_wins, .allow_inexact = true };
    struct start exact = { .clock = trimmed_wins };
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        struct err err = { 0 };
        begin_again(&small);
        cr_assert_eq(start(&small, &experiment, &begin, NULL), STOPPED);
        if (rows[r].edit)
            rewrite(path, rows[r].edit);
        else
            MUST(fs_remove(path, &err));
        cr_expect_eq(start(&small, &experiment, &exact, NULL), CONFIG, "%s", rows[r].name);
        cr_expect_eq(start(&small, &experiment, &inexact, NULL), OK, "%s", rows[r].name);
        /* searched anew, the table may be what it was */
        cr_expect(fs_exists(path), "%s", rows[r].name);
        cr_expect(r > 0 || told_inexact(&small, "algorithms were"), "%s", rows[r].name);
    }
    struct err err = { 0 };
    begin_again(&small);
    cr_assert_eq(start(&small, &experiment, &begin, NULL), STOPPED);
    MUST(fs_publish_view(path, "{}", 2, &err));
    cr_expect_eq(start(&small, &experiment, &inexact, NULL), DAMAGED);
    begin_again(&small);
    const char *other = small_path(&small, "other.json");
    cr_assert_eq(start(&small, &experiment, &begin, NULL), STOPPED);
    MUST(fs_replace(path, other, &err));
    rewrite(other, take_refused);
    begin_again(&small);
    cr_expect_eq(start(&small, &experiment,
                       &(struct start){ .clock = trimmed_wins, .algorithms = other }, NULL),
                 CONFIG, "a new run began with what the device refuses");
    cr_expect(!fs_exists(small_path(&small, "run/manifest.json")));
    small_close(&small);
}

/* A checkpoint says under which choices it was made, whatever the run's file holds by now. */
Test(algorithms, a_checkpoint_of_other_choices_is_not_gone_on_from, .timeout = 120)
{
    struct small small;
    struct experiment experiment;
    struct err err = { 0 };
    small_open(&small);
    small_experiment(&small, &experiment, NULL, TRAIN);
    const char *path = small_path(&small, "run/algorithms.json");
    const char *kept = small_path(&small, "kept.json");
    struct start begin = { .clock = trimmed_wins, .stop = 2 };
    struct start inexact = { .clock = trimmed_wins, .stop = 2, .allow_inexact = true };
    struct bytes bytes;
    cr_assert_eq(start(&small, &experiment, &begin, NULL), STOPPED);
    MUST(fs_read(&small.arena, &bytes, path, 1 << 20, &err));
    MUST(fs_publish(kept, bytes.at, bytes.len, &err));
    rewrite(path, take_exact);
    cr_assert_eq(start(&small, &experiment, &inexact, NULL), STOPPED);
    MUST(fs_replace(kept, path, &err)); /* as the manifest says it again */
    cr_expect_eq(start(&small, &experiment, &begin, NULL), CONFIG);
    cr_expect_eq(start(&small, &experiment, &inexact, NULL), STOPPED);
    small_close(&small);
}

Test(algorithms, a_stop_request_ends_a_search_before_anything_is_written)
{
    struct small small;
    struct experiment experiment;
    struct device far;
    small_open(&small);
    small_experiment(&small, &experiment, NULL, TRAIN);
    struct train_opts opts = { .opened = &far, .time_limit_s = 1e-9 };
    open_far(&far, trimmed_wins);
    cr_expect_eq(small_train(&small, &experiment, &opts, NULL), STOPPED);
    cr_expect(!fs_exists(small_path(&small, "run")));
    small_close(&small);
}

/* Names of the linear ops of a trainer's step, in their order. */
static const char *ways_of(struct arena *arena, const struct trainer *t)
{
    const struct program *program = step_program(&t->step);
    const char *text = "";
    for (int n = 0; n < program->count; n++)
        if (ops[program->calls[n].op].name[0] == 'l' && program->calls[n].choice)
            text = arena_format(arena, "%s%s, ", text, program->calls[n].algorithm);
    return text;
}

Test(algorithms, a_plan_times_nothing_and_names_what_a_file_says)
{
    struct small small;
    struct experiment experiment;
    struct err err = { 0 };
    small_open(&small);
    small_experiment(&small, &experiment, NULL, TRAIN);
    cr_assert_eq(
        start(&small, &experiment, &(struct start){ .clock = trimmed_wins, .stop = 1 }, NULL),
        STOPPED);
    const char *path = small_path(&small, "run/algorithms.json");
    for (int with = 0; with < 2; with++) {
        struct device far;
        struct train_opts opts = { .opened = &far, .algorithms = with ? path : NULL };
        struct trainer t = { .experiment = &experiment, .opts = &opts, .plan_only = true };
        open_far(&far, exact_wins);
        MUST(trainer_compile(&t, &err));
        const char *ways = ways_of(&small.arena, &t);
        cr_expect(with ? strstr(ways, FAR_TRIMMED) != NULL && !strstr(ways, FAR_EXACT) : !*ways,
                  "%s", ways);
        cr_expect_eq(far_counts(&t.device).runs, 0);
        trainer_release(&t);
    }
    small_close(&small);
}

enum { RANKS = 3 };

/* Opened one after the other: HDF5 is for one thread at a time. */
struct crew {
    struct trainer trainer[RANKS];
    struct comm shape[RANKS];
    struct train_opts opts[RANKS];
    struct device device[RANKS];
    enum code before[RANKS], code[RANKS];
    char message[RANKS][480];
};

static void choose(struct comm *comm, void *context)
{
    struct crew *crew = context;
    struct trainer *t = &crew->trainer[comm->rank];
    struct err err = { 0 };
    t->ranks.comm = comm;
    enum code mine = crew->before[comm->rank];
    if (mine) err_set(&err, mine, "something is wrong");
    crew->code[comm->rank] = trainer_choose_together(t, mine, &err);
    snprintf(crew->message[comm->rank], sizeof crew->message[0], "%s", err.message);
}

static void run_crew(struct crew *crew, struct small *small, const struct experiment *experiment,
                     int failing, double (*clock)(const struct op_call *call))
{
    struct err err = { 0 };
    memset(crew, 0, sizeof *crew);
    for (int r = 0; r < RANKS; r++) {
        crew->shape[r] = (struct comm){ .rank = r, .size = RANKS, .processors = 1 };
        crew->opts[r] = (struct train_opts){ .comm = &crew->shape[r],
                                             .opened = &crew->device[r],
                                             .run = small_path(small, "run") };
        crew->trainer[r] = (struct trainer){ .experiment = experiment, .opts = &crew->opts[r] };
        open_far(&crew->device[r], r ? exact_wins : clock);
        MUST(trainer_open(&crew->trainer[r], &err));
        if (r == failing) crew->before[r] = NOT_FOUND;
    }
    threads_run(RANKS, 0, choose, crew);
}

/* The run as a start of this trainer leaves it. */
static void leave_run(struct small *small, const struct trainer *t)
{
    struct err err = { 0 };
    json_t *manifest = json_pack("{s:s,s:o}", "pawl", "run/1", "algorithms",
                                 trainer_algorithms_fact(t));
    MUST(fs_mkdirs(small_path(small, "run"), &err));
    MUST(algorithms_publish(&t->algorithms, small_path(small, "run/algorithms.json"), &err));
    MUST(json_publish_checked(manifest, small_path(small, "run/manifest.json"), &err));
    json_decref(manifest);
}

static double slow_all(const struct op_call *call)
{
    (void)call;
    return 1;
}

Test(algorithms, ranks_compute_in_the_ways_that_rank_0_found_fastest, .timeout = 120)
{
    static struct crew crew;
    struct small small;
    struct experiment experiment;
    small_open(&small);
    small_experiment(&small, &experiment, NULL,
                     "  epochs: 2\n  batch: 24\n  shards: 3\n  optimizer: {sgd: {lr: 0.1}}\n");
    const char *ways = "";
    for (int resumed = 0; resumed < 2; resumed++) {
        run_crew(&crew, &small, &experiment, -1, resumed ? slow_all : trimmed_wins);
        const char *first = ways_of(&small.arena, &crew.trainer[0]);
        json_t *fact = trainer_algorithms_fact(&crew.trainer[0]);
        cr_expect(strstr(first, FAR_TRIMMED), "%s", first);
        cr_expect(!resumed || strcmp(first, ways) == 0, "%s, not %s", first, ways);
        ways = first;
        for (int r = 0; r < RANKS; r++) {
            cr_expect_eq(crew.code[r], OK, "rank %d: %s", r, crew.message[r]);
            cr_expect_str_eq(ways_of(&small.arena, &crew.trainer[r]), ways, "rank %d", r);
            bool timed = far_counts(&crew.trainer[r].device).runs > 0;
            cr_expect_eq(timed, r == 0 && !resumed, "rank %d timed, resumed %d", r, resumed);
            json_t *its = trainer_algorithms_fact(&crew.trainer[r]);
            cr_expect(json_equal(fact, its), "rank %d", r);
            json_decref(its);
        }
        json_decref(fact);
        if (!resumed) leave_run(&small, &crew.trainer[0]);
        for (int r = 0; r < RANKS; r++) trainer_release(&crew.trainer[r]);
    }
    begin_again(&small);
    for (int failing = 0; failing < 2; failing++) {
        run_crew(&crew, &small, &experiment, failing, trimmed_wins);
        for (int r = 0; r < RANKS; r++) {
            cr_expect_eq(crew.code[r], NOT_FOUND, "rank %d", r);
            cr_expect(strstr(crew.message[r], "something is wrong") &&
                      crew.trainer[r].ranks.failed);
        }
        for (int r = 0; r < RANKS; r++) trainer_release(&crew.trainer[r]);
    }
    small_close(&small);
}
