/* Reference convolution (a correlation, as in every framework) and its two gradients.
 *
 * Each loop gathers: one output element at a time, from everything that reaches it. */
#include "kernels/ref/ref.h"
#include "kernels/window.h"

/* Elements of an image [N, H, W, C] and of a weight [K, R, S, C / g]. */
static int64_t image_at(const int64_t size[2], int64_t channels, const int64_t at[4])
{
    return ((at[0] * size[0] + at[1]) * size[1] + at[2]) * channels + at[3];
}

static int64_t weight_at(const struct window *window, int64_t filter, int64_t r, int64_t s,
                         int64_t channel)
{
    int64_t per_group = window->channels / window->groups;
    return ((filter * window->size[0] + r) * window->size[1] + s) * per_group + channel % per_group;
}

static struct sum conv_at(const struct op_call *call, const struct window *window,
                          const int64_t at[4])
{
    struct sum y = { 0 };
    int64_t per_group = window->channels / window->groups;
    int64_t group = at[3] / (window->filters / window->groups);
    for (int64_t r = 0; r < window->size[0]; r++)
        for (int64_t s = 0; s < window->size[1]; s++) {
            int64_t row = window_place(window, 0, at[1], r);
            int64_t column = window_place(window, 1, at[2], s);
            if (!window_inside(window, row, column)) continue;
            for (int64_t c = group * per_group; c < (group + 1) * per_group; c++) {
                int64_t from[4] = { at[0], row, column, c };
                sum_add(&y, ref_get(call, 0, image_at(window->in, window->channels, from)) *
                                ref_get(call, 1, weight_at(window, at[3], r, s, c)));
            }
        }
    if (call_has_in(call, 2)) sum_add(&y, ref_get(call, 2, at[3]));
    return activation_of(call->attr->conv.act, y);
}

void ref_conv2d(struct op_call *call)
{
    struct window window = conv_window(call->attr, &call->in[0].shape, &call->in[1].shape);
    int64_t at[4], place = 0;
    for (at[0] = 0; at[0] < window.batch; at[0]++)
        for (at[1] = 0; at[1] < window.out[0]; at[1]++)
            for (at[2] = 0; at[2] < window.out[1]; at[2]++)
                for (at[3] = 0; at[3] < window.filters; at[3]++)
                    ref_put(call, 0, place++, conv_at(call, &window, at));
}

static struct sum conv_bwd_data_at(const struct op_call *call, const struct window *window,
                                   const int64_t at[4])
{
    struct sum dx = { 0 };
    int64_t per_group = window->filters / window->groups;
    int64_t group = at[3] / (window->channels / window->groups);
    for (int64_t r = 0; r < window->size[0]; r++)
        for (int64_t s = 0; s < window->size[1]; s++) {
            int64_t from[4] = { at[0], window_position(window, 0, at[1], r),
                                window_position(window, 1, at[2], s), 0 };
            if (from[1] < 0 || from[2] < 0) continue;
            for (int64_t k = group * per_group; k < (group + 1) * per_group; k++) {
                from[3] = k;
                sum_add(&dx, ref_get(call, 0, image_at(window->out, window->filters, from)) *
                                 ref_get(call, 1, weight_at(window, k, r, s, at[3])));
            }
        }
    return dx;
}

void ref_conv2d_bwd_data(struct op_call *call)
{
    struct window window = conv_window(call->attr, &call->out[0].shape, &call->in[1].shape);
    int64_t at[4], place = 0;
    for (at[0] = 0; at[0] < window.batch; at[0]++)
        for (at[1] = 0; at[1] < window.in[0]; at[1]++)
            for (at[2] = 0; at[2] < window.in[1]; at[2]++)
                for (at[3] = 0; at[3] < window.channels; at[3]++)
                    ref_put(call, 0, place++, conv_bwd_data_at(call, &window, at));
}

/* The weight element of filter `cell[0]`, row `cell[1]`, column `cell[2]`, channel `cell[3]`. */
static struct sum conv_bwd_weight_at(const struct op_call *call, const struct window *window,
                                     const int64_t cell[4])
{
    struct sum dw = { 0 };
    int64_t at[4] = { 0, 0, 0, cell[0] };
    for (at[0] = 0; at[0] < window->batch; at[0]++)
        for (at[1] = 0; at[1] < window->out[0]; at[1]++)
            for (at[2] = 0; at[2] < window->out[1]; at[2]++) {
                int64_t from[4] = { at[0], window_place(window, 0, at[1], cell[1]),
                                    window_place(window, 1, at[2], cell[2]), cell[3] };
                if (!window_inside(window, from[1], from[2])) continue;
                sum_add(&dw, ref_get(call, 0, image_at(window->out, window->filters, at)) *
                                 ref_get(call, 1, image_at(window->in, window->channels, from)));
            }
    return dw;
}

void ref_conv2d_bwd_weight(struct op_call *call)
{
    struct window window = conv_window(call->attr, &call->in[1].shape, &call->out[0].shape);
    int64_t pixels = window.batch * window.out[0] * window.out[1];
    int64_t per_group = window.channels / window.groups;
    for (int64_t k = 0; k < window.filters; k++) {
        struct sum dbias = { 0 };
        for (int64_t pixel = 0; pixel < pixels; pixel++)
            sum_add(&dbias, ref_get(call, 0, pixel * window.filters + k));
        ref_put(call, 1, k, dbias);
        int64_t first = k / (window.filters / window.groups) * per_group;
        for (int64_t r = 0; r < window.size[0]; r++)
            for (int64_t s = 0; s < window.size[1]; s++)
                for (int64_t c = first; c < first + per_group; c++)
                    ref_put(call, 0, weight_at(&window, k, r, s, c),
                            conv_bwd_weight_at(call, &window, (int64_t[]){ k, r, s, c }));
    }
}
