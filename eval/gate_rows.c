/* Gathering the rows of a slice, in index order.
 *
 * All rows of the exam are looked at where they lie; only parts of it are copied, and only the
 * columns that the metric reads. */
#include "eval/gate_rows.h"

#include <math.h>
#include <string.h>

/* Where a row stands: bit 0 for the slice, or the first side of a gap; bit 1 for its second. */
struct sieve {
    const struct scores *scores;
    const uint8_t *first, *second; /* NULL: every row */
    int32_t label;
    bool gap, rest;
};

static const uint8_t *membership_of(const struct scores *scores, const char *name)
{
    for (size_t i = 0; i < scores->slice_count; i++)
        if (strcmp(scores->slices[i].name, name) == 0) return scores->slices[i].in;
    return NULL;
}

static struct sieve sieve_of(const struct scores *scores, const struct row_choice *choice)
{
    struct sieve sieve = { .scores = scores, .label = choice->label };
    if (choice->gap) {
        sieve.gap = true;
        sieve.rest = strcmp(choice->gap[1], "rest") == 0;
        sieve.first = membership_of(scores, choice->gap[0]);
        if (!sieve.rest) sieve.second = membership_of(scores, choice->gap[1]);
    } else if (choice->label < 0) {
        sieve.first = membership_of(scores, choice->slice);
    }
    return sieve;
}

static unsigned place_of(const struct sieve *sieve, int64_t row)
{
    if (sieve->label >= 0) return sieve->scores->label[row] == sieve->label;
    unsigned first = !sieve->first || sieve->first[row];
    if (!sieve->gap) return first;
    unsigned second = sieve->rest ? !first : !sieve->second || sieve->second[row];
    return first | second << 1;
}

int64_t rows_count(const struct scores *scores, const struct row_choice *choice)
{
    struct sieve sieve = sieve_of(scores, choice);
    int64_t n = 0;
    for (int64_t i = 0; i < scores->n; i++) n += place_of(&sieve, i) != 0;
    return n;
}

int64_t rows_list(int64_t *place, const struct scores *scores, const struct row_choice *choice)
{
    struct sieve sieve = sieve_of(scores, choice);
    int64_t n = 0;
    for (int64_t i = 0; i < scores->n; i++)
        if (place_of(&sieve, i)) place[n++] = i;
    return n;
}

/* A gathering under way: room is taken once, for the columns that are read. */
struct gathering {
    const struct scores *scores;
    const int32_t *index; /* NULL: all rows, which are not copied */
    int64_t n;
    char *room;
};

static const void *gather(struct gathering *g, const void *column, size_t bytes)
{
    if (!column || !g->index) return column;
    char *to = g->room;
    g->room += ((size_t)g->n * bytes + 15) / 16 * 16;
    for (int64_t j = 0; j < g->n; j++)
        memcpy(to + (size_t)j * bytes, (const char *)column + (size_t)g->index[j] * bytes, bytes);
    return to;
}

static bool all_finite(const double *number, int64_t n)
{
    bool finite = true;
    for (int64_t j = 0; j < n; j++) finite = finite && isfinite(number[j]);
    return finite;
}

/* The bytes of a row's columns that may have to be copied. */
static size_t row_bytes(const struct scores *scores, const struct metric *metric)
{
    size_t one = 16 + 4 * (size_t)(scores->width > 0 ? scores->width : 1) * 2 + 4 * 8;
    if (metric->needs & NEEDS_PROBABILITIES) one += 4 * (size_t)scores->classes;
    return 2 * one + 8 + 4 + 2;
}

/* Whether a subject has what the metric reads. */
static bool holds(const struct scores *scores, const struct row_question *question,
                  const struct subject *subject)
{
    const struct metric *metric = question->metric;
    if (subject->missing) return false;
    if (metric->score) {
        int kind = scores_kind(scores, metric, question->k);
        return kind >= 0 && subject->score[kind];
    }
    const struct {
        unsigned need;
        const void *column;
    } columns[] = {
        { NEEDS_GUESSES, subject->prediction }, { NEEDS_PROBABILITIES, subject->probability },
        { NEEDS_TARGETS, subject->predicted },  { NEEDS_TOKENS, subject->nll },
        { NEEDS_BYTES, subject->bytes },        { NEEDS_CORRECT, subject->correct }
    };
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        if (metric->needs & columns[i].need && !columns[i].column) return false;
    /* Calibration is about confidences, which classes alone do not have. */
    if (subject->hard && metric->biased) return false;
    return metric->corpus || metric->needs;
}

