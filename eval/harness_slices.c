/* Which rows belong to which slice: labels and predicates over columns or features. */
#include "eval/harness_slices.h"

#include <math.h>
#include <string.h>

/* Reads a number per row: of a column, or of one feature of the input table. */
static enum code read_numbers(double *out, const char *name, const struct dataset *dataset,
                              const struct split *split, struct err *err)
{
    const struct column *column = split_column(split, name);
    uint64_t at = 0;
    for (size_t f = 0; !column && dataset->feature_names && f < dataset->constants; f++) {
        if (strcmp(dataset->feature_names[f], name) != 0) continue;
        column = split_column(split, dataset->input);
        at = f;
    }
    if (!column) return err_set(err, CONFIG, "'%s' has no column '%s'", dataset->path, name);
    size_t size = h5_type_size(column->type);
    void *memory = NULL;
    uint64_t rows = split->rows;
    TRY(block_alloc(&memory, (size_t)(rows * column->row_bytes) + 1, "a column", err));
    enum code code = dataset_read(dataset, column, 0, rows, memory, err);
    for (uint64_t i = 0; !code && i < rows; i++) {
        const char *from = (const char *)memory + i * column->row_bytes + at * size;
        union {
            uint8_t u8;
            uint16_t u16;
            uint32_t u32;
            int32_t i32;
            int64_t i64;
            uint64_t u64;
            float f32;
            double f64;
        } number;
        memcpy(&number, from, size);
        const double as[H5_TYPE_COUNT] = {
            [H5_U8] = number.u8,           [H5_U16] = number.u16,
            [H5_U32] = number.u32,         [H5_I32] = number.i32,
            [H5_I64] = (double)number.i64, [H5_U64] = (double)number.u64,
            [H5_F32] = (double)number.f32, [H5_F64] = number.f64,
        };
        out[i] = as[column->type];
    }
    block_free(memory);
    return code;
}

static bool has_label(const struct slice *slice, int32_t label)
{
    for (size_t i = 0; i < slice->label_count; i++)
        if (slice->labels[i] == label) return true;
    return !slice->labels;
}

enum code scores_slices(struct scores *scores, const struct suite *suite,
                        const struct dataset *dataset, const struct split *split, struct err *err)
{
    void *memory = NULL;
    TRY(block_alloc(&memory, (size_t)scores->n * sizeof(double) + 1, "a column", err));
    double *number = memory;
    enum code code = OK;
    for (size_t s = 0; s < suite->slice_count && !code; s++) {
        const struct slice *slice = &suite->slices[s];
        uint8_t *in = scores->slices[s].in;
        if (slice->column) code = read_numbers(number, slice->column, dataset, split, err);
        for (int64_t i = 0; i < scores->n && !code; i++) {
            /* A comparison with NaN, stated or stored, selects nothing. */
            bool inside = !slice->labels || has_label(slice, scores->label[i]);
            if (slice->column && !isnan(slice->above)) inside = inside && number[i] > slice->above;
            if (slice->column && !isnan(slice->below)) inside = inside && number[i] < slice->below;
            if (slice->column && !isnan(slice->equal)) inside = inside && number[i] == slice->equal;
            in[i] = inside;
        }
    }
    block_free(memory);
    return code;
}
