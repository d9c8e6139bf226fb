/* scores.h5: written column by column, read back with every check before a number is used.
 *
 * The reader knows from the suite which columns there must be; what is missing, has another length,
 * lies out of range or is not known is damage. */
#include "base/h5.h"
#include "eval/scores_columns.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const task_texts[] = { [TASK_CLASSIFICATION] = "classification",
                                          [TASK_REGRESSION] = "regression",
                                          [TASK_TOKENS] = "tokens" };
enum { TASK_TEXTS = sizeof task_texts / sizeof *task_texts };

struct transfer {
    struct h5 *h5;
    struct scores *scores;
    const char *path;
    enum code code; /* the first failure; the rest is skipped */
    struct err *err;
    size_t expected; /* columns met */
};

static void *write_column(void *context, const struct score_column *column)
{
    struct transfer *transfer = context;
    uint64_t dim[2] = { (uint64_t)transfer->scores->n, (uint64_t)column->width };
    if (!transfer->code)
        transfer->code = h5_write(transfer->h5, column->name, column->type, column->matrix ? 2 : 1,
                                  dim, column->at, transfer->err);
    return column->at;
}

static const char *measurement_path(struct arena *arena, const struct measurement *measurement)
{
    return measurement->batch ? arena_format(arena, "/system/%s_%lld", measurement->metric->name,
                                             (long long)measurement->batch)
                              : arena_format(arena, "/system/%s", measurement->metric->name);
}

static enum code write_measurements(struct h5 *h5, const struct scores *scores, struct arena *arena,
                                    struct err *err)
{
    for (size_t i = 0; i < scores->measurement_count; i++) {
        const struct measurement *measurement = &scores->measurements[i];
        uint64_t count = (uint64_t)measurement->count;
        const char *group = measurement_path(arena, measurement);
        int64_t *run = ARENA_ARRAY(arena, count + 1, int64_t);
        for (uint64_t r = 0; r < count; r++) run[r] = (int64_t)r;
        TRY(h5_write(h5, arena_format(arena, "%s/run", group), H5_I64, 1, &count, run, err));
        TRY(h5_write(h5, arena_format(arena, "%s/sample", group), H5_F64, 1, &count,
                     measurement->sample, err));
    }
    return OK;
}

static enum code write_header(struct h5 *h5, const struct scores *scores, struct err *err)
{
    double shape[] = { (double)scores->n, (double)scores->classes, (double)scores->width };
    TRY(h5_set_text(h5, "/", "pawl", "scores/1", err));
    TRY(h5_set_text(h5, "/", "task", task_texts[scores->task], err));
    return h5_set_reals(h5, "/", "shape", shape, 3, err);
}

enum code scores_write(const struct scores *scores, const char *path, struct err *err)
{
    struct h5 h5 = { 0 };
    struct scores copy = *scores;
    copy.arena = (struct arena){ 0 };
    struct transfer transfer = { .h5 = &h5, .scores = &copy, .path = path, .err = err };
    enum code code = h5_create(&h5, path, err);
    if (code) goto out;
    if ((code = write_header(&h5, scores, err))) goto out;
    scores_each_column(&copy, write_column, &transfer);
    if ((code = transfer.code)) goto out;
    if ((code = write_measurements(&h5, scores, &copy.arena, err))) goto out;
    code = h5_publish(&h5, err);
out:
    h5_close(&h5);
    arena_release(&copy.arena);
    return code;
}

static enum code check_shape(struct transfer *transfer, const struct score_column *column)
{
    struct h5_info info;
    const struct scores *scores = transfer->scores;
    if (!h5_has(transfer->h5, column->name))
        return err_set(transfer->err, DAMAGED, "'%s' has no column '%s'", transfer->path,
                       column->name);
    TRY(h5_info(transfer->h5, column->name, &info, transfer->err));
    uint64_t numbers = 1;
    for (int d = 1; d < info.rank; d++) numbers *= info.dim[d];
    if (info.rank < 1 || info.type != column->type || numbers != (uint64_t)column->width)
        return err_set(transfer->err, DAMAGED, "column '%s' of '%s' has another type or shape",
                       column->name, transfer->path);
    if (info.dim[0] != (uint64_t)scores->n)
        return err_set(transfer->err, DAMAGED, "column '%s' of '%s' has %llu rows, not %lld",
                       column->name, transfer->path, (unsigned long long)info.dim[0],
                       (long long)scores->n);
    return OK;
}

