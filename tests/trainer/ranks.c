/* Several ranks as threads: the same bits for any number of them where that is promised, the same
 * numbers within rounding elsewhere; failures, drifted weights and stop requests are heard by
 * all. */
#include "small.h"

#include "tests/comm/threads.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MOST_RANKS = 4, STEPS = 5 };

#define COUPLED                                                                                    \
    "[{conv: {filters: 4}}, batch_norm, relu, {max_pool: 2}, {dropout: 0.2}, flatten, {dense: 3}]"
#define PLAIN                                                                                      \
    "[{conv: {filters: 4}}, relu, {max_pool: 2}, {dropout: 0.2}, flatten, {dense: 9}, layer_norm," \
    " gelu, {dense: 3}]"

/* Trainers of all ranks, opened one after the other: HDF5 is for one thread at a time. */
struct crew {
    int ranks;
    struct trainer trainer[MOST_RANKS];
    struct comm shape[MOST_RANKS];
    struct train_opts opts[MOST_RANKS];
    double loss[MOST_RANKS][STEPS];
    char text[MOST_RANKS][600];
    int victim; /* the rank to which something happens */
    int stopped_at[MOST_RANKS];
};

static void open_crew(struct crew *crew, const struct experiment *experiment, int ranks)
{
    struct err err = { 0 };
    memset(crew, 0, sizeof *crew);
    crew->ranks = ranks;
    for (int r = 0; r < ranks; r++) {
        crew->shape[r] = (struct comm){ .rank = r, .size = ranks, .processors = 1 };
        crew->opts[r] = (struct train_opts){ .device = "cpu", .comm = &crew->shape[r] };
        crew->trainer[r] = (struct trainer){ .experiment = experiment, .opts = &crew->opts[r] };
        MUST(trainer_compile(&crew->trainer[r], &err));
        MUST(params_init(&crew->trainer[r].params, experiment->seed, &err));
    }
}

static void close_crew(struct crew *crew)
{
    for (int r = 0; r < crew->ranks; r++) trainer_release(&crew->trainer[r]);
}

#define SAY(...) (void)snprintf(crew->text[comm->rank], sizeof crew->text[0], __VA_ARGS__)

static void run_crew(struct crew *crew, void (*body)(struct comm *comm, void *context))
{
    threads_run(crew->ranks, 0, body, crew);
    for (int r = 0; r < crew->ranks; r++)
        cr_assert_str_empty(crew->text[r], "rank %d of %d: %s", r, crew->ranks, crew->text[r]);
}

static void take_steps(struct comm *comm, void *context)
{
    struct crew *crew = context;
    struct trainer *t = &crew->trainer[comm->rank];
    struct err err = { 0 };
    t->ranks.comm = comm;
    for (int step = 0; step < STEPS; step++) {
        struct batch batch;
        struct step_result result;
        enum code code = loader_next(t->loader, &batch, &err);
        if (!code) code = step_run(&t->step, &batch, step, 0.1, &result, &err);
        if (code) {
            SAY("%s", err.message);
            return;
        }
        crew->loss[comm->rank][step] = result.loss;
    }
}

/* |a - b| / |b| over an arena, or 0 where all bits are equal. */
static double distance(const struct params *a, const struct params *b, enum params_arena arena)
{
    const float *left = a->memory[arena], *right = b->memory[arena];
    double square = 0, of = 0;
    int64_t size = params_size(a, arena);
    if (!left || !size || !memcmp(left, right, (size_t)size * sizeof *left)) return 0;
    for (int64_t i = 0; i < size; i++) {
        double gap = (double)left[i] - (double)right[i];
        square += gap * gap;
        of += (double)right[i] * (double)right[i];
    }
    return fmax(sqrt(square / of), 1e-30);
}

static const enum params_arena arenas[] = { ARENA_VALUE, ARENA_SLOT_0, ARENA_SLOT_1,
                                            ARENA_STATE, ARENA_EMA,    ARENA_EMA_STATE };

/* Compares crews of several sizes with one rank; bound 0: bit for bit. */
static void compare_crews(struct small *small, const char *layers, const char *train,
                          const int *sizes, double bound)
{
    struct experiment experiment;
    static struct crew alone, crew;
    small_experiment(small, &experiment, layers, train);
    open_crew(&alone, &experiment, 1);
    run_crew(&alone, take_steps);
    for (; *sizes; sizes++) {
        open_crew(&crew, &experiment, *sizes);
        run_crew(&crew, take_steps);
        for (int r = 0; r < *sizes; r++) {
            for (size_t a = 0; a < sizeof arenas / sizeof *arenas; a++) {
                double far = distance(&crew.trainer[r].params, &alone.trainer[0].params, arenas[a]);
                double among = distance(&crew.trainer[r].params, &crew.trainer[0].params,
                                        arenas[a]);
                cr_expect(far <= bound && among <= 0, "rank %d of %d, arena %d: %g, %g", r, *sizes,
                          (int)arenas[a], far, among);
            }
            for (int s = 0; s < STEPS; s++) {
                double want = alone.loss[0][s];
                cr_expect(fabs(crew.loss[r][s] - want) <= bound * want,
                          "rank %d of %d, step %d: loss %.17g, not %.17g", r, *sizes, s,
                          crew.loss[r][s], want);
            }
        }
        close_crew(&crew);
    }
    close_crew(&alone);
}

