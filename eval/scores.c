/* Scores in memory: one block for all columns, filled row by row. */
#include "eval/scores.h"

#include "eval/scores_columns.h"

#include <math.h>
#include <string.h>

static void add_kind(struct scores *scores, const struct metric *metric, int64_t k)
{
    if (scores_kind(scores, metric, k) >= 0) return;
    scores->kinds[scores->kind_count++] = (struct score_kind){ metric, k };
}

/* Every per-example metric of the task; top_k only for the k that gates name. */
static void choose_kinds(struct scores *scores, const struct suite *suite)
{
    scores->kinds = ARENA_ARRAY(&scores->arena, metric_count + suite->gate_count,
                                struct score_kind);
    for (size_t i = 0; i < metric_count; i++) {
        const struct metric *metric = &metrics[i];
        if (!metric->score || !(metric->fits & 1u << scores->task)) continue;
        if (!metric->takes_k) add_kind(scores, metric, 0);
        for (size_t g = 0; metric->takes_k && g < suite->gate_count; g++)
            if (suite->gates[g].metric == metric) add_kind(scores, metric, suite->gates[g].k);
    }
}

int scores_kind(const struct scores *scores, const struct metric *metric, int64_t k)
{
    for (size_t i = 0; i < scores->kind_count; i++)
        if (scores->kinds[i].metric == metric && scores->kinds[i].k == k) return (int)i;
    return -1;
}

const struct measurement *scores_measurement(const struct scores *scores,
                                             const struct metric *metric, int64_t batch)
{
    for (size_t i = 0; i < scores->measurement_count; i++)
        if (scores->measurements[i].metric == metric && scores->measurements[i].batch == batch)
            return &scores->measurements[i];
    return NULL;
}

/* The system metrics that gates name, each (metric, batch) once; weights_bytes always. */
static void choose_measurements(struct scores *scores, const struct suite *suite)
{
    scores->measurements = ARENA_ARRAY(&scores->arena, suite->gate_count + 1, struct measurement);
    scores->measurements[scores->measurement_count++] =
        (struct measurement){ .metric = metric_find("weights_bytes") };
    for (size_t g = 0; g < suite->gate_count; g++) {
        const struct gate *gate = &suite->gates[g];
        enum statistic statistic = gate->metric->statistic;
        if (statistic != STATISTIC_SYSTEM && statistic != STATISTIC_EXACT) continue;
        if (scores_measurement(scores, gate->metric, gate->batch)) continue;
        scores->measurements[scores->measurement_count++] =
            (struct measurement){ .metric = gate->metric, .batch = gate->batch };
    }
}

static void each_of_subject(struct scores *scores, size_t index, scores_visit visit, void *context)
{
    struct arena *arena = &scores->arena;
    struct subject *subject = &scores->subjects[index];
    const char *group = arena_format(
        arena, "%s/%s", scores_group(arena, index % scores->subject_count), subject->condition);
    struct score_column column = { .width = 1 };
    bool tokens = (int)scores->task == TASK_TOKENS;
#define VISIT(member, column_name, column_type)                                                    \
    do {                                                                                           \
        column.name = arena_format(arena, "%s/%s", group, column_name);                            \
        column.type = column_type;                                                                 \
        column.at = member;                                                                        \
        member = visit(context, &column);                                                          \
    } while (0)
    if (scores->task == TASK_CLASSIFICATION) {
        VISIT(subject->prediction, "prediction", H5_I32);
        if (!subject->hard) {
            VISIT(subject->label_probability, "label_probability", H5_F32);
            VISIT(subject->confidence, "confidence", H5_F32);
        }
        column.width = scores->classes;
        column.matrix = true;
        if (scores->probabilities && !subject->hard)
            VISIT(subject->probability, "probability", H5_F32);
    } else if (tokens) {
        VISIT(subject->nll, "nll", H5_F64);
        VISIT(subject->tokens, "tokens", H5_F64);
        if (scores->bytes) VISIT(subject->bytes, "bytes", H5_F64);
        if (scores->correct) VISIT(subject->correct, "correct", H5_F64);
    } else {
        column.width = scores->width;
        column.matrix = true;
        VISIT(subject->predicted, "predicted", H5_F32);
    }
    column.width = 1;
    column.matrix = false;
    for (size_t k = 0; k < scores->kind_count; k++) {
        const struct score_kind *kind = &scores->kinds[k];
        if (subject->hard && strcmp(kind->metric->name, "accuracy") != 0) continue;
        const char *name = kind->k ? arena_format(arena, "score/%s_%lld", kind->metric->name,
                                                  (long long)kind->k)
                                   : arena_format(arena, "score/%s", kind->metric->name);
        VISIT(subject->score[k], name, H5_F64);
    }
#undef VISIT
}

void scores_each_column(struct scores *scores, scores_visit visit, void *context)
{
    struct score_column column = { "/id", H5_I64, 1, scores->id, false };
    scores->id = visit(context, &column);
    if (scores->task == TASK_CLASSIFICATION) {
        column = (struct score_column){ "/label", H5_I32, 1, scores->label, false };
        scores->label = visit(context, &column);
    } else if ((int)scores->task != TASK_TOKENS) {
        column = (struct score_column){ "/target", H5_F32, scores->width, scores->target, true };
        scores->target = visit(context, &column);
    }
    if (scores->clusters) {
        column = (struct score_column){ "/cluster", H5_I64, 1, scores->cluster, false };
        scores->cluster = visit(context, &column);
    }
    for (size_t i = 0; i < scores->slice_count; i++) {
        const char *name = arena_format(&scores->arena, "/slice/%s", scores->slices[i].name);
        column = (struct score_column){ name, H5_U8, 1, scores->slices[i].in, false };
        scores->slices[i].in = visit(context, &column);
    }
    for (size_t i = 0; i < scores->subject_count * scores->condition_count; i++)
        if (!scores->subjects[i].missing) each_of_subject(scores, i, visit, context);
}

