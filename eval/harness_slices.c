/* Which rows belong to which slice: labels, lists of ids, and predicates over columns. */
#include "eval/harness_slices.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool has_label(const struct slice *slice, int32_t label)
{
    for (size_t i = 0; i < slice->label_count; i++)
        if (slice->labels[i] == label) return true;
    return !slice->labels;
}

static int compare_ids(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static bool is_listed(const struct slice *slice, int64_t id)
{
    return bsearch(&id, slice->rows, slice->row_count, sizeof id, compare_ids) != NULL;
}

static int compare_numbers(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* The smallest number that a share q of the column does not exceed (its numbers alone, NaN do not
 * count); below all of them for q = 0. */
static double quantile_of(double *sorted, const double *number, int64_t n, double q)
{
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++)
        if (!isnan(number[i])) sorted[count++] = number[i];
    qsort(sorted, (size_t)count, sizeof *sorted, compare_numbers);
    int64_t at = (int64_t)ceil(q * (double)count) - 1;
    return count == 0 || at < 0 ? -INFINITY : sorted[at < count ? at : count - 1];
}

/* Both ends of a column's predicate; `scratch` [n]. */
struct bounds {
    double above, not_above;
};

static struct bounds bounds_of(const struct slice *slice, const double *number, double *scratch,
                               int64_t n)
{
    struct bounds bounds = { NAN, NAN };
    if (!isnan(slice->above_quantile))
        bounds.above = quantile_of(scratch, number, n, slice->above_quantile);
    if (!isnan(slice->below_quantile))
        bounds.not_above = quantile_of(scratch, number, n, slice->below_quantile);
    return bounds;
}

/* A comparison with NaN, stated or stored, selects nothing. */
static bool within(const struct slice *slice, const struct bounds *bounds, double number)
{
    bool inside = !isnan(number);
    if (!isnan(slice->above)) inside = inside && number > slice->above;
    if (!isnan(slice->below)) inside = inside && number < slice->below;
    if (!isnan(slice->equal)) inside = inside && number == slice->equal;
    if (!isnan(slice->above_quantile)) inside = inside && number > bounds->above;
    if (!isnan(slice->below_quantile)) inside = inside && number <= bounds->not_above;
    return inside;
}

enum code scores_slices(struct scores *scores, const struct suite *suite, const struct exam *exam,
                        struct err *err)
{
    void *memory = NULL;
    TRY(block_alloc(&memory, 2 * (size_t)scores->n * sizeof(double) + 8, "a column", err));
    double *number = memory, *scratch = number + scores->n;
    enum code code = OK;
    for (size_t s = 0; s < suite->slice_count && !code; s++) {
        const struct slice *slice = &suite->slices[s];
        struct bounds bounds = { NAN, NAN };
        uint8_t *in = scores->slices[s].in;
        if (slice->column && (code = exam_numbers(exam, number, slice->column, err))) break;
        if (slice->column) bounds = bounds_of(slice, number, scratch, scores->n);
        for (int64_t i = 0; i < scores->n; i++) {
            bool inside = !slice->labels || has_label(slice, scores->label[i]);
            if (slice->column) inside = inside && within(slice, &bounds, number[i]);
            if (slice->listed) inside = inside && is_listed(slice, scores->id[i]);
            in[i] = inside;
        }
    }
    block_free(memory);
    return code;
}