Test(ranks, world_gives_the_same_bits_on_any_number_of_ranks, .timeout = 60)
{
    static const int sizes[] = { 2, 4, 0 };
    static const char *const keys[] = { "  batch: 16\n  shards: 4\n",
                                        "  batch: 16\n  shards: 4\n  micro_batch: 2\n",
                                        "  batch: 24\n  shards: 12\n  threads_per_shard: 2\n" };
    struct small small;
    small_open(&small);
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++)
        compare_crews(&small, COUPLED,
                      arena_format(&small.arena,
                                   "%s  epochs: 9\n  determinism: world\n"
                                   "  optimizer: {adamw: {lr: 0.1}}\n  ema: {decay: 0.9}\n",
                                   keys[k]),
                      sizes, 0);
    /* a short last batch leaves whole shards without a row */
    compare_crews(&small, PLAIN,
                  "  epochs: 9\n  batch: 48\n  shards: 4\n  last_batch: pad\n"
                  "  determinism: world\n  optimizer: {sgd: {lr: 0.1, momentum: 0.9}}\n",
                  sizes, 0);
    small_close(&small);
}

/* Rounding alone separates other orders of summation: after five steps 1e-5 of the weights. */
Test(ranks, run_gives_the_same_numbers_up_to_the_order_of_sums, .timeout = 60)
{
    static const int sizes[] = { 2, 4, 0 }, odd[] = { 3, 0 };
    struct small small;
    small_open(&small);
    compare_crews(&small, PLAIN,
                  "  epochs: 9\n  batch: 16\n  optimizer: {sgd: {lr: 0.1, momentum: 0.9}}\n", sizes,
                  1e-5);
    compare_crews(&small, PLAIN,
                  "  epochs: 9\n  batch: 24\n  micro_batch: 4\n  clip: {norm: 0.1}\n"
                  "  optimizer: {sgd: {lr: 0.1}}\n",
                  odd, 1e-5);
    compare_crews(&small, COUPLED,
                  "  epochs: 9\n  batch: 16\n  shards: 4\n  optimizer: {sgd: {lr: 0.1}}\n", sizes,
                  1e-5);
    small_close(&small);
}

#define CUT_KEYS "  epochs: 9\n  batch: 16\n  optimizer: {sgd: {lr: 0.1}}\n"

/* Shards are a cut like any other where nothing couples rows; running statistics are the mean. */
Test(ranks, shards_change_nothing_but_statistics)
{
    struct small small;
    struct experiment whole_experiment, cut_experiment;
    static struct crew whole, cut;
    small_open(&small);
    small_experiment(&small, &whole_experiment, PLAIN, CUT_KEYS);
    open_crew(&whole, &whole_experiment, 1);
    run_crew(&whole, take_steps);
    static const char *const more[] = { "  shards: 4\n", "  shards: 4\n  micro_batch: 2\n",
                                        "  shards: 8\n  determinism: world\n" };
    for (size_t m = 0; m < sizeof more / sizeof *more; m++) {
        small_experiment(&small, &cut_experiment, PLAIN,
                         arena_format(&small.arena, CUT_KEYS "%s", more[m]));
        open_crew(&cut, &cut_experiment, 1);
        run_crew(&cut, take_steps);
        double far = distance(&cut.trainer[0].params, &whole.trainer[0].params, ARENA_VALUE);
        cr_expect(far <= 1e-5, "%s: %g", more[m], far);
        close_crew(&cut);
    }
    close_crew(&whole);
    small_close(&small);
}

