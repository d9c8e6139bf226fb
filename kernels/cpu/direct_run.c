/* Direct convolutions: packing of weights, the walk over tiles, the join of weight gradients. */
#include "kernels/cpu/direct.h"
#include "kernels/cpu/product.h"
#include "kernels/cpu/rows.h"

#include <string.h>

/* Scratch floats of a chunk: half a small second-level cache; more where the weights are so large
 * that each pass over them must serve many pixels. */
enum { SCRATCH_FLOATS = 1 << 15, SCRATCH_FLOATS_LARGE = 1 << 17, WEIGHTS_LARGE = 1 << 18 };
enum { CHUNK_PIXELS = 4096, GRADIENT_PIXELS = 256, PACK_BLOCK = 64 };

static struct direct *direct_of(const struct op_call *call)
{
    return ((const struct product *)call->state)->direct;
}

static int64_t weight_count(const struct window *w)
{
    return w->filters * w->size[0] * w->size[1] * w->channels;
}

bool direct_fits(const struct device *device, const struct op_call *call, enum onednn_pass pass,
                 const struct window *window, enum activation act)
{
    int width = device_simd(device)->width;
    if (call->in[0].dtype != DTYPE_F32 || window->groups != 1) return false;
    if (pass == ONEDNN_BWD_DATA)
        return window->stride[0] == 1 && window->stride[1] == 1 && window->channels % width == 0;
    if (pass == ONEDNN_FORWARD && act != ACT_NONE && act != ACT_RELU) return false;
    return window->filters % width == 0;
}

enum code direct_prepare(struct device *device, struct op_call *call, enum onednn_pass pass,
                         const struct window *window, struct err *err)
{
    void *memory;
    bool gradient = pass == ONEDNN_BWD_WEIGHT;
    struct window own = pass == ONEDNN_BWD_DATA ? direct_data_window(window) : *window;
    bool large = weight_count(window) >= WEIGHTS_LARGE;
    TRY(product_new(call, err));
    struct product *product = call->state;
    TRY(block_alloc(&memory, sizeof(struct direct), "a convolution", err));
    struct direct *direct = product->direct = memory;
    TRY(direct_plan(direct, &own, large ? SCRATCH_FLOATS_LARGE : SCRATCH_FLOATS,
                    gradient ? GRADIENT_PIXELS : CHUNK_PIXELS, err));
    direct->pass = pass;
    size_t weights = (size_t)align_128(weight_count(window) * 4);
    direct->by_filters = gradient && large && own.filters >= 16 * device->threads;
    size_t copies = gradient && !direct->by_filters ? (size_t)device->threads : 1;
    direct->packed_bytes = weights * copies;
    product->bias_offset = direct->packed_bytes + (size_t)device->threads * direct->scratch_bytes;
    call->workspace_bytes = product->bias_offset;
    if (gradient && call_has_out(call, 1))
        call->workspace_bytes += bias_gradient_bytes(device, window->filters);
    call->algorithm = device_simd(device)->name;
    return OK;
}

void direct_release(struct op_call *call)
{
    struct product *product = call->state;
    if (!product || !product->direct) return;
    block_free(product->direct->memory);
    block_free(product->direct);
    product->direct = NULL;
}

static float *scratch_of(const struct part *part)
{
    const struct direct *direct = direct_of(part->call);
    return (float *)(void *)((char *)part->call->workspace + direct->packed_bytes +
                             (size_t)part->index * direct->scratch_bytes);
}

/* Filters are worked on in blocks of at most `widest` vectors; the rest in narrower ones. */
static int block_vectors(int widest, int width, int64_t filters_left)
{
    while (widest * width > filters_left) widest /= 2;
    return widest;
}

/* packed [taps * run][block] of filters [k, k + block) from w [K][taps * run] */
static void pack_forward(float *packed, const float *w, int64_t block, int64_t length)
{
    for (int64_t t = 0; t < length; t += PACK_BLOCK) {
        int64_t end = t + PACK_BLOCK < length ? t + PACK_BLOCK : length;
        for (int64_t k = 0; k < block; k++)
            for (int64_t i = t; i < end; i++) packed[i * block + k] = w[k * length + i];
    }
}

/* The same for the data gradient: channels [c, c + block) of w [K][R][S][C], cells from the last
 * to the first. */