static void *read_column(void *context, const struct score_column *column)
{
    struct transfer *transfer = context;
    size_t size = h5_type_size(column->type) * (size_t)transfer->scores->n * (size_t)column->width;
    transfer->expected++;
    if (!transfer->code) transfer->code = check_shape(transfer, column);
    if (!transfer->code)
        transfer->code = h5_read(transfer->h5, column->name, column->type, column->at, size,
                                 transfer->err);
    return column->at;
}

static enum code count_columns(struct h5 *h5, struct arena *arena, const char *group, int depth,
                               size_t *count, struct err *err)
{
    char **names;
    size_t found;
    TRY(h5_list(h5, arena, &names, &found, group, err));
    for (size_t i = 0; i < found; i++) {
        const char *path = arena_format(arena, "%s/%s", strcmp(group, "/") == 0 ? "" : group,
                                        names[i]);
        struct h5_info info;
        struct err ignored;
        if (h5_info(h5, path, &info, &ignored) == OK)
            ++*count;
        else if (depth < 4)
            TRY(count_columns(h5, arena, path, depth + 1, count, err));
    }
    return OK;
}

static enum code read_measurements(struct h5 *h5, struct scores *scores, const char *path,
                                   struct err *err)
{
    struct arena *arena = &scores->arena;
    for (size_t i = 0; i < scores->measurement_count; i++) {
        struct measurement *measurement = &scores->measurements[i];
        const char *name = arena_format(arena, "%s/sample", measurement_path(arena, measurement));
        struct h5_info info;
        if (!h5_has(h5, name))
            return err_set(err, DAMAGED, "'%s' has no measurement '%s'", path, name);
        TRY(h5_info(h5, name, &info, err));
        if (info.rank != 1 || info.type != H5_F64 || info.dim[0] > 100000000)
            return err_set(err, DAMAGED, "measurement '%s' of '%s' has another shape", name, path);
        measurement->count = (int64_t)info.dim[0];
        measurement->sample = ARENA_ARRAY(arena, info.dim[0] + 1, double);
        TRY(h5_read(h5, name, H5_F64, measurement->sample,
                    (size_t)measurement->count * sizeof(double), err));
        for (int64_t s = 0; s < measurement->count; s++)
            if (!(measurement->sample[s] >= 0) || isinf(measurement->sample[s]))
                return err_set(err, DAMAGED, "measurement '%s' of '%s' has %g at %lld", name, path,
                               measurement->sample[s], (long long)s);
    }
    return OK;
}