/* The same first step on each half of a batch gives statistics whose mean the two shards have. */
Test(ranks, running_statistics_of_shards_are_averaged)
{
    struct small small;
    struct err err = { 0 };
    struct experiment half_experiment, both_experiment;
    struct trainer half, both;
    static struct train_opts opts = { .device = "cpu" };
    struct batch batch;
    struct step_result result;
    small_open(&small);
    small_experiment(&small, &half_experiment, COUPLED,
                     "  epochs: 9\n  batch: 8\n  optimizer: {sgd: {lr: 0.0}}\n");
    small_experiment(&small, &both_experiment, COUPLED,
                     "  epochs: 9\n  batch: 16\n  shards: 2\n  optimizer: {sgd: {lr: 0.0}}\n");
    both = (struct trainer){ .experiment = &both_experiment, .opts = &opts };
    MUST(trainer_compile(&both, &err));
    MUST(params_init(&both.params, 1, &err));
    MUST(loader_next(both.loader, &batch, &err));
    int64_t size = params_size(&both.params, ARENA_STATE);
    double *mean = ARENA_ARRAY(&small.arena, size, double);
    for (int h = 0; h < 2; h++) {
        struct batch part = batch;
        part.input = (const char *)batch.input + (ptrdiff_t)h * 8 * 36;
        part.target = (const int32_t *)batch.target + (ptrdiff_t)h * 8;
        part.ordinal = batch.ordinal + (ptrdiff_t)h * 8;
        part.valid = 8;
        half = (struct trainer){ .experiment = &half_experiment, .opts = &opts };
        MUST(trainer_compile(&half, &err));
        MUST(params_init(&half.params, 1, &err));
        MUST(step_run(&half.step, &part, 0, 0, &result, &err));
        for (int64_t i = 0; i < size; i++)
            mean[i] += (double)half.params.memory[ARENA_STATE][i] / 2;
        trainer_release(&half);
    }
    MUST(step_run(&both.step, &batch, 0, 0, &result, &err));
    for (int64_t i = 0; i < size; i++) {
        double got = (double)both.params.memory[ARENA_STATE][i];
        cr_expect(fabs(got - mean[i]) <= 1e-6 * fmax(1, fabs(mean[i])), "%lld: %g, not %g",
                  (long long)i, got, mean[i]);
    }
    trainer_release(&both);
    small_close(&small);
}

/* The victim cannot read its batch; all end with its code and words. */
static void fail_one(struct comm *comm, void *context)
{
    struct crew *crew = context;
    struct trainer *t = &crew->trainer[comm->rank];
    struct err err = { 0 };
    struct batch batch;
    struct step_result result;
    t->ranks.comm = comm;
    enum code code = loader_next(t->loader, &batch, &err);
    if (!code) code = step_compute(&t->step, &batch, 0, 0.1, &err);
    if (comm->rank == crew->victim) code = err_set(&err, DAMAGED, "block 7 is damaged");
    code = step_finish(&t->step, code, &result, &err);
    char want[64];
    snprintf(want, sizeof want, "rank %d: block 7 is damaged", crew->victim);
    const char *words = crew->victim ? want : strchr(want, 'b');
    if (code != DAMAGED || strcmp(err.message, words) != 0 || !t->ranks.failed)
        SAY("%s: %s", code_text(code), err.message);
}

/* The victim's weights drift; the step after, all of them stop. */
static void drift(struct comm *comm, void *context)
{
    struct crew *crew = context;
    struct trainer *t = &crew->trainer[comm->rank];
    struct err err = { 0 };
    struct batch batch;
    struct step_result result;
    enum code code = OK;
    t->ranks.comm = comm;
    for (int step = 0; step < 2 && !code; step++) {
        if (comm->rank == crew->victim && step == 0) t->step.update_program.block->seed++;
        if (loader_next(t->loader, &batch, &err)) return;
        code = step_run(&t->step, &batch, step, 0.1, &result, &err);
        if (comm->rank == crew->victim) t->step.norm = nextafter(t->step.norm, 1e9);
    }
    if (code != HOPELESS || !strstr(err.message, "no longer hold the same weights"))
        SAY("%s: %s", code_text(code), err.message);
}

/* What only rank 0 knows of comes to all: beats, a document, the end; a request from the victim. */
static bool asked_here(void *context)
{
    return *(const bool *)context;
}

static void work_and_follow(struct comm *comm, void *context)
{
    struct crew *crew = context;
    struct ranks *ranks = &crew->trainer[comm->rank].ranks;
    struct err err = { 0 };
    bool asked = comm->rank == crew->victim;
    enum code code = OK;
    json_t *document = NULL;
    ranks->comm = comm;
    ranks->asked = asked_here;
    ranks->context = &asked;
    if (comm->rank == 0) {
        for (int beat = 0; beat < 3 && !code; beat++) {
            ranks->beat_at = 0; /* as if a second had passed */
            code = ranks_beat(ranks, &err);
        }
        if (!code) code = ranks_work_done(ranks, OK, RANKS_DONE, &err);
        document = json_pack("{s:f}", "accuracy", 0.1);
    } else {
        code = ranks_follow(ranks, &err);
    }
    bool done = ranks->heard & RANKS_DONE;
    if (!code) code = ranks_share_json(ranks, &document, &err);
    double value = json_number_value(json_object_get(document, "accuracy"));
    json_decref(document);
    if (code || !done || value < 0.1 || value > 0.1 || !ranks_stopping(ranks))
        SAY("%s: %d, %g", err.message, done, value);
}