const char *scores_group(struct arena *arena, size_t subject)
{
    return subject == 0 ? "/candidate" : arena_format(arena, "/baseline_%zu", subject);
}

struct placing {
    int64_t n;
    size_t size;
    char *memory; /* NULL: only adding up */
};

static void *place(void *context, const struct score_column *column)
{
    struct placing *placing = context;
    size_t bytes = h5_type_size(column->type) * (size_t)placing->n * (size_t)column->width;
    char *at = placing->memory ? placing->memory + placing->size : NULL;
    placing->size += (bytes + 63) / 64 * 64;
    return at;
}

/* Every subject under every condition. */
static void line_up(struct scores *scores, const struct suite *suite, const enum presence *presence)
{
    struct arena *arena = &scores->arena;
    size_t all;
    scores->condition_count = 1 + suite->perturb_count;
    scores->conditions = ARENA_ARRAY(arena, scores->condition_count, const char *);
    for (size_t c = 0; c < scores->condition_count; c++)
        scores->conditions[c] = c ? arena_copy(arena, suite->perturbs[c - 1].name) : "clean";
    scores->subject_count = 1 + suite->baseline_count;
    all = scores->subject_count * scores->condition_count;
    scores->subjects = ARENA_ARRAY(arena, all, struct subject);
    for (size_t i = 0; i < all; i++) {
        struct subject *subject = &scores->subjects[i];
        size_t who = i % scores->subject_count;
        subject->name = who ? arena_copy(arena, suite->baselines[who - 1]) : "candidate";
        subject->condition = scores->conditions[i / scores->subject_count];
        subject->missing = presence && presence[i] == SUBJECT_MISSING;
        subject->hard = presence && presence[i] == SUBJECT_HARD;
        subject->score = ARENA_ARRAY(arena, scores->kind_count, double *);
    }
}

struct subject *scores_subject(const struct scores *scores, size_t subject, size_t condition)
{
    return &scores->subjects[condition * scores->subject_count + subject];
}

struct subject *scores_under(const struct scores *scores, size_t subject, const char *condition)
{
    for (size_t c = 0; c < scores->condition_count; c++)
        if (!condition || strcmp(scores->conditions[c], condition) == 0)
            return scores_subject(scores, subject, c);
    return NULL;
}

enum code scores_init(struct scores *scores, const struct suite *suite,
                      const struct scores_shape *shape, const enum presence *presence,
                      struct err *err)
{
    *scores = (struct scores){ .task = shape->task,
                               .n = shape->n,
                               .classes = shape->classes,
                               .width = shape->width,
                               .bytes = shape->bytes,
                               .correct = shape->correct,
                               .clusters = shape->clusters };
    struct arena *arena = &scores->arena;
    for (size_t g = 0; g < suite->gate_count; g++)
        if (suite->gates[g].metric->needs & NEEDS_PROBABILITIES) scores->probabilities = true;
    choose_kinds(scores, suite);
    choose_measurements(scores, suite);
    scores->slice_count = suite->slice_count;
    scores->slices = ARENA_ARRAY(arena, suite->slice_count, struct membership);
    for (size_t i = 0; i < suite->slice_count; i++)
        scores->slices[i].name = arena_copy(arena, suite->slices[i].name);
    line_up(scores, suite, presence);
    struct placing placing = { .n = scores->n };
    scores_each_column(scores, place, &placing);
    enum code code = block_alloc(&scores->memory, placing.size + 64, "scores", err);
    if (code) {
        scores_release(scores);
        return code;
    }
    placing = (struct placing){ .n = scores->n, .memory = scores->memory };
    scores_each_column(scores, place, &placing);
    return OK;
}

void scores_release(struct scores *scores)
{
    block_free(scores->memory);
    arena_release(&scores->arena);
    *scores = (struct scores){ 0 };
}

struct digesting {
    struct sha256 sha;
    int64_t n;
};

static void *add_to_digest(void *context, const struct score_column *column)
{
    struct digesting *digesting = context;
    struct arena arena = { 0 };
    const char *head = arena_format(&arena, "%s %d %lld %lld\n", column->name, (int)column->type,
                                    (long long)digesting->n, (long long)column->width);
    sha256_add(&digesting->sha, head, strlen(head));
    sha256_add(&digesting->sha, column->at,
               h5_type_size(column->type) * (size_t)digesting->n * (size_t)column->width);
    arena_release(&arena);
    return column->at;
}

struct digest scores_digest(const struct scores *scores)
{
    /* Visiting changes nothing but the arena of column names. */
    struct scores copy = *scores;
    copy.arena = (struct arena){ 0 };
    struct digesting digesting = { .n = scores->n };
    struct digest digest;
    sha256_begin(&digesting.sha);
    scores_each_column(&copy, add_to_digest, &digesting);
    sha256_end(&digesting.sha, &digest);
    arena_release(&copy.arena);
    return digest;
}

struct digest scores_measured_digest(const struct scores *scores)
{
    struct sha256 sha;
    struct digest digest;
    struct arena arena = { 0 };
    sha256_begin(&sha);
    for (size_t i = 0; i < scores->measurement_count; i++) {
        const struct measurement *measurement = &scores->measurements[i];
        const char *head = arena_format(&arena, "%s %lld %lld\n", measurement->metric->name,
                                        (long long)measurement->batch,
                                        (long long)measurement->count);
        sha256_add(&sha, head, strlen(head));
        sha256_add(&sha, measurement->sample, (size_t)measurement->count * sizeof(double));
    }
    sha256_end(&sha, &digest);
    arena_release(&arena);
    return digest;
}
