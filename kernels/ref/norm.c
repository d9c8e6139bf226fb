/* Reference batch norm and layer norm.
 *
 * Batch norm: Ioffe and Szegedy 2015; layer norm: Ba, Kiros, Hinton 2016. Normalising uses the
 * biased variance; the running variance takes the unbiased one, as PyTorch does (with one row there
 * is none, and the biased one is taken). */
#include "kernels/ref/norm.h"

/* Mean and rstd of `count` elements of input `in`, `stride` apart, from `first` on. */
static void statistics(const struct op_call *call, int in, const int64_t range[3], double eps,
                       struct sum *mean, struct sum *variance, struct sum *rstd)
{
    int64_t first = range[0], count = range[1], stride = range[2];
    *mean = *variance = (struct sum){ 0 };
    for (int64_t i = 0; i < count; i++)
        sum_add(mean, ref_get(call, in, first + i * stride) / (double)count);
    for (int64_t i = 0; i < count; i++) {
        double off = ref_get(call, in, first + i * stride) - mean->value;
        /* An error of the mean enters every square. */
        variance->value += off * off / (double)count;
        variance->size += (off * off + 2 * fabs(off) * mean->size) / (double)count;
    }
    rstd->value = 1 / sqrt(variance->value + eps);
    rstd->size = rstd->value + 0.5 * pow(rstd->value, 3) * variance->size;
}

struct sum channel_hat(const struct channel *channel, double x)
{
    double off = x - channel->mean.value;
    return (struct sum){ off * channel->rstd.value,
                         (fabs(x) + channel->mean.size) * channel->rstd.value +
                             fabs(off) * channel->rstd.size };
}

struct sum channel_apply(const struct channel *channel, double x)
{
    struct sum z = { 0 };
    sum_add_scaled(&z, channel->gamma, channel_hat(channel, x));
    sum_add(&z, channel->beta);
    return z;
}

struct sum channel_bwd(const struct channel *channel, double x, struct sum g,
                       const struct sum totals[2], double rows)
{
    struct sum hat = channel_hat(channel, x), dx = { 0 }, inner = g;
    sum_add_scaled(&inner, -1 / rows, totals[1]);
    sum_add_scaled(&inner, -hat.value / rows, totals[0]);
    inner.size += hat.size * fabs(totals[0].value) / rows;
    sum_add_scaled(&dx, channel->gamma * channel->rstd.value, inner);
    return dx;
}

/* A batch that is not finite leaves the running statistics alone: the guards skip or stop the step,
 * and its poison must not outlive it. */
static void move_running(const struct op_call *call, int in, int64_t c, struct sum batch)
{
    if (!isfinite(batch.value)) batch = (struct sum){ ref_get(call, in, c), 0 };
    double momentum = (double)call->attr->norm.momentum;
    struct sum running = { 0 };
    sum_add(&running, (1 - momentum) * ref_get(call, in, c));
    sum_add_scaled(&running, momentum, batch);
    ref_update(call, in, c, running);
}

struct channel channel_of_batch(const struct op_call *call, int64_t c)
{
    int64_t rows = row_count(&call->in[0]), channels = last_dim(&call->in[0]);
    struct channel channel = { .gamma = ref_get(call, 1, c), .beta = ref_get(call, 2, c) };
    struct sum variance, unbiased = { 0 };
    statistics(call, 0, (int64_t[]){ c, rows, channels }, (double)call->attr->norm.eps,
               &channel.mean, &variance, &channel.rstd);
    sum_add_scaled(&unbiased, rows > 1 ? (double)rows / (double)(rows - 1) : 1, variance);
    ref_put(call, 1, c, channel.mean);
    ref_put(call, 2, c, channel.rstd);
    move_running(call, 3, c, channel.mean);
    move_running(call, 4, c, unbiased);
    return channel;
}

void ref_batch_norm(struct op_call *call)
{
    int64_t rows = row_count(&call->in[0]), channels = last_dim(&call->in[0]);
    for (int64_t c = 0; c < channels; c++) {
        struct channel channel = channel_of_batch(call, c);
        for (int64_t i = c; i < rows * channels; i += channels)
            ref_put(call, 0, i, channel_apply(&channel, ref_get(call, 0, i)));
    }
}

static struct sum exactly(double value)
{
    return (struct sum){ value, fabs(value) };
}

void ref_batch_norm_bwd(struct op_call *call)
{
    int64_t rows = row_count(&call->in[1]), channels = last_dim(&call->in[1]);
    for (int64_t c = 0; c < channels; c++) {
        struct channel channel = { .mean = exactly(ref_get(call, 3, c)),
                                   .rstd = exactly(ref_get(call, 4, c)),
                                   .gamma = ref_get(call, 2, c) };
        struct sum totals[2] = { 0 }; /* dgamma, dbeta */
        for (int64_t i = c; i < rows * channels; i += channels) {
            double dy = ref_get(call, 0, i);
            sum_add_scaled(&totals[0], dy, channel_hat(&channel, ref_get(call, 1, i)));
            sum_add(&totals[1], dy);
        }
        for (int64_t i = c; i < rows * channels; i += channels)
            ref_put(call, 0, i,
                    channel_bwd(&channel, ref_get(call, 1, i), exactly(ref_get(call, 0, i)), totals,
                                (double)rows));
        ref_put(call, 1, c, totals[0]);
        ref_put(call, 2, c, totals[1]);
    }
}

