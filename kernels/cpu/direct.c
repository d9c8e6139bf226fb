/* The geometry of direct convolutions: chunks, the padded copy, where each window begins. */
#include "kernels/cpu/direct.h"

#include "kernels/cpu/simd/simd.h"

#include <string.h>

struct window direct_data_window(const struct window *window)
{
    struct window data = *window;
    for (int axis = 0; axis < 2; axis++) {
        int64_t reach = (window->size[axis] - 1) * window->dilation[axis];
        data.in[axis] = window->out[axis];
        data.out[axis] = window->in[axis];
        data.pad[2 * axis] = reach - window->pad[2 * axis];
        data.pad[2 * axis + 1] = window->in[axis] + reach - window->out[axis] - data.pad[2 * axis];
    }
    data.channels = window->filters;
    data.filters = window->channels;
    return data;
}

/* Input rows or columns under `count` outputs. */
static int64_t covered(const struct window *window, int axis, int64_t count)
{
    return (count - 1) * window->stride[axis] + (window->size[axis] - 1) * window->dilation[axis] +
           1;
}

static void plan_chunks(struct direct *direct, int64_t scratch_floats, int64_t pixels)
{
    const struct window *w = &direct->window;
    int64_t row = w->out[1], image = w->out[0] * row;
    direct->padded[1] = direct->in_place ? w->in[1] : covered(w, 1, w->out[1]);
    int64_t floats = covered(w, 0, w->out[0]) * direct->padded[1] * w->channels;
    direct->rows = w->out[0];
    direct->images = scratch_floats / floats < pixels / image ? scratch_floats / floats
                                                              : pixels / image;
    if (direct->images > w->batch) direct->images = w->batch;
    if (direct->images < 1) {
        int64_t fit = scratch_floats / (direct->padded[1] * w->channels);
        int64_t reach = (w->size[0] - 1) * w->dilation[0] + 1;
        int64_t by_floats = fit > reach ? (fit - reach) / w->stride[0] + 1 : 1;
        int64_t by_pixels = pixels / row > 1 ? pixels / row : 1;
        int64_t rows = by_floats < by_pixels ? by_floats : by_pixels;
        direct->images = 1;
        direct->rows = rows < w->out[0] ? rows : w->out[0];
    }
    direct->bands = (w->out[0] + direct->rows - 1) / direct->rows;
    direct->padded[0] = direct->in_place ? w->in[0] : covered(w, 0, direct->rows);
}

static void plan_tables(struct direct *direct)
{
    const struct window *w = &direct->window;
    int64_t line = direct->padded[1] * w->channels, pixel = 0;
    int64_t across = direct->taps / w->size[0];
    for (int64_t tap = 0; tap < direct->taps; tap++)
        direct->offset[tap] = tap / across * w->dilation[0] * line +
                              tap % across * w->dilation[1] * w->channels;
    for (int64_t i = 0; direct->column && i < direct->taps * direct->run; i++)
        direct->column[i] = direct->offset[i / direct->run] + i % direct->run;
    for (int64_t n = 0; n < direct->images; n++)
        for (int64_t h = 0; h < direct->rows; h++)
            for (int64_t x = 0; x < w->out[1]; x++)
                direct->place[pixel++] = (int32_t)((n * direct->padded[0] + h * w->stride[0]) *
                                                       line +
                                                   x * w->stride[1] * w->channels);
}

enum code direct_plan(struct direct *direct, const struct window *window, int64_t scratch_floats,
                      int64_t pixels, struct err *err)
{
    const struct window *w = window;
    *direct = (struct direct){ .window = *window };
    bool joined = w->dilation[1] == 1;
    direct->taps = joined ? w->size[0] : w->size[0] * w->size[1];
    direct->run = joined ? w->size[1] * w->channels : w->channels;
    direct->in_place = w->pad[0] == 0 && w->pad[1] == 0 && w->pad[2] == 0 && w->pad[3] == 0;
    plan_chunks(direct, scratch_floats, pixels);
    /* A band of rows is addressed from the image's first row. */
    if (direct->bands > 1 && direct->in_place) {
        direct->in_place = false;
        plan_chunks(direct, scratch_floats, pixels);
    }
    int64_t count = direct->images * direct->rows * w->out[1];
    int64_t length = direct->taps * direct->run;
    bool few = direct->run < CONV_COLUMNS && length % CONV_FEW_COLUMNS == 0;
    size_t words = (size_t)(direct->taps + (few ? length : 0)) * sizeof *direct->offset;
    TRY(block_alloc(&direct->memory, words + (size_t)count * sizeof *direct->place,
                    "the tables of a convolution", err));
    direct->offset = direct->memory;
    if (few) direct->column = direct->offset + direct->taps;
    direct->place = (int32_t *)(void *)((char *)direct->memory + words);
    int64_t floats = direct->images * direct->padded[0] * direct->padded[1] * w->channels;
    direct->scratch_bytes = direct->in_place ? 0 : ((size_t)floats * 4 + 127) / 128 * 128;
    plan_tables(direct);
    return OK;
}

int64_t direct_chunks(const struct direct *direct)
{
    int64_t groups = (direct->window.batch + direct->images - 1) / direct->images;
    return groups * direct->bands;
}

struct span direct_pixels(const struct direct *direct, int64_t chunk)
{
    const struct window *w = &direct->window;
    int64_t first = chunk / direct->bands * direct->images, last = first + direct->images;
    int64_t row = chunk % direct->bands * direct->rows;
    if (direct->bands > 1) {
        int64_t end = row + direct->rows < w->out[0] ? row + direct->rows : w->out[0];
        return (struct span){ (first * w->out[0] + row) * w->out[1],
                              (first * w->out[0] + end) * w->out[1] };
    }
    if (last > w->batch) last = w->batch;
    return (struct span){ first * w->out[0] * w->out[1], last * w->out[0] * w->out[1] };
}

/* One padded row: zeros, the part of `x` that is needed, zeros. */
static void fill_row(float *to, const float *x, const struct direct *direct)
{
    const struct window *w = &direct->window;
    int64_t channels = w->channels, left = w->pad[2], width = direct->padded[1];
    if (!x || left >= width) {
        memset(to, 0, (size_t)(width * channels) * sizeof *to);
        return;
    }
    int64_t skip = left < 0 ? -left : 0, before = left < 0 ? 0 : left;
    int64_t kept = w->in[1] - skip < width - before ? w->in[1] - skip : width - before;
    int64_t after = width - before - kept;
    memset(to, 0, (size_t)(before * channels) * sizeof *to);
    memcpy(to + before * channels, x + skip * channels, (size_t)(kept * channels) * sizeof *to);
    memset(to + (before + kept) * channels, 0, (size_t)(after * channels) * sizeof *to);
}

const float *direct_fill(const struct direct *direct, int64_t chunk, const float *x, float *scratch)
{
    const struct window *w = &direct->window;
    int64_t line = w->in[1] * w->channels, first = chunk / direct->bands * direct->images;
    if (direct->in_place) return x + first * w->in[0] * line;
    int64_t row = chunk % direct->bands * direct->rows * w->stride[0] - w->pad[0];
    float *to = scratch;
    for (int64_t n = first; n < first + direct->images && n < w->batch; n++)
        for (int64_t i = 0; i < direct->padded[0]; i++) {
            int64_t h = row + i;
            bool inside = h >= 0 && h < w->in[0];
            fill_row(to, inside ? x + (n * w->in[0] + h) * line : NULL, direct);
            to += direct->padded[1] * w->channels;
        }
    return scratch;
}
