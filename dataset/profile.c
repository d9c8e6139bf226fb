/* Moments and histograms. Bytes are counted by value first, which makes their sums exact; f32 takes
 * two passes, so that the deviation does not suffer from cancellation. */
#include "dataset/profile.h"

#include <math.h>
#include <string.h>

enum { BINS = 32, BYTE_VALUES = 256 };

/* How often each byte value occurs in each channel: [channels][256]. */
static uint64_t *count_bytes(struct arena *arena, const struct table_column *column,
                             const uint64_t *rows, uint64_t count)
{
    uint64_t channels = column->dim[column->rank - 1], row_bytes = table_row_bytes(column);
    uint64_t *counts = ARENA_ARRAY(arena, channels * BYTE_VALUES, uint64_t);
    for (uint64_t i = 0; i < count; i++) {
        const uint8_t *row = (const uint8_t *)column->data + rows[i] * row_bytes;
        for (uint64_t at = 0; at < row_bytes; at += channels)
            for (uint64_t c = 0; c < channels; c++) counts[c * BYTE_VALUES + row[at + c]]++;
    }
    return counts;
}

static struct moments moments_of_counts(const uint64_t *counts)
{
    uint64_t n = 0, sum = 0, low = BYTE_VALUES, high = 0;
    for (uint64_t v = 0; v < BYTE_VALUES; v++) {
        n += counts[v];
        sum += counts[v] * v;
        if (counts[v] && low == BYTE_VALUES) low = v;
        if (counts[v]) high = v;
    }
    if (!n) return (struct moments){ 0 };
    struct moments m = { .mean = (double)sum / (double)n,
                         .low = (double)low,
                         .high = (double)high };
    double squares = 0;
    for (uint64_t v = 0; v < BYTE_VALUES; v++)
        squares += (double)counts[v] * ((double)v - m.mean) * ((double)v - m.mean);
    m.deviation = sqrt(squares / (double)n);
    return m;
}

static const float *row_of(const struct table_column *column, uint64_t row)
{
    return (const float *)column->data + row * table_row_bytes(column) / sizeof(float);
}

static struct moments moments_of_reals(const struct table_column *column, const uint64_t *rows,
                                       uint64_t count, uint64_t feature)
{
    if (!count) return (struct moments){ 0 };
    struct moments m = { .low = INFINITY, .high = -INFINITY };
    double sum = 0, squares = 0;
    for (uint64_t i = 0; i < count; i++) {
        double value = (double)row_of(column, rows[i])[feature];
        sum += value;
        m.low = fmin(m.low, value);
        m.high = fmax(m.high, value);
    }
    m.mean = sum / (double)count;
    for (uint64_t i = 0; i < count; i++) {
        double off = (double)row_of(column, rows[i])[feature] - m.mean;
        squares += off * off;
    }
    m.deviation = sqrt(squares / (double)count);
    return m;
}

struct moments *profile_moments(struct arena *arena, const struct table_column *column,
                                const uint64_t *rows, uint64_t count)
{
    uint64_t width = column->dim[column->rank - 1];
    struct moments *moments = ARENA_ARRAY(arena, width, struct moments);
    if (column->type == H5_U8) {
        const uint64_t *counts = count_bytes(arena, column, rows, count);
        for (uint64_t c = 0; c < width; c++)
            moments[c] = moments_of_counts(counts + c * BYTE_VALUES);
        return moments;
    }
    REQUIRE(column->type == H5_F32);
    for (uint64_t f = 0; f < width; f++) moments[f] = moments_of_reals(column, rows, count, f);
    return moments;
}

struct histogram {
    double low, high;
    uint64_t below, above, counts[BINS];
};

static void add_value(struct histogram *histogram, double value, uint64_t times)
{
    double width = (histogram->high - histogram->low) / BINS;
    if (value < histogram->low)
        histogram->below += times;
    else if (value > histogram->high)
        histogram->above += times;
    else {
        double bin = width > 0 ? (value - histogram->low) / width : 0;
        histogram->counts[bin < BINS ? (int)bin : BINS - 1] += times;
    }
}

static json_t *histogram_json(const struct histogram *histogram)
{
    json_t *counts = json_array();
    for (int i = 0; i < BINS; i++)
        json_array_append_new(counts, json_integer((json_int_t)histogram->counts[i]));
    return json_pack("{s:f, s:f, s:I, s:o, s:I}", "low", histogram->low, "high", histogram->high,
                     "below", (json_int_t)histogram->below, "counts", counts, "above",
                     (json_int_t)histogram->above);
}

static json_t *moments_json(const struct moments *m)
{
    return json_pack("{s:f, s:f, s:f, s:f}", "mean", m->mean, "deviation", m->deviation, "low",
                     m->low, "high", m->high);
}

static void fill_histogram(struct histogram *histogram, const struct table_split *split,
                           const uint64_t *byte_counts, uint64_t column)
{
    if (byte_counts) {
        for (int v = 0; v < BYTE_VALUES; v++)
            add_value(histogram, v, byte_counts[column * BYTE_VALUES + (uint64_t)v]);
        return;
    }
    for (uint64_t i = 0; i < split->count; i++)
        add_value(histogram, (double)row_of(split->input, split->rows[i])[column], 1);
}

static json_t *columns_json(struct arena *arena, const struct table *table,
                            const struct table_split *split, const struct moments *train)
{
    const struct table_column *input = split->input;
    bool bytes = input->type == H5_U8;
    const uint64_t *counts = bytes ? count_bytes(arena, input, split->rows, split->count) : NULL;
    const struct moments *own = profile_moments(arena, input, split->rows, split->count);
    json_t *list = json_array();
    for (uint64_t c = 0; c < input->dim[input->rank - 1]; c++) {
        struct histogram histogram = { .low = bytes ? 0 : train[c].low,
                                       .high = bytes ? BYTE_VALUES : train[c].high };
        fill_histogram(&histogram, split, counts, c);
        const char *name = table->feature_names ? table->feature_names[c]
                                                : arena_format(arena, "channel %d", (int)c);
        json_t *column = moments_json(&own[c]);
        json_object_set_new(column, "name", json_string(name));
        json_object_set_new(column, "missing",
                            json_integer(table->missing ? (json_int_t)table->missing[c] : 0));
        json_object_set_new(column, "histogram", histogram_json(&histogram));
        json_array_append_new(list, column);
    }
    return list;
}

static json_t *classes_json(struct arena *arena, const struct table *table,
                            const struct table_split *split)
{
    int64_t *counts = ARENA_ARRAY(arena, table->class_count, int64_t);
    const int32_t *labels = split->target->data;
    for (uint64_t i = 0; i < split->count; i++) counts[labels[split->rows[i]]]++;
    json_t *list = json_array();
    for (size_t c = 0; c < table->class_count; c++)
        json_array_append_new(list, json_integer(counts[c]));
    return list;
}

json_t *profile_build(const struct table *table, const struct table_split *split,
                      const struct moments *train)
{
    struct arena arena = { 0 };
    bool classes = table->task == TASK_CLASSIFICATION;
    json_t *profile = json_pack("{s:s, s:I}", "pawl", "profile/1", "rows",
                                (json_int_t)split->count);
    json_object_set_new(profile, "columns", columns_json(&arena, table, split, train));
    json_object_set_new(profile, "classes",
                        classes ? classes_json(&arena, table, split) : json_null());
    json_object_set_new(
        profile, "target",
        classes ? json_null()
                : moments_json(profile_moments(&arena, split->target, split->rows, split->count)));
    arena_release(&arena);
    return profile;
}
