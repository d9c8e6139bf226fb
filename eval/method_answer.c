/* Asking a method, and what the answers of all methods have in common. */
#include "base/arena.h"
#include "base/math.h"
#include "base/rng.h"
#include "eval/method_run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double POWER = 0.8;

double method_sign(const struct metric *metric)
{
    return metric->higher || metric->drop ? 1 : -1;
}

double question_scale(const struct question *question)
{
    return question->scale == 0 ? 1 : question->scale;
}

struct row_part sample_part(const struct sample *sample, bool other, int64_t i)
{
    const struct metric *metric = sample->metric;
    if (metric->score) return (struct row_part){ other ? sample->other[i] : sample->score[i], 1 };
    if (metric->drop) other = !other; /* rows as they are less perturbed ones */
    if (metric->row) return metric->row(other ? sample->others : sample->outcomes, i);
    return (struct row_part){ sample->outcomes->prediction[i] != sample->others->prediction[i], 1 };
}

bool sample_hit(const struct sample *sample, bool other, int64_t i)
{
    return sample_part(sample, other, i).above == 1;
}

void answer_open(struct answer *answer, double value)
{
    *answer = (struct answer){ .value = value,
                               .low = -INFINITY,
                               .high = INFINITY,
                               .p_pass = 1,
                               .p_fail = 1,
                               .degenerate = true,
                               .check = NAN };
}

void answer_p(struct answer *answer, const struct question *question, double at_most_bar,
              double at_most_minus_bar)
{
    if (question->both) {
        double inside = fmax(at_most_minus_bar, 1 - at_most_bar);
        double outside = fmin(at_most_bar, 1 - at_most_minus_bar);
        answer->p_pass = inside;
        answer->p_fail = fmin(1, 2 * outside);
        return;
    }
    answer->p_pass = question->more ? at_most_bar : 1 - at_most_bar;
    answer->p_fail = question->more ? 1 - at_most_bar : at_most_bar;
}

/* The bar that decides: of a gap the nearer of both. */
static double nearer_bar(const struct answer *answer, const struct question *question)
{
    return question->both && answer->value < 0 ? -question->bar : question->bar;
}

