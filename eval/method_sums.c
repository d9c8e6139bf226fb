/* Means, ratios, their gains and gaps: all functions of at most four sums over rows or clusters. */
#include "base/arena.h"
#include "eval/method_run.h"

#include <math.h>
#include <string.h>

/* Above this many rows sign flips tell nothing that the normal limit does not. */
enum { FLIP_ROWS = 100000, FLIPS = 2000 };

struct parts {
    void *memory;
    double *part;   /* [units, columns] */
    int32_t *index; /* [n] cluster numbers */
    int64_t units;
    int columns;
    double sign, scale;
    const struct metric *metric;
    double (*value)(const void *context, const double *sum, double units);
    bool finite;
};

static double mean_of(const void *context, const double *sum, double units)
{
    (void)context;
    return sum[0] / units;
}

/* Nothing below the line counts as nothing above it. */
static double ratio_of(const struct parts *parts, const double *sum)
{
    double ratio = sum[1] > 0 ? sum[0] / sum[1] : 0;
    return parts->metric->finish ? parts->metric->finish(ratio) : ratio;
}

static double one_ratio(const void *context, const double *sum, double units)
{
    (void)units;
    return ratio_of(context, sum);
}

static double ratio_gain(const void *context, const double *sum, double units)
{
    (void)units;
    const struct parts *parts = context;
    return parts->sign * (ratio_of(parts, sum) - parts->scale * ratio_of(parts, sum + 2));
}

static double ratio_gap(const void *context, const double *sum, double units)
{
    (void)units;
    return ratio_of(context, sum) - ratio_of(context, sum + 2);
}

static double mean_gain(const void *context, const double *sum, double units)
{
    (void)units;
    (void)context;
    return sum[0] / sum[1];
}

static bool is_paired(const struct sample *sample)
{
    const struct metric *metric = sample->metric;
    if (metric->score) return sample->other;
    return sample->others && (metric->drop || !(metric->needs & NEEDS_BASELINE));
}

/* Which sums there are, and what is made of them. */
static void choose_shape(struct parts *parts, const struct sample *sample)
{
    bool ratio = sample->metric->statistic == STATISTIC_RATIO, paired = is_paired(sample);
    if (sample->first) {
        parts->columns = 4;
        parts->value = ratio_gap;
    } else if (paired && ratio) {
        parts->columns = 4;
        parts->value = ratio_gain;
    } else if (paired) {
        parts->columns = sample->cluster ? 2 : 1;
        parts->value = sample->cluster ? mean_gain : mean_of;
    } else {
        parts->columns = ratio || sample->cluster ? 2 : 1;
        parts->value = parts->columns == 2 ? one_ratio : mean_of;
    }
}

/* The columns of row i. */
static void row_columns(double column[SUM_COLUMNS], const struct parts *parts,
                        const struct sample *sample, int64_t i)
{
    struct row_part part = sample_part(sample, false, i), other = { 0, 0 };
    column[0] = part.above;
    column[1] = part.below;
    if (sample->first) {
        column[2] = sample->second[i] ? part.above : 0;
        column[3] = sample->second[i] ? part.below : 0;
        if (!sample->first[i]) column[0] = column[1] = 0;
    } else if (is_paired(sample)) {
        other = sample_part(sample, true, i);
        column[2] = other.above;
        column[3] = other.below;
        if (parts->value != ratio_gain)
            column[0] = parts->sign * (part.above - parts->scale * other.above);
    }
}

static enum code make_parts(struct parts *parts, const struct sample *sample,
                            const struct question *question, struct err *err)
{
    size_t n = (size_t)sample->n;
    *parts = (struct parts){ .units = sample->n,
                             .sign = method_sign(sample->metric),
                             .scale = question_scale(question),
                             .metric = sample->metric,
                             .finite = true };
    choose_shape(parts, sample);
    size_t numbers = n * (size_t)parts->columns * sizeof(double);
    enum code code = block_alloc(&parts->memory, numbers + n * sizeof(int32_t), "parts", err);
    if (code) return code;
    parts->part = parts->memory;
    parts->index = (int32_t *)(void *)((char *)parts->memory + numbers);
    if (sample->cluster) code = cluster_numbers(parts->index, &parts->units, sample, err);
    if (code) {
        block_free(parts->memory);
        return code;
    }
    for (int64_t i = 0; i < sample->n; i++) {
        double column[SUM_COLUMNS] = { 0 };
        int64_t unit = sample->cluster ? parts->index[i] : i;
        row_columns(column, parts, sample, i);
        for (int c = 0; c < parts->columns; c++) {
            parts->part[unit * parts->columns + c] += column[c];
            parts->finite = parts->finite && isfinite(column[c]);
        }
    }
    return OK;
}

static enum code draw_sums(struct bootstrap *bootstrap, const void *context,
                           const struct resample_opts *opts, struct err *err)
{
    const struct parts *parts = context;
    struct sums_call call = { .value = parts->value,
                              .context = parts,
                              .part = parts->part,
                              .units = parts->units,
                              .columns = parts->columns };
    return bootstrap_sums(bootstrap, &call, opts, err);
}

METHOD_RUN(run_sums)
{
    struct parts parts;
    TRY(make_parts(&parts, sample, question, err));
    enum code code = OK;
    answer_open(answer, NAN);
    if (parts.finite)
        code = answer_resampled(answer, sample, question, &(struct drawing){ draw_sums, &parts },
                                err);
    bool flip = is_paired(sample) && !sample->cluster && parts.columns == 1 && parts.finite &&
                sample->metric->statistic == STATISTIC_MEAN && sample->n <= FLIP_ROWS;
    if (!code && flip && !answer->degenerate) {
        struct resample_opts opts = {
            .key = sample->seed,
            .count = sample->resamples < FLIPS ? sample->resamples : FLIPS,
            .threads = sample->threads,
        };
        answer->check = stats_sign_flip(parts.part, parts.units, question->bar, question->more,
                                        &opts);
    }
    block_free(parts.memory);
    return code;
}
