/* Bootstrap of metrics over all rows together: alone, against a baseline, between slices.
 *
 * A metric of label and prediction alone is computed on the distinct rows with how often each
 * occurs, so a resample costs as much as there are distinct rows. */
#include "base/arena.h"
#include "eval/method_run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CELLS_MOST = 1024, CLASS_BITS = 20 };

struct corpus {
    void *memory;
    const struct metric *metric;
    struct outcomes outcomes, others;
    bool paired;
    const uint8_t *first, *second;
    double sign, scale;
    struct weights_call call;
    int32_t *cluster;  /* [n] */
    int32_t *order[2]; /* of the candidate, the baseline */
    int64_t *share;    /* [cells] */
    int32_t *cell[3];  /* label and predictions of the cells */
    uint8_t *in[2];    /* membership of the cells */
    uint64_t *keys;    /* [n] while cells are counted */
};

/* The metric of one slice: rows outside it count nothing. */
static double of_slice(const struct corpus *corpus, const uint8_t *in, const int32_t *weight,
                       double *scratch)
{
    int32_t *masked = (int32_t *)(void *)(scratch + metric_scratch(&corpus->outcomes));
    for (int64_t i = 0; i < corpus->outcomes.n; i++) masked[i] = in[i] ? weight ? weight[i] : 1 : 0;
    return corpus->metric->corpus(&corpus->outcomes, masked, scratch);
}

static double corpus_value(const void *context, const int32_t *weight, double *scratch)
{
    const struct corpus *corpus = context;
    const struct metric *metric = corpus->metric;
    if (corpus->first)
        return of_slice(corpus, corpus->first, weight, scratch) -
               of_slice(corpus, corpus->second, weight, scratch);
    double value = metric->corpus(&corpus->outcomes, weight, scratch);
    if (!corpus->paired) return value;
    return corpus->sign *
           (value - corpus->scale * metric->corpus(&corpus->others, weight, scratch));
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Counts the distinct rows; false when there are too many to be worth it. */
static bool find_cells(struct corpus *corpus, const struct sample *sample)
{
    int64_t n = sample->n, cells = 0;
    if (!corpus->metric->by_cells || sample->cluster) return false;
    if (corpus->outcomes.classes >= 1 << CLASS_BITS) return false;
    for (int64_t i = 0; i < n; i++) {
        uint64_t key = (uint64_t)corpus->outcomes.label[i];
        key = key << CLASS_BITS | (uint64_t)corpus->outcomes.prediction[i];
        key = key << CLASS_BITS | (corpus->paired ? (uint64_t)corpus->others.prediction[i] : 0);
        key = key << 1 | (sample->first && sample->first[i]);
        corpus->keys[i] = key << 1 | (sample->second && sample->second[i]);
    }
    qsort(corpus->keys, (size_t)n, sizeof *corpus->keys, compare);
    for (int64_t i = 0; i < n; i++) {
        if (i && corpus->keys[i] == corpus->keys[i - 1]) {
            corpus->share[cells - 1]++;
            continue;
        }
        if (cells == CELLS_MOST) return false;
        uint64_t key = corpus->keys[i], mask = ((uint64_t)1 << CLASS_BITS) - 1;
        corpus->in[1][cells] = key & 1;
        corpus->in[0][cells] = key >> 1 & 1;
        corpus->cell[2][cells] = (int32_t)(key >> 2 & mask);
        corpus->cell[1][cells] = (int32_t)(key >> (2 + CLASS_BITS) & mask);
        corpus->cell[0][cells] = (int32_t)(key >> (2 + 2 * CLASS_BITS));
        corpus->share[cells++] = 1;
    }
    struct outcomes small = corpus->outcomes;
    small.n = cells;
    small.label = corpus->cell[0];
    small.prediction = corpus->cell[1];
    corpus->outcomes = corpus->others = small;
    corpus->others.prediction = corpus->cell[2];
    if (sample->first) {
        corpus->first = corpus->in[0];
        corpus->second = corpus->in[1];
    }
    corpus->call.rows = cells;
    corpus->call.share = corpus->share;
    return true;
}

static enum code sort_rows(struct corpus *corpus, struct err *err)
{
    if (corpus->metric->order == ORDER_NONE) return OK;
    TRY(metric_orders(corpus->metric, corpus->order[0], &corpus->outcomes, err));
    if (corpus->paired) TRY(metric_orders(corpus->metric, corpus->order[1], &corpus->others, err));
    corpus->outcomes.order = corpus->order[0];
    corpus->others.order = corpus->order[1];
    return OK;
}

/* Divides one block: orders and cluster numbers, or cells. */
static enum code take(struct corpus *corpus, const struct sample *sample, struct err *err)
{
    size_t n = (size_t)sample->n;
    size_t lists = (size_t)metric_order_lists(sample->metric, sample->outcomes);
    size_t keys = sample->metric->by_cells ? n : 0;
    TRY(block_alloc(&corpus->memory,
                    keys * sizeof(uint64_t) + CELLS_MOST * (sizeof(int64_t) + 3 * sizeof(int32_t)) +
                        2 * CELLS_MOST + (2 * lists + 1) * n * sizeof(int32_t),
                    "rows of a metric", err));
    corpus->keys = corpus->memory;
    corpus->share = (int64_t *)(void *)(corpus->keys + keys);
    int32_t *at = (int32_t *)(void *)(corpus->share + CELLS_MOST);
    for (int i = 0; i < 3; i++, at += CELLS_MOST) corpus->cell[i] = at;
    for (int i = 0; i < 2; i++, at += lists * n) corpus->order[i] = at;
    corpus->cluster = at;
    corpus->in[0] = (uint8_t *)(corpus->cluster + n);
    corpus->in[1] = corpus->in[0] + CELLS_MOST;
    return OK;
}

static enum code draw_corpus(struct bootstrap *bootstrap, const void *context,
                             const struct resample_opts *opts, struct err *err)
{
    const struct corpus *corpus = context;
    return bootstrap_weights(bootstrap, &corpus->call, opts, err);
}

METHOD_RUN(run_corpus)
{
    answer_open(answer, NAN);
    if (!metric_has_columns(sample->metric, sample->outcomes, sample->others)) return OK;
    struct corpus corpus = {
        .metric = sample->metric,
        .outcomes = *sample->outcomes,
        .paired = sample->others,
        .first = sample->first,
        .second = sample->second,
        .sign = method_sign(sample->metric),
        .scale = question_scale(question),
    };
    if (sample->others) corpus.others = *sample->others;
    corpus.call = (struct weights_call){ .value = corpus_value,
                                         .context = &corpus,
                                         .rows = sample->n,
                                         .percentile = sample->metric->biased,
                                         .scratch = metric_scratch(sample->outcomes) +
                                                    (sample->first ? (size_t)sample->n : 0) };
    TRY(take(&corpus, sample, err));
    enum code code = OK;
    if (sample->cluster) {
        corpus.call.cluster = corpus.cluster;
        code = cluster_numbers(corpus.cluster, &corpus.call.clusters, sample, err);
    }
    if (!code && !find_cells(&corpus, sample)) code = sort_rows(&corpus, err);
    if (!code)
        code = answer_resampled(answer, sample, question, &(struct drawing){ draw_corpus, &corpus },
                                err);
    block_free(corpus.memory);
    return code;
}