static void gather_outcomes(struct outcomes *out, bool *finite, struct gathering *g,
                            const struct row_question *question, const struct subject *subject)
{
    const struct scores *scores = g->scores;
    unsigned needs = question->metric->needs;
    bool classes = scores->task == TASK_CLASSIFICATION;
    size_t wide = 4 * (size_t)scores->width;
    *out = (struct outcomes){ .n = g->n,
                              .classes = scores->classes,
                              .width = scores->width,
                              .of_class = question->of_class,
                              .quantile = question->q };
    if (classes) {
        out->label = gather(g, scores->label, 4);
        out->prediction = gather(g, subject->prediction, 4);
        out->confidence = gather(g, subject->confidence, 4);
        if (needs & NEEDS_PROBABILITIES)
            out->probability = gather(g, subject->probability, 4 * (size_t)scores->classes);
        for (int64_t j = 0; j < g->n; j++) *finite = *finite && out->prediction[j] >= 0;
        return;
    }
    out->target = gather(g, scores->target, wide);
    out->predicted = gather(g, subject->predicted, wide);
    for (int64_t j = 0; out->predicted && j < g->n * scores->width; j++)
        *finite = *finite && isfinite(out->predicted[j]);
    out->nll = gather(g, subject->nll, 8);
    out->tokens = gather(g, subject->tokens, 8);
    out->bytes = gather(g, subject->bytes, 8);
    out->correct = gather(g, subject->correct, 8);
    if (out->nll) *finite = *finite && all_finite(out->nll, g->n);
}

static void gather_subject(struct rows *rows, struct gathering *g,
                           const struct row_question *question, bool other)
{
    const struct subject *subject = other ? question->other : question->subject;
    bool *finite = other ? &rows->other_finite : &rows->finite;
    if (!question->metric->score) {
        gather_outcomes(other ? &rows->others : &rows->outcomes, finite, g, question, subject);
        return;
    }
    int kind = scores_kind(g->scores, question->metric, question->k);
    const double *score = gather(g, subject->score[kind], 8);
    *finite = all_finite(score, g->n);
    *(other ? &rows->other : &rows->score) = score;
}

/* Index of the chosen rows, and for a gap which side they are on. */
static void choose(struct rows *rows, const struct sieve *sieve, int32_t *index, uint8_t *first,
                   uint8_t *second)
{
    int64_t kept = 0;
    for (int64_t i = 0; i < sieve->scores->n; i++) {
        unsigned place = place_of(sieve, i);
        if (!place) continue;
        index[kept] = (int32_t)i;
        first[kept] = place & 1;
        second[kept] = place >> 1 & 1;
        rows->sides[0] += first[kept];
        rows->sides[1] += second[kept];
        rows->overlapping = rows->overlapping || (first[kept] && second[kept]);
        kept++;
    }
    if (!sieve->gap) return;
    rows->first = first;
    rows->second = second;
}

enum code rows_gather(struct rows *rows, const struct scores *scores,
                      const struct row_choice *choice, const struct row_question *question,
                      struct err *err)
{
    struct sieve sieve = sieve_of(scores, choice);
    *rows = (struct rows){ .n = rows_count(scores, choice),
                           .finite = true,
                           .other_finite = true,
                           .held = holds(scores, question, question->subject),
                           .other_held = !question->other ||
                                         holds(scores, question, question->other) };
    struct gathering g = { .scores = scores, .n = rows->n };
    bool whole = rows->n == scores->n && !sieve.gap;
    if (!rows->held || !rows->other_held) return OK;
    if (!whole) {
        size_t n = (size_t)rows->n;
        size_t bytes = n * (row_bytes(scores, question->metric) + 4 + 2) + 1024;
        TRY(block_alloc(&rows->memory, bytes, "rows of a slice", err));
        int32_t *index = rows->memory;
        uint8_t *first = (uint8_t *)(index + n), *second = first + n;
        choose(rows, &sieve, index, first, second);
        g.index = index;
        g.room = (char *)rows->memory + (n * 6 + 63) / 64 * 64;
    }
    rows->cluster = gather(&g, scores->cluster, 8);
    gather_subject(rows, &g, question, false);
    if (question->other) gather_subject(rows, &g, question, true);
    return OK;
}

void rows_release(struct rows *rows)
{
    block_free(rows->memory);
    *rows = (struct rows){ 0 };
}

struct sample rows_sample(const struct rows *rows, const struct row_question *question)
{
    bool scored = question->metric->score != NULL;
    return (struct sample){ .metric = question->metric,
                            .n = rows->n,
                            .score = rows->score,
                            .other = rows->other,
                            .outcomes = scored ? NULL : &rows->outcomes,
                            .others = scored || !question->other ? NULL : &rows->others,
                            .cluster = rows->cluster,
                            .first = rows->first,
                            .second = rows->second };
}

const char *resample_path(struct arena *arena, const struct row_question *question,
                          const char *rows)
{
    const struct metric *metric = question->metric;
    const struct subject *subject = question->subject, *other = question->other;
    const char *path = arena_format(arena, "%s/%lld/%s/%s", metric->name, (long long)question->k,
                                    rows, subject->name);
    if (metric->takes_class) path = arena_format(arena, "%s/class=%d", path, question->of_class);
    if (metric->takes_quantile) path = arena_format(arena, "%s/q=%.17g", path, question->q);
    if (strcmp(subject->condition, "clean") != 0)
        path = arena_format(arena, "%s/%s", path, subject->condition);
    return other ? arena_format(arena, "%s/%s", path, other->name) : path;
}