static int compare_ids(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static enum code check_ids(const struct scores *scores, const char *path, struct err *err)
{
    void *memory = NULL;
    size_t size = (size_t)scores->n * sizeof(int64_t);
    TRY(block_alloc(&memory, size + 1, "row numbers", err));
    int64_t *sorted = memory;
    memcpy(sorted, scores->id, size);
    qsort(sorted, (size_t)scores->n, sizeof *sorted, compare_ids);
    enum code code = OK;
    for (int64_t i = 1; i < scores->n && !code; i++)
        if (sorted[i] == sorted[i - 1])
            code = err_set(err, DAMAGED, "'%s' has row %lld twice", path, (long long)sorted[i]);
    block_free(memory);
    return code;
}

static enum code out_of_range(const char *path, const char *column, int64_t row, double value,
                              struct err *err)
{
    return err_set(err, DAMAGED, "column '%s' of '%s' has %g in row %lld, which is out of range",
                   column, path, value, (long long)row);
}

static bool is_share(float value)
{
    return isnan(value) || (value >= 0 && value <= 1);
}

static enum code check_guesses(const struct scores *scores, const struct subject *subject,
                               const char *path, struct err *err)
{
    for (int64_t i = 0; i < scores->n; i++) {
        int32_t prediction = subject->prediction[i];
        if (prediction < -1 || prediction >= scores->classes)
            return out_of_range(path, "prediction", i, prediction, err);
        if (subject->hard) continue;
        if (!is_share(subject->label_probability[i]))
            return out_of_range(path, "label_probability", i, (double)subject->label_probability[i],
                                err);
        if (!is_share(subject->confidence[i]))
            return out_of_range(path, "confidence", i, (double)subject->confidence[i], err);
    }
    return OK;
}

/* Scores that contradict the row they belong to are damage, too. */
static enum code check_scores(const struct scores *scores, const struct subject *subject,
                              const char *path, struct err *err)
{
    for (size_t k = 0; k < scores->kind_count; k++) {
        const struct metric *metric = scores->kinds[k].metric;
        bool share = metric->statistic == STATISTIC_PROPORTION;
        if (!subject->score[k]) continue;
        for (int64_t i = 0; i < scores->n; i++) {
            double score = subject->score[k][i];
            bool fine = isnan(score) || (share ? score == 0 || score == 1 : score >= 0);
            if (!fine) return out_of_range(path, metric->name, i, score, err);
            if (strcmp(metric->name, "accuracy") != 0) continue;
            bool none = subject->prediction[i] < 0;
            if (none != isnan(score) ||
                (!none && (score == 1) != (subject->prediction[i] == scores->label[i])))
                return err_set(err, DAMAGED,
                               "row %lld of '%s' contradicts itself: score %g, label %d, "
                               "prediction %d",
                               (long long)i, path, score, scores->label[i], subject->prediction[i]);
        }
    }
    return OK;
}

/* A row without a guess has no probabilities, every other one has them all. */
static enum code check_probabilities(const struct scores *scores, const struct subject *subject,
                                     const char *path, struct err *err)
{
    for (int64_t i = 0; i < scores->n; i++) {
        double sum = 0;
        for (int64_t c = 0; c < scores->classes; c++) {
            float share = subject->probability[i * scores->classes + c];
            if (!is_share(share) || isnan(share) != (subject->prediction[i] < 0))
                return out_of_range(path, "probability", i, (double)share, err);
            sum += (double)share;
        }
        if (!isnan(sum) && fabs(sum - 1) > 1e-3)
            return err_set(err, DAMAGED, "the probabilities of row %lld of '%s' add up to %.6g",
                           (long long)i, path, sum);
    }
    return OK;
}

static enum code check_tokens(const struct scores *scores, const struct subject *subject,
                              const char *path, struct err *err)
{
    for (int64_t i = 0; i < scores->n; i++) {
        double tokens = subject->tokens[i], bytes = subject->bytes ? subject->bytes[i] : 0,
               correct = subject->correct ? subject->correct[i] : 0;
        if (!(subject->nll[i] >= 0) && !isnan(subject->nll[i]))
            return out_of_range(path, "nll", i, subject->nll[i], err);
        if (!(tokens >= 0 && isfinite(tokens))) return out_of_range(path, "tokens", i, tokens, err);
        if (!(bytes >= 0 && isfinite(bytes))) return out_of_range(path, "bytes", i, bytes, err);
        if (!(correct >= 0 && correct <= tokens))
            return out_of_range(path, "correct", i, correct, err);
    }
    return OK;
}

static enum code check_values(const struct scores *scores, const char *path, struct err *err)
{
    TRY(check_ids(scores, path, err));
    for (int64_t i = 0; scores->label && i < scores->n; i++)
        if (scores->label[i] < 0 || scores->label[i] >= scores->classes)
            return out_of_range(path, "label", i, scores->label[i], err);
    for (int64_t i = 0; scores->target && i < scores->n * scores->width; i++)
        if (!isfinite(scores->target[i]))
            return out_of_range(path, "target", i / scores->width, (double)scores->target[i], err);
    for (size_t s = 0; s < scores->slice_count; s++)
        for (int64_t i = 0; i < scores->n; i++)
            if (scores->slices[s].in[i] > 1)
                return out_of_range(path, scores->slices[s].name, i, scores->slices[s].in[i], err);
    for (size_t s = 0; s < scores->subject_count * scores->condition_count; s++) {
        const struct subject *subject = &scores->subjects[s];
        if (subject->missing) continue;
        if (subject->prediction) TRY(check_guesses(scores, subject, path, err));
        if (subject->probability) TRY(check_probabilities(scores, subject, path, err));
        if (subject->tokens) TRY(check_tokens(scores, subject, path, err));
        TRY(check_scores(scores, subject, path, err));
    }
    return OK;
}

static enum code read_header(struct h5 *h5, struct scores_shape *shape, const char *path,
                             struct err *err)
{
    struct arena arena = { 0 };
    char *kind, *task;
    double *numbers;
    size_t count = 0;
    enum code code = h5_get_text(h5, &arena, "/", "pawl", &kind, err);
    if (!code && strcmp(kind, "scores/1") != 0)
        code = err_set(err, DAMAGED, "cannot read '%s': it is '%s', not scores/1", path, kind);
    if (!code) code = h5_get_text(h5, &arena, "/", "task", &task, err);
    if (!code) code = h5_get_reals(h5, &arena, "/", "shape", &numbers, &count, err);
    if (!code && count != 3)
        code = err_set(err, DAMAGED, "cannot read '%s': its shape has %zu numbers", path, count);
    for (size_t i = 0; !code && i < 3; i++)
        if (!(numbers[i] >= 0 && numbers[i] <= 2e9 && numbers[i] == floor(numbers[i])))
            code = err_set(err, DAMAGED, "cannot read '%s': its shape holds %g", path, numbers[i]);
    if (!code) {
        int found = 0;
        while (found < TASK_TEXTS && strcmp(task, task_texts[found]) != 0) found++;
        *shape = (struct scores_shape){ .task = (enum task)found,
                                        .n = (int64_t)numbers[0],
                                        .classes = (int64_t)numbers[1],
                                        .width = (int64_t)numbers[2],
                                        .clusters = h5_has(h5, "/cluster"),
                                        .bytes = h5_has(h5, "/candidate/clean/bytes"),
                                        .correct = h5_has(h5, "/candidate/clean/correct") };
        if (found == TASK_TEXTS)
            code = err_set(err, DAMAGED, "cannot read '%s': its task is '%s'", path, task);
        else if (found == TASK_CLASSIFICATION ? shape->classes < 1
                                              : found == TASK_REGRESSION && shape->width < 1)
            code = err_set(err, DAMAGED, "cannot read '%s': it has no outputs", path);
    }
    arena_release(&arena);
    return code;
}

/* What the file has of each subject under each condition. The candidate's own answers must be
 * there: without them its columns are missed below. */
static enum presence *find_presence(struct arena *arena, struct h5 *h5, const struct suite *suite)
{
    size_t subjects = 1 + suite->baseline_count, conditions = 1 + suite->perturb_count;
    enum presence *presence = ARENA_ARRAY(arena, subjects * conditions, enum presence);
    for (size_t i = 0; i < subjects * conditions; i++) {
        const char *condition = i < subjects ? "clean" : suite->perturbs[i / subjects - 1].name;
        const char *group = arena_format(arena, "%s/%s", scores_group(arena, i % subjects),
                                         condition);
        const char *guess = arena_format(arena, "%s/prediction", group);
        const char *share = arena_format(arena, "%s/confidence", group);
        if (!h5_has(h5, group))
            presence[i] = i ? SUBJECT_MISSING : SUBJECT_WHOLE;
        else if (h5_has(h5, guess) && !h5_has(h5, share))
            presence[i] = SUBJECT_HARD;
    }
    return presence;
}

enum code scores_read(struct scores *scores, const struct suite *suite, const char *path,
                      struct err *err)
{
    struct h5 h5 = { 0 };
    struct arena arena = { 0 };
    struct scores_shape shape;
    size_t found = 0;
    *scores = (struct scores){ 0 };
    enum code code = h5_open(&h5, path, err);
    if (code == NOT_FOUND)
        code = err_set(err, DAMAGED, "'%s' is missing: the report is not whole", path);
    if (code) goto out;
    struct transfer transfer = { .h5 = &h5, .scores = scores, .path = path, .err = err };
    if ((code = read_header(&h5, &shape, path, err))) goto out;
    if ((code = scores_init(scores, suite, &shape, find_presence(&arena, &h5, suite), err)))
        goto out;
    scores_each_column(scores, read_column, &transfer);
    if ((code = transfer.code)) goto out;
    if ((code = read_measurements(&h5, scores, path, err))) goto out;
    if ((code = count_columns(&h5, &arena, "/", 0, &found, err))) goto out;
    if (found != transfer.expected + 2 * scores->measurement_count) {
        code = err_set(err, DAMAGED, "'%s' has %zu columns, its suite asks for %zu", path, found,
                       transfer.expected + 2 * scores->measurement_count);
        goto out;
    }
    code = check_values(scores, path, err);
out:
    if (code) scores_release(scores);
    arena_release(&arena);
    h5_close(&h5);
    return code;
}
