/* Reference of what runs on input rows, and of dropout. Which draw belongs to which element is said
 * in kernels/scalar.h. */
#include "kernels/ref/ref.h"
#include "kernels/scalar.h"

void ref_normalize(struct op_call *call)
{
    int64_t count = shape_count(&call->in[0].shape), channels = last_dim(&call->in[0]);
    for (int64_t i = 0; i < count; i++) {
        struct sum y = { 0 };
        sum_add(&y, ref_get(call, 0, i) * ref_get(call, 1, i % channels));
        sum_add(&y, ref_get(call, 2, i % channels));
        ref_put(call, 0, i, y);
    }
}

static int64_t ordinal_of(const struct op_call *call, int64_t row)
{
    return ((const int64_t *)call->in[1].data)[row];
}

void ref_dropout(struct op_call *call)
{
    float rate = call->attr->dropout.rate;
    uint64_t key = draw_key(call->block->seed, call->attr->dropout.path, call->block->step);
    int64_t rows = call->in[0].shape.dim[0], width = shape_inner(&call->in[0].shape, 1);
    for (int64_t i = 0; i < rows * width; i++) {
        struct philox words = draw_words(key, ordinal_of(call, i / width), i % width / 4);
        bool keeps = dropout_keeps(words.word[i % width % 4], rate);
        ref_put_exact(call, 0, i, keeps ? ref_get(call, 0, i) / (1 - (double)rate) : 0);
    }
}

static struct philox row_draw(const struct op_call *call, int64_t row)
{
    uint64_t key = draw_key(call->block->seed, call->attr->augment.path, call->block->step);
    return draw_words(key, ordinal_of(call, row), 0);
}

void ref_flip(struct op_call *call)
{
    const int64_t *x = call->in[0].shape.dim;
    int64_t width = x[2], channels = x[3], i = 0;
    for (int64_t n = 0; n < x[0]; n++) {
        bool mirrors = flip_mirrors(row_draw(call, n), call->attr->augment.probability);
        for (int64_t line = n * x[1]; line < (n + 1) * x[1]; line++)
            for (int64_t w = 0; w < width; w++)
                for (int64_t c = 0; c < channels; c++, i++) {
                    int64_t from = mirrors ? width - 1 - w : w;
                    ref_put_exact(call, 0, i,
                                  ref_get(call, 0, (line * width + from) * channels + c));
                }
    }
}

void ref_padded_crop(struct op_call *call)
{
    const int64_t *x = call->in[0].shape.dim;
    int64_t i = 0;
    for (int64_t n = 0; n < x[0]; n++) {
        struct philox words = row_draw(call, n);
        int64_t down = crop_shift(words, 0, call->attr->augment.pad);
        int64_t right = crop_shift(words, 1, call->attr->augment.pad);
        for (int64_t h = 0; h < x[1]; h++)
            for (int64_t w = 0; w < x[2]; w++)
                for (int64_t c = 0; c < x[3]; c++, i++) {
                    int64_t row = h + down, column = w + right;
                    bool inside = row >= 0 && row < x[1] && column >= 0 && column < x[2];
                    int64_t from = ((n * x[1] + row) * x[2] + column) * x[3] + c;
                    ref_put_exact(call, 0, i, inside ? ref_get(call, 0, from) : 0);
                }
    }
}