Test(ranks, what_one_rank_knows_is_heard_by_all, .timeout = 60)
{
    struct small small;
    struct experiment experiment;
    static struct crew crew;
    small_open(&small);
    small_experiment(&small, &experiment, PLAIN,
                     "  epochs: 9\n  batch: 24\n  optimizer: {sgd: {lr: 0.1}}\n");
    static void (*const bodies[])(struct comm *, void *) = { fail_one, drift, work_and_follow };
    for (size_t b = 0; b < sizeof bodies / sizeof *bodies; b++)
        for (int victim = 0; victim < 3; victim++) {
            open_crew(&crew, &experiment, 3);
            crew.victim = victim;
            run_crew(&crew, bodies[b]);
            close_crew(&crew);
        }
    small_close(&small);
}

Test(ranks, a_batch_is_shared_by_a_table)
{
    static const struct {
        const char *name;
        int64_t batch, shards, micro;
        enum determinism determinism;
        int rank, ranks;
        bool couples;
        enum code code;
        int64_t first, rows;
        int groups;
        int64_t cut;
        const char *says;
    } rows[] = {
        { "alone", 32, 1, 32, DETERMINISM_RUN, 0, 1, true, OK, 0, 32, 1, 32, NULL },
        { "rows", 32, 1, 32, DETERMINISM_RUN, 3, 4, false, OK, 24, 8, 1, 8, NULL },
        { "rows in passes", 32, 1, 4, DETERMINISM_OFF, 1, 4, false, OK, 8, 8, 1, 4, NULL },
        { "shards", 32, 8, 4, DETERMINISM_WORLD, 1, 2, true, OK, 16, 16, 4, 4, NULL },
        { "shards under run", 32, 4, 8, DETERMINISM_RUN, 1, 2, true, OK, 16, 16, 2, 8, NULL },
        { "other than shards", 24, 2, 12, DETERMINISM_RUN, 2, 3, false, OK, 16, 8, 1, 8, NULL },
        { "too few shards", 32, 2, 16, DETERMINISM_WORLD, 0, 4, false, CONFIG, 0, 0, 0, 0,
          "Set train.shards to 4" },
        { "odd shards", 24, 4, 6, DETERMINISM_WORLD, 0, 3, false, CONFIG, 0, 0, 0, 0,
          "Set train.shards to 6" },
        { "coupled rows", 32, 1, 32, DETERMINISM_RUN, 0, 2, true, CONFIG, 0, 0, 0, 0,
          "Set train.shards to 2" },
        { "more ranks than rows", 4, 1, 4, DETERMINISM_RUN, 0, 8, false, CONFIG, 0, 0, 0, 0,
          "a batch that 8 divides: 8" },
        { "not divisible", 30, 1, 30, DETERMINISM_RUN, 0, 4, false, CONFIG, 0, 0, 0, 0,
          "a batch that 4 divides: 32" },
        { "passes do not fit", 32, 1, 32, DETERMINISM_RUN, 0, 2, false, OK, 0, 16, 1, 16, NULL },
        { "passes cross ranks", 24, 1, 8, DETERMINISM_RUN, 0, 2, false, CONFIG, 0, 0, 0, 0,
          "micro_batch that divides" },
    };
    struct small small;
    struct experiment experiment;
    small_open(&small);
    small_experiment(&small, &experiment, NULL,
                     "  epochs: 1\n  batch: 16\n  optimizer: {sgd: {lr: 0.1}}\n");
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        struct err err = { 0 };
        struct share share = { 0 };
        experiment.batch = rows[r].batch;
        experiment.shards = rows[r].shards;
        experiment.micro_batch = rows[r].micro;
        experiment.determinism = rows[r].determinism;
        enum code code = share_of(&share, &experiment, rows[r].rank, rows[r].ranks, rows[r].couples,
                                  &err);
        cr_expect_eq(code, rows[r].code, "%s: %s", rows[r].name, err.message);
        if (code) {
            cr_expect(strstr(err.hint, rows[r].says), "%s: %s", rows[r].name, err.hint);
            continue;
        }
        cr_expect(share.first == rows[r].first && share.rows == rows[r].rows &&
                      share.groups == rows[r].groups && share.micro == rows[r].cut,
                  "%s: [%d, +%d), %d of %d", rows[r].name, (int)share.first, (int)share.rows,
                  share.groups, (int)share.micro);
    }
    small_close(&small);
}