/* The channel that stored statistics (inputs `mean`, `mean` + 1) describe. */
static struct channel stored(const struct op_call *call, int mean, int64_t c)
{
    double rstd = 1 / sqrt(ref_get(call, mean + 1, c) + (double)call->attr->norm.eps);
    return (struct channel){ .mean = exactly(ref_get(call, mean, c)), .rstd = exactly(rstd) };
}

void ref_batch_norm_infer(struct op_call *call)
{
    int64_t rows = row_count(&call->in[0]), channels = last_dim(&call->in[0]);
    for (int64_t c = 0; c < channels; c++) {
        struct channel channel = stored(call, 3, c);
        channel.gamma = ref_get(call, 1, c);
        channel.beta = ref_get(call, 2, c);
        for (int64_t i = c; i < rows * channels; i += channels)
            ref_put(call, 0, i, channel_apply(&channel, ref_get(call, 0, i)));
    }
}

void ref_batch_norm_infer_bwd(struct op_call *call)
{
    int64_t rows = row_count(&call->in[1]), channels = last_dim(&call->in[1]);
    for (int64_t c = 0; c < channels; c++) {
        struct channel channel = stored(call, 3, c);
        struct sum dgamma = { 0 }, dbeta = { 0 };
        for (int64_t i = c; i < rows * channels; i += channels) {
            double dy = ref_get(call, 0, i);
            sum_add_scaled(&dgamma, dy, channel_hat(&channel, ref_get(call, 1, i)));
            sum_add(&dbeta, dy);
            ref_put_exact(call, 0, i, dy * ref_get(call, 2, c) * channel.rstd.value);
        }
        ref_put(call, 1, c, dgamma);
        ref_put(call, 2, c, dbeta);
    }
}

void ref_layer_norm(struct op_call *call)
{
    int64_t rows = row_count(&call->in[0]), width = last_dim(&call->in[0]);
    for (int64_t row = 0; row < rows; row++) {
        struct channel norm = { 0 };
        struct sum variance;
        statistics(call, 0, (int64_t[]){ row * width, width, 1 }, (double)call->attr->norm.eps,
                   &norm.mean, &variance, &norm.rstd);
        ref_put(call, 1, row, norm.mean);
        ref_put(call, 2, row, norm.rstd);
        for (int64_t c = 0; c < width; c++) {
            norm.gamma = ref_get(call, 1, c);
            norm.beta = call_has_in(call, 2) ? ref_get(call, 2, c) : 0;
            ref_put(call, 0, row * width + c,
                    channel_apply(&norm, ref_get(call, 0, row * width + c)));
        }
    }
}

static struct channel row_norm(const struct op_call *call, int64_t row)
{
    return (struct channel){ .mean = exactly(ref_get(call, 3, row)),
                             .rstd = exactly(ref_get(call, 4, row)),
                             .gamma = 1 };
}

void ref_layer_norm_bwd(struct op_call *call)
{
    int64_t rows = row_count(&call->in[1]), width = last_dim(&call->in[1]);
    for (int64_t row = 0; row < rows; row++) {
        struct channel norm = row_norm(call, row);
        struct sum totals[2] = { 0 }; /* of g hat and of g, with g = dy gamma */
        for (int64_t c = 0; c < width; c++) {
            double g = ref_get(call, 0, row * width + c) * ref_get(call, 2, c);
            sum_add_scaled(&totals[0], g, channel_hat(&norm, ref_get(call, 1, row * width + c)));
            sum_add(&totals[1], g);
        }
        for (int64_t c = 0; c < width; c++) {
            double g = ref_get(call, 0, row * width + c) * ref_get(call, 2, c);
            ref_put(call, 0, row * width + c,
                    channel_bwd(&norm, ref_get(call, 1, row * width + c), exactly(g), totals,
                                (double)width));
        }
    }
    for (int64_t c = 0; c < width; c++) {
        struct sum dgamma = { 0 }, dbeta = { 0 };
        for (int64_t row = 0; row < rows; row++) {
            struct channel norm = row_norm(call, row);
            double dy = ref_get(call, 0, row * width + c);
            sum_add_scaled(&dgamma, dy, channel_hat(&norm, ref_get(call, 1, row * width + c)));
            sum_add(&dbeta, dy);
        }
        ref_put(call, 1, c, dgamma);
        ref_put(call, 2, c, dbeta);
    }
}