void answer_power(struct answer *answer, const struct question *question, int64_t n,
                  double deviation)
{
    double away = answer->value - nearer_bar(answer, question);
    double reach = away > 0 ? answer->value - answer->low : answer->high - answer->value;
    double needed = ceil((double)n * (reach / away) * (reach / away));
    answer->smallest = deviation *
                       (math_normal_quantile(1 - question->alpha) + math_normal_quantile(POWER));
    answer->needed = away != 0 && isfinite(reach) && needed < 1e15 ? needed : 0;
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

enum code cluster_numbers(int32_t *index, int64_t *clusters, const struct sample *sample,
                          struct err *err)
{
    void *memory = NULL;
    size_t bytes = (size_t)sample->n * sizeof(int64_t);
    int64_t count = 0;
    TRY(block_alloc(&memory, bytes, "cluster numbers", err));
    int64_t *ids = memory;
    memcpy(ids, sample->cluster, bytes);
    qsort(ids, (size_t)sample->n, sizeof *ids, compare);
    for (int64_t i = 0; i < sample->n; i++)
        if (i == 0 || ids[i] != ids[count - 1]) ids[count++] = ids[i];
    for (int64_t i = 0; index && i < sample->n; i++) {
        const int64_t *found = bsearch(&sample->cluster[i], ids, (size_t)count, sizeof *ids,
                                       compare);
        index[i] = (int32_t)(found - ids);
    }
    *clusters = count;
    block_free(memory);
    return OK;
}

/* What all distributions of a decision may take together; thousands of gates have more. Those
 * beyond it are let go after their answer, and drawn again (the same bits) for another gate. */
static const size_t KEPT_BYTES = (size_t)64 << 20;

struct kept_distribution {
    const char *path;
    struct bootstrap bootstrap; /* `sorted` is NULL once it was let go */
    struct answer bounds;       /* value, low and high: all that a value in a report shows */
    double alpha;               /* of these bounds */
    struct kept_distribution *next;
};

void distributions_release(struct distributions *kept)
{
    for (struct kept_distribution *d = kept->first; d; d = d->next)
        bootstrap_release(&d->bootstrap);
    arena_release(&kept->arena);
    *kept = (struct distributions){ 0 };
}

/* A bound rests on the resamples beyond it: with fewer than these it is but their end. */
enum { BEYOND_LEAST = 5 };

static bool is_coarse(const struct bootstrap *bootstrap, const struct question *question)
{
    return question->alpha * (double)bootstrap->count < BEYOND_LEAST;
}

/* Fills an answer from a bootstrap distribution. */
static void answer_of(struct answer *answer, const struct bootstrap *bootstrap, int64_t n,
                      const struct question *question)
{
    answer_open(answer, bootstrap->estimate);
    if (bootstrap->degenerate) return;
    answer->degenerate = false;
    answer->coarse = is_coarse(bootstrap, question);
    answer->low = bootstrap_bound(bootstrap, question->alpha);
    answer->high = bootstrap_bound(bootstrap, 1 - question->alpha);
    answer_p(answer, question, bootstrap_level(bootstrap, question->bar),
             question->both ? bootstrap_level(bootstrap, -question->bar) : 0);
    answer_power(answer, question, n, bootstrap->deviation);
}

/* The p-value of "the truth is at most `at`" when both bounds reach equally far. */
static double reach_at_most(const struct bootstrap *bootstrap, double at)
{
    double level = bootstrap_reach_level(bootstrap, at);
    return bootstrap->estimate >= at ? level : 1 - level;
}

/* The same for a biased statistic: both bounds reach as far as the farther quantile. An estimate
 * below all resamples is this bias, not a lack of spread. */
static void answer_outer(struct answer *answer, const struct bootstrap *bootstrap, int64_t n,
                         const struct question *question)
{
    answer_open(answer, bootstrap->estimate);
    if (!(bootstrap->deviation > 0)) return;
    double reach = bootstrap_reach(bootstrap, question->alpha);
    answer->degenerate = false;
    answer->coarse = is_coarse(bootstrap, question);
    answer->low = answer->value - reach;
    answer->high = answer->value + reach;
    answer_p(answer, question, reach_at_most(bootstrap, question->bar),
             question->both ? reach_at_most(bootstrap, -question->bar) : 0);
    answer_power(answer, question, n, bootstrap->deviation);
}

/* What a distribution is of: the caller's path and everything that changes it. */
static const char *full_path(struct arena *arena, const struct sample *sample,
                             const struct question *question)
{
    return arena_format(arena, "%s%s%s%s", sample->path ? sample->path : "",
                        sample->cluster ? "/clusters" : "", sample->first ? "/gap" : "",
                        question_scale(question) == 1
                            ? ""
                            : arena_format(arena, "/of %.17g", question_scale(question)));
}

/* Keeps what was just drawn, or its bounds alone. */
static void keep(struct distributions *kept, struct kept_distribution *found,
                 const struct answer *answer, double alpha)
{
    size_t bytes = (size_t)found->bootstrap.count * sizeof(double);
    answer_open(&found->bounds, answer->value);
    found->bounds.low = answer->low;
    found->bounds.high = answer->high;
    found->bounds.degenerate = answer->degenerate;
    found->alpha = alpha;
    if (bytes <= KEPT_BYTES - kept->bytes)
        kept->bytes += bytes;
    else
        bootstrap_release(&found->bootstrap);
}

enum code answer_resampled(struct answer *answer, const struct sample *sample,
                           const struct question *question, const struct drawing *drawing,
                           struct err *err)
{
    struct distributions own = { 0 }, *kept = sample->kept ? sample->kept : &own;
    struct arena arena = { 0 };
    const char *path = full_path(&arena, sample, question);
    struct resample_opts opts = { .key = rng_mix(sample->seed, rng_hash(path)),
                                  .count = sample->resamples,
                                  .threads = sample->threads,
                                  .sparing = sample->sparing };
    struct bootstrap bootstrap = { 0 };
    enum code code = OK;
    struct kept_distribution *found = sample->resamples ? kept->first : NULL;
    while (found && strcmp(found->path, path) != 0) found = found->next;
    if (found && !found->bootstrap.sorted) {
        if (sample->sparing && found->alpha == question->alpha) {
            *answer = found->bounds;
            goto out;
        }
        opts.sparing = false;
    }
    bool drawn = !found || !found->bootstrap.sorted;
    if (drawn && (code = drawing->draw(&bootstrap, drawing->context, &opts, err))) goto out;
    if (!found && bootstrap.count == 0) {
        answer_open(answer, bootstrap.estimate);
        answer->spared = sample->resamples > 0;
        bootstrap_release(&bootstrap);
        goto out;
    }
    if (!found) {
        found = ARENA_NEW(&kept->arena, struct kept_distribution);
        *found = (struct kept_distribution){ .path = arena_copy(&kept->arena, path),
                                             .next = kept->first };
        kept->first = found;
    }
    if (drawn) found->bootstrap = bootstrap;
    if (sample->metric->biased)
        answer_outer(answer, &found->bootstrap, sample->n, question);
    else
        answer_of(answer, &found->bootstrap, sample->n, question);
    if (drawn) keep(kept, found, answer, question->alpha);
out:
    distributions_release(&own);
    arena_release(&arena);
    return code;
}
