/* Gathering the rows of a slice, in index order. */
#include "eval/gate_rows.h"

#include <math.h>
#include <string.h>

static const uint8_t *membership_of(const struct scores *scores, struct row_choice choice)
{
    for (size_t i = 0; choice.label < 0 && i < scores->slice_count; i++)
        if (strcmp(scores->slices[i].name, choice.slice) == 0) return scores->slices[i].in;
    return NULL;
}

static bool chosen(const struct scores *scores, struct row_choice choice, const uint8_t *in,
                   int64_t row)
{
    return choice.label >= 0 ? scores->label[row] == choice.label : !in || in[row];
}

int64_t rows_count(const struct scores *scores, struct row_choice choice)
{
    const uint8_t *in = membership_of(scores, choice);
    int64_t n = 0;
    for (int64_t i = 0; i < scores->n; i++) n += chosen(scores, choice, in, i);
    return n;
}

static bool gather_scores(double *out, const double *column, const int32_t *index, int64_t n)
{
    bool finite = true;
    for (int64_t j = 0; j < n; j++) {
        out[j] = column[index[j]];
        finite = finite && isfinite(out[j]);
    }
    return finite;
}

/* Into `label`, `prediction` and `confidence` of an outcomes block of 3n words. */
static bool gather_outcomes(struct outcomes *out, int32_t *memory, const struct scores *scores,
                            const struct subject *subject, const int32_t *index, int64_t n)
{
    int32_t *label = memory, *prediction = label + n;
    float *confidence = (float *)(void *)(prediction + n);
    bool finite = true;
    for (int64_t j = 0; j < n; j++) {
        label[j] = scores->label[index[j]];
        prediction[j] = subject->prediction[index[j]];
        confidence[j] = subject->confidence[index[j]];
        finite = finite && prediction[j] >= 0 && isfinite(confidence[j]);
    }
    *out = (struct outcomes){ .n = n,
                              .classes = scores->classes,
                              .label = label,
                              .prediction = prediction,
                              .confidence = confidence };
    return finite;
}

enum code rows_gather(struct rows *rows, const struct scores *scores, struct row_choice choice,
                      int kind, const struct subject *subject, const struct subject *baseline,
                      struct err *err)
{
    const uint8_t *in = membership_of(scores, choice);
    *rows = (struct rows){ .n = rows_count(scores, choice) };
    size_t n = (size_t)rows->n;
    TRY(block_alloc(&rows->memory, n * (2 * sizeof(double) + 7 * sizeof(int32_t)) + 64,
                    "rows of a slice", err));
    rows->score = rows->memory;
    rows->other = rows->score + n;
    int32_t *words = (int32_t *)(void *)(rows->other + n);
    rows->index = words + 6 * n;
    int64_t kept = 0;
    for (int64_t i = 0; i < scores->n; i++)
        if (chosen(scores, choice, in, i)) rows->index[kept++] = (int32_t)i;
    rows->other_finite = true;
    if (kind >= 0) {
        rows->finite = gather_scores(rows->score, subject->score[kind], rows->index, rows->n);
        if (baseline)
            rows->other_finite = gather_scores(rows->other, baseline->score[kind], rows->index,
                                               rows->n);
    } else {
        rows->finite = gather_outcomes(&rows->outcomes, words, scores, subject, rows->index,
                                       rows->n);
        if (baseline)
            rows->other_finite = gather_outcomes(&rows->others, words + 3 * n, scores, baseline,
                                                 rows->index, rows->n);
    }
    return OK;
}

void rows_release(struct rows *rows)
{
    block_free(rows->memory);
    *rows = (struct rows){ 0 };
}
