/* The distributions of the study.
 *
 * Each is as hard as releases are: shares near 1, skewed losses, a few confident errors, rare
 * classes, clusters that are alike within. An experiment is drawn from its own stream of words, so
 * its rows do not depend on which thread draws them. */
#include "bench/gates/data.h"

#include "base/math.h"
#include "base/rng.h"

#include <math.h>
#include <stdlib.h>

static double uniform(struct words *words)
{
    return words_uniform(words);
}

static double exponential(struct words *words)
{
    return -log(uniform(words));
}

static double normal(struct words *words)
{
    double radius = sqrt(2 * exponential(words));
    return radius * cos(6.283185307179586 * uniform(words));
}

enum code data_take(struct data *data, struct err *err)
{
    size_t rows = DATA_ROWS;
    TRY(block_alloc(&data->memory, rows * 80 + 1024, "an experiment", err));
    double *at = data->memory;
    for (int i = 0; i < 2; i++, at += rows) data->score[i] = at;
    data->tokens = at;
    data->cluster = (int64_t *)(void *)(at + rows);
    data->label = (int32_t *)(void *)(data->cluster + rows);
    float *half = (float *)(void *)(data->label + rows);
    for (int i = 0; i < 2; i++) {
        data->prediction[i] = (int32_t *)(void *)half;
        data->confidence[i] = half + rows;
        data->probability[i] = half + 2 * rows;
        half += 4 * rows;
    }
    data->target = half;
    data->predicted = half + rows;
    data->in[0] = (uint8_t *)(half + 2 * rows);
    data->in[1] = data->in[0] + rows;
    return OK;
}

void data_make(struct data *data, const struct scenario *scenario, int64_t n, uint64_t number)
{
    struct words words = words_of(rng_mix(rng_hash(scenario->name), (uint64_t)n), number);
    data->n = n;
    data->seed = rng_mix(number, 17);
    scenario->make(data, &words, scenario->knob);
}

/* knob: share right. */
void make_share(struct data *data, struct words *words, const double knob[4])
{
    for (int64_t i = 0; i < data->n; i++) data->score[0][i] = uniform(words) < knob[0];
}

/* knob: share that only the candidate gets right, only the baseline, both. */
void make_pair(struct data *data, struct words *words, const double knob[4])
{
    for (int64_t i = 0; i < data->n; i++) {
        double u = uniform(words);
        data->score[0][i] = u < knob[0] ||
                            (u >= knob[0] + knob[1] && u < knob[0] + knob[1] + knob[2]);
        data->score[1][i] = u >= knob[0] && u < knob[0] + knob[1] + knob[2];
    }
}

/* Two slices: n rows in the first and n knob[2] in the second; shares right, or mean losses. */
void make_slices(struct data *data, struct words *words, const double knob[4])
{
    int64_t small = data->n;
    data->n += (int64_t)((double)small * knob[2]);
    for (int64_t i = 0; i < data->n; i++) {
        bool second = i >= small;
        data->in[0][i] = !second;
        data->in[1][i] = second;
        data->score[0][i] = knob[3] > 0 ? knob[second] * exponential(words)
                                        : uniform(words) < knob[second];
    }
}

/* An exponential error; knob: its mean. */
void make_skewed(struct data *data, struct words *words, const double knob[4])
{
    for (int64_t i = 0; i < data->n; i++) data->score[0][i] = knob[0] * exponential(words);
}

/* A log loss: small on most rows, 3 to 8 on a share knob[0] of confident errors. */
static double confident_loss(struct words *words, double share)
{
    double loss = 0.1 * uniform(words);
    return uniform(words) < share ? 3 + 5 * uniform(words) : loss;
}

void make_confident(struct data *data, struct words *words, const double knob[4])
{
    for (int64_t i = 0; i < data->n; i++) data->score[0][i] = confident_loss(words, knob[0]);
}

/* Two such models, half of whose rows are shared. */
void make_confident_pair(struct data *data, struct words *words, const double knob[4])
{
    for (int64_t i = 0; i < data->n; i++) {
        double shared = confident_loss(words, knob[0]);
        for (int s = 0; s < 2; s++) {
            double own = confident_loss(words, knob[0]);
            data->score[s][i] = uniform(words) < 0.5 ? own : shared;
        }
    }
}

/* Rows go to two slices by turns. */
static bool take_turn(struct data *data, int64_t i)
{
    data->in[0][i] = i % 2 == 0;
    data->in[1][i] = i % 2 == 1;
    return i % 2 == 1;
}

/* Documents: lengths over two decades, a mean loss a token that varies; a second model's with the
 * same mean when knob[1] > 0. knob[0]: mean loss; knob[2]: that of the second slice, if > 0. */
void make_documents(struct data *data, struct words *words, const double knob[4])
{
    for (int64_t i = 0; i < data->n; i++) {
        double level = exp(0.3 * normal(words) - 0.045);
        double mean = take_turn(data, i) && knob[2] > 0 ? knob[2] : knob[0];
        data->tokens[i] = floor(20 * exp(1.5 * normal(words))) + 1;
        for (int s = 0; s < (knob[1] > 0 ? 2 : 1); s++) {
            double own = exp(0.1 * normal(words) - 0.005);
            data->score[s][i] = data->tokens[i] * mean * level * own;
        }
    }
}

/* Class 1 with share knob[0], found with recall knob[1], falsely with share knob[2] of the rest;
 * by both models alike and independently. */
void make_found(struct data *data, struct words *words, const double knob[4])
{
    for (int64_t i = 0; i < data->n; i++) {
        data->label[i] = uniform(words) < knob[0];
        for (int s = 0; s < 2; s++)
            data->prediction[s][i] = uniform(words) < (data->label[i] ? knob[1] : knob[2]);
    }
}