static void pack_flipped(float *packed, const float *w, int64_t block, const struct window *own)
{
    int64_t cells = own->size[0] * own->size[1], filters = own->channels, channels = own->filters;
    for (int64_t cell = 0; cell < cells; cell++)
        for (int64_t k = 0; k < filters; k++, packed += block)
            memcpy(packed, w + (k * cells + cells - 1 - cell) * channels,
                   (size_t)block * sizeof *packed);
}

static void pack_part(const struct part *part)
{
    struct op_call *call = part->call;
    const struct direct *direct = direct_of(call);
    const struct simd *simd = device_simd(part->device);
    int64_t length = direct->taps * direct->run, widest = simd->conv->vectors * simd->width;
    struct span span = part_span(part, direct->window.filters, widest);
    const float *w = call->in[1].data;
    float *packed = call->workspace;
    for (int64_t k = span.from; k < span.to;) {
        int64_t block = block_vectors(simd->conv->vectors, simd->width, span.to - k) * simd->width;
        if (direct->pass == ONEDNN_BWD_DATA)
            pack_flipped(packed + k * length, w + k, block, &direct->window);
        else
            pack_forward(packed + k * length, w + k * length, block, length);
        k += block;
    }
}

/* All pixels of a chunk for one block of filters. */
static void forward_block(const struct part *part, const float *base, struct span pixels, int64_t k,
                          struct conv_tile *tile)
{
    struct op_call *call = part->call;
    const struct direct *direct = direct_of(call);
    const struct simd *simd = device_simd(part->device);
    int most = simd->conv->pixels(tile->vectors);
    int64_t count = pixels.to - pixels.from;
    float *y = (float *)call->out[0].data + pixels.from * tile->filters + k;
    tile->w = (const float *)call->workspace + k * direct->taps * direct->run;
    for (int64_t p = 0; p < count; p += most) {
        tile->pixels = count - p < most ? (int)(count - p) : most;
        for (int i = 0; i < most; i++)
            tile->x[i] = base + direct->place[p + (i < tile->pixels ? i : 0)];
        tile->y = y + p * tile->filters;
        simd->conv->tile(tile);
    }
}

static void forward_part(const struct part *part)
{
    struct op_call *call = part->call;
    const struct direct *direct = direct_of(call);
    const struct simd *simd = device_simd(part->device);
    bool forward = direct->pass == ONEDNN_FORWARD;
    const float *bias = forward ? call_vector(call, 2) : NULL;
    const float *x = call->in[0].data;
    int64_t filters = direct->window.filters;
    struct conv_tile tile = { .offset = direct->offset,
                              .taps = direct->taps,
                              .run = direct->run,
                              .filters = filters,
                              .relu = direct->relu };
    struct span span = part_span(part, direct_chunks(direct), 1);
    for (int64_t chunk = span.from; chunk < span.to; chunk++) {
        const float *base = direct_fill(direct, chunk, x, scratch_of(part));
        for (int64_t k = 0; k < filters; k += tile.vectors * simd->width) {
            tile.vectors = block_vectors(simd->conv->vectors, simd->width, filters - k);
            tile.bias = bias ? bias + k : NULL;
            forward_block(part, base, direct_pixels(direct, chunk), k, &tile);
        }
    }
}

/* Which tiles a weight gradient is made of. */
struct gradient_plan {
    int vectors, columns; /* most of them in a tile */
    bool listed;
};

static struct gradient_plan gradient_plan(const struct direct *direct, const struct simd *simd)
{
    const struct simd_conv *conv = simd->conv;
    if (direct->column && conv->few_vectors)
        return (struct gradient_plan){ conv->few_vectors, CONV_FEW_COLUMNS, true };
    /* Narrow tiles must not waste what long ones of the same height would use. */
    if (direct->run < 2 * CONV_COLUMNS && direct->window.filters % (4 * simd->width) == 0)
        return (struct gradient_plan){ conv->short_vectors, conv->short_columns, false };
    return (struct gradient_plan){ conv->vectors, CONV_COLUMNS, false };
}