/* Two normal populations knob[1] apart, positives with share knob[0]; the second model's scores
 * are correlated with the first's by knob[2]. knob[3]: the distance in the second slice, if > 0. */
void make_ranked(struct data *data, struct words *words, const double knob[4])
{
    for (int64_t i = 0; i < data->n; i++) {
        double shared = normal(words);
        data->label[i] = uniform(words) < knob[0];
        double apart = take_turn(data, i) && knob[3] > 0 ? knob[3] : knob[1];
        for (int s = 0; s < 2; s++) {
            double score = sqrt(knob[2]) * shared + sqrt(1 - knob[2]) * normal(words);
            score += data->label[i] ? apart : 0;
            data->probability[s][2 * i + 1] = (float)(1 / (1 + exp(-score)));
            data->probability[s][2 * i] = 1 - data->probability[s][2 * i + 1];
        }
    }
}

/* A row of a model that is `over` too sure, with a confidence from 0.4 to 1 - `margin`. */
static void sure_row(struct data *data, struct words *words, int64_t i, double margin, double over)
{
    data->label[i] = 0;
    for (int s = 0; s < 2; s++) {
        double u = uniform(words), sure = 1 - margin - (0.6 - margin) * u * u;
        data->confidence[s][i] = (float)sure;
        data->prediction[s][i] = uniform(words) >= sure - over;
    }
}

/* A model that is knob[0] too sure everywhere, in the second slice knob[2] if > 0, with confidences
 * from 0.4 to 1 - knob[1]. */
void make_sure(struct data *data, struct words *words, const double knob[4])
{
    for (int64_t i = 0; i < data->n; i++)
        sure_row(data, words, i, knob[1], take_turn(data, i) && knob[2] > 0 ? knob[2] : knob[0]);
}

/* DATA_CLASSES equally frequent classes, right with share knob[0], in the second slice knob[1] if
 * > 0, else any other; the second model errs on its own in half of the rows. */
void make_classes(struct data *data, struct words *words, const double knob[4])
{
    for (int64_t i = 0; i < data->n; i++) {
        double share = take_turn(data, i) && knob[1] > 0 ? knob[1] : knob[0];
        data->label[i] = (int32_t)(DATA_CLASSES * uniform(words));
        for (int s = 0; s < 2; s++) {
            int32_t other = 1 + (int32_t)((DATA_CLASSES - 1) * uniform(words));
            bool right = uniform(words) < share;
            data->prediction[s][i] = right ? data->label[i]
                                           : (data->label[i] + other) % DATA_CLASSES;
            if (s && uniform(words) < 0.5) data->prediction[1][i] = data->prediction[0][i];
        }
    }
}

/* Targets with noise of share knob[0]. */
void make_line(struct data *data, struct words *words, const double knob[4])
{
    for (int64_t i = 0; i < data->n; i++) {
        double x = normal(words);
        data->predicted[i] = (float)x;
        data->target[i] = (float)(x + knob[0] * normal(words));
    }
}

/* n clusters of 5 to 35 rows; calls `fill` with each row and two numbers of its cluster. */
static void each_in_clusters(struct data *data, struct words *words, const double knob[4],
                             void (*fill)(struct data *data, struct words *words, int64_t row,
                                          const double level[2], const double knob[4]))
{
    int64_t clusters = data->n, row = 0;
    for (int64_t c = 0; c < clusters; c++) {
        int64_t size = 5 + (int64_t)(31 * uniform(words));
        double level[2] = { uniform(words) };
        level[1] = exponential(words);
        for (int64_t i = 0; i < size && row < DATA_ROWS; i++, row++) {
            data->cluster[row] = c;
            fill(data, words, row, level, knob);
        }
    }
    data->n = row;
}

static void cluster_row(struct data *data, struct words *words, int64_t row, const double level[2],
                        const double knob[4])
{
    double rate = knob[0] + (1 - knob[0]) * (2 * level[0] - 1);
    double mean = take_turn(data, row) ? 1 : 1 + knob[3];
    data->score[0][row] = knob[1] > 0 ? level[1] + mean * exponential(words)
                                      : uniform(words) < rate;
    if (knob[2] > 0) data->score[1][row] = level[1] + exponential(words);
}

/* Clusters whose rates differ: a beta-like mixture around knob[0], or losses (knob[1] > 0) with a
 * level of each cluster. knob[2] > 0: a second model with the same levels. knob[3]: how much larger
 * the mean is in the first slice. */
void make_clusters(struct data *data, struct words *words, const double knob[4])
{
    each_in_clusters(data, words, knob, cluster_row);
}

static void sure_cluster_row(struct data *data, struct words *words, int64_t row,
                             const double level[2], const double knob[4])
{
    double over = take_turn(data, row) && knob[2] > 0 ? knob[2] : knob[0];
    sure_row(data, words, row, knob[1], over + knob[3] * (2 * level[0] - 1));
}

/* Clusters of rows as in make_sure; the truth shifts by up to knob[3] from cluster to cluster. */
void make_sure_clusters(struct data *data, struct words *words, const double knob[4])
{
    each_in_clusters(data, words, knob, sure_cluster_row);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Measured times: log-normal. */
void make_times(struct data *data, struct words *words, const double knob[4])
{
    (void)knob;
    for (int64_t i = 0; i < data->n; i++) data->score[0][i] = exp(0.5 * normal(words));
    qsort(data->score[0], (size_t)data->n, sizeof(double), compare);
}

/* Versions without a trend. */
void make_versions(struct data *data, struct words *words, const double knob[4])
{
    for (int64_t i = 0; i < data->n; i++) data->score[0][i] = 0.9 + knob[0] * normal(words);
}