/* One chunk's share of dw [taps * run][K], filters [k, k + block). */
static void gradient_block(const struct part *part, const struct gradient_plan *plan,
                           const float *base, float *dw, struct conv_gradient_tile *tile)
{
    const struct direct *direct = direct_of(part->call);
    const struct simd *simd = device_simd(part->device);
    tile->columns = CONV_FEW_COLUMNS;
    for (int64_t i = 0; plan->listed && i < direct->taps * direct->run; i += tile->columns) {
        tile->x = base;
        tile->column = direct->column + i;
        tile->dw = dw + i * tile->filters;
        simd->conv->gradient(tile);
    }
    for (int64_t tap = 0; !plan->listed && tap < direct->taps; tap++)
        for (int64_t c = 0; c < direct->run; c += tile->columns) {
            int64_t left = direct->run - c;
            tile->columns = left < plan->columns ? (int)left : plan->columns;
            tile->x = base + direct->offset[tap] + c;
            tile->dw = dw + (tap * direct->run + c) * tile->filters;
            simd->conv->gradient(tile);
        }
}

/* Clears this part's sums and says which chunks and filters it works on. */
static float *gradient_begin(const struct part *part, int block, struct span *chunks,
                             struct span *filters)
{
    const struct direct *direct = direct_of(part->call);
    int64_t count = direct->window.filters, length = direct->taps * direct->run;
    *chunks = part_span(part, direct_chunks(direct), 1);
    *filters = (struct span){ 0, count };
    float *dw = part->call->workspace;
    if (!direct->by_filters) {
        size_t copy = direct->packed_bytes / (size_t)part->count;
        dw = (float *)(void *)((char *)dw + (size_t)part->index * copy);
        memset(dw, 0, copy);
        return dw;
    }
    *chunks = (struct span){ 0, direct_chunks(direct) };
    *filters = part_span(part, count, block);
    for (int64_t i = 0; i < length; i++)
        memset(dw + i * count + filters->from, 0,
               (size_t)(filters->to - filters->from) * sizeof *dw);
    return dw;
}

static void gradient_part(const struct part *part)
{
    struct op_call *call = part->call;
    const struct direct *direct = direct_of(call);
    const struct simd *simd = device_simd(part->device);
    struct gradient_plan plan = gradient_plan(direct, simd);
    struct span chunks, own;
    float *dw = gradient_begin(part, plan.vectors * simd->width, &chunks, &own);
    struct conv_gradient_tile tile = { .place = direct->place, .filters = direct->window.filters };
    for (int64_t chunk = chunks.from; chunk < chunks.to; chunk++) {
        const float *base = direct_fill(direct, chunk, call->in[1].data, scratch_of(part));
        struct span pixels = direct_pixels(direct, chunk);
        const float *dy = (const float *)call->in[0].data + pixels.from * tile.filters;
        tile.pixels = pixels.to - pixels.from;
        for (int64_t k = own.from; k < own.to; k += tile.vectors * simd->width) {
            tile.vectors = block_vectors(plan.vectors, simd->width, own.to - k);
            tile.dy = dy + k;
            gradient_block(part, &plan, base, dw + k, &tile);
        }
    }
}

/* dw [K][taps * run] from the parts' [taps * run][K], joined in order of the parts. */
static void join_part(const struct part *part)
{
    struct op_call *call = part->call;
    const struct direct *direct = direct_of(call);
    int64_t filters = direct->window.filters, length = direct->taps * direct->run;
    int64_t copies = direct->by_filters ? 1 : part->count;
    int64_t step = (int64_t)direct->packed_bytes / copies / 4;
    const float *sums = call->workspace;
    float *dw = call->out[0].data;
    bool add = call->accumulate & 1;
    struct span span = part_span(part, length, PACK_BLOCK);
    for (int64_t t = span.from; t < span.to; t += PACK_BLOCK) {
        int64_t end = t + PACK_BLOCK < span.to ? t + PACK_BLOCK : span.to;
        for (int64_t k = 0; k < filters; k++)
            for (int64_t i = t; i < end; i++) {
                float sum = sums[i * filters + k];
                for (int64_t j = 1; j < copies; j++) sum += sums[j * step + i * filters + k];
                dw[k * length + i] = add ? dw[k * length + i] + sum : sum;
            }
    }
}

enum code direct_run(struct device *device, struct op_call *call, struct err *err)
{
    (void)err;
    if (direct_of(call)->pass == ONEDNN_BWD_WEIGHT) {
        parts_run(device, call, gradient_part);
        parts_run(device, call, join_part);
        if (call_has_out(call, 1)) bias_gradient_run(device, call);
        return OK;
    }
    parts_run(device, call, pack_part);
    parts_run(device, call, forward_part);
    return OK;
}
