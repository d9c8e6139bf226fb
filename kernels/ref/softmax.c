/* Reference softmax over the last axis, and softmax with cross-entropy.
 *
 * Cross-entropy follows PyTorch's where the two meet: target t = (1 - smoothing) e_label +
 * smoothing / C, loss = -Σ w_c t_c log p_c with class weights w, weight = w_label. */
#include "kernels/ref/ref.h"

/* A row of logits: its maximum, log Σ exp(z - max), and the magnitude of the latter. */
struct logits {
    int64_t first, classes;
    double most;
    struct sum log_total;
};

static struct logits logits_of(const struct op_call *call, int64_t row)
{
    struct logits z = { .classes = last_dim(&call->in[0]), .most = -INFINITY };
    z.first = row * z.classes;
    double total = 0, drift = 0;
    for (int64_t c = 0; c < z.classes; c++) z.most = fmax(z.most, ref_get(call, 0, z.first + c));
    for (int64_t c = 0; c < z.classes; c++) {
        double off = ref_get(call, 0, z.first + c) - z.most;
        total += exp(off);
        drift += off != 0 ? fabs(off) * exp(off) : 0;
    }
    /* A relative error of the sum is an absolute one of its logarithm. */
    z.log_total = (struct sum){ log(total), fabs(log(total)) + 1 + drift / total };
    return z;
}

/* log p_c and p_c. */
static struct sum log_share(const struct op_call *call, const struct logits *z, int64_t c)
{
    double off = ref_get(call, 0, z->first + c) - z->most;
    return (struct sum){ off - z->log_total.value, fabs(off) + z->log_total.size };
}

static struct sum share(const struct op_call *call, const struct logits *z, int64_t c)
{
    struct sum log_p = log_share(call, z, c);
    double p = exp(log_p.value);
    return (struct sum){ p, p > 0 ? p * (1 + log_p.size) : 0 };
}

void ref_softmax(struct op_call *call)
{
    for (int64_t row = 0; row < row_count(&call->in[0]); row++) {
        struct logits z = logits_of(call, row);
        for (int64_t c = 0; c < z.classes; c++) ref_put(call, 0, z.first + c, share(call, &z, c));
    }
}

void ref_softmax_bwd(struct op_call *call)
{
    int64_t rows = row_count(&call->in[0]), width = last_dim(&call->in[0]);
    for (int64_t row = 0; row < rows; row++) {
        struct sum dot = { 0 };
        for (int64_t i = row * width; i < (row + 1) * width; i++)
            sum_add(&dot, ref_get(call, 0, i) * ref_get(call, 1, i));
        for (int64_t i = row * width; i < (row + 1) * width; i++) {
            struct sum inner = { 0 }, dx = { 0 };
            sum_add(&inner, ref_get(call, 0, i));
            sum_add_scaled(&inner, -1, dot);
            sum_add_scaled(&dx, ref_get(call, 1, i), inner);
            ref_put(call, 0, i, dx);
        }
    }
}

/* What one row is asked to be: labels a and b with shares lambda and 1 - lambda. */
struct target {
    int64_t a, b;
    double lambda;
    bool absent, broken; /* ignored or padding; a label outside the classes */
};

static struct target target_of(const struct op_call *call, int64_t row)
{
    int64_t classes = last_dim(&call->in[0]), ignore = call->attr->loss.ignore_index;
    int64_t rows_per_example = row_count(&call->in[0]) / call->in[0].shape.dim[0];
    struct target target = { .a = (int64_t)ref_get(call, 1, row), .lambda = 1 };
    target.b = target.a;
    if (call_has_in(call, 3)) {
        target.b = (int64_t)ref_get(call, 3, row);
        target.lambda = ref_get(call, 4, row);
    }
    target.absent = row / rows_per_example >= call->block->valid_rows ||
                    (ignore != -1 && (target.a == ignore || target.b == ignore));
    target.broken = target.a < 0 || target.a >= classes || target.b < 0 || target.b >= classes;
    return target;
}

/* Class weight times target share. */
static double wanted(const struct op_call *call, const struct target *target, int64_t c)
{
    double smoothing = call->attr->loss.smoothing;
    double share = smoothing / (double)last_dim(&call->in[0]);
    if (c == target->a) share += (1 - smoothing) * target->lambda;
    if (c == target->b) share += (1 - smoothing) * (1 - target->lambda);
    return call_has_in(call, 2) ? share * ref_get(call, 2, c) : share;
}

static double class_weight(const struct op_call *call, int64_t c)
{
    return call_has_in(call, 2) ? ref_get(call, 2, c) : 1;
}

static void put_row(const struct op_call *call, int64_t row, double value)
{
    int64_t classes = last_dim(&call->in[0]);
    ref_put_exact(call, 0, row, value);
    ref_put_exact(call, 1, row, value);
    for (int64_t c = 0; c < classes; c++) ref_put_exact(call, 2, row * classes + c, value);
}

static void xent_row(const struct op_call *call, int64_t row, const struct target *target)
{
    struct logits z = logits_of(call, row);
    struct sum loss = { 0 }, weight = { 0 };
    double total = 0;
    double scale = (double)call->block->loss_scale / (double)call->attr->loss.nominal;
    for (int64_t c = 0; c < z.classes; c++) {
        double share = wanted(call, target, c);
        total += share;
        if (share != 0) sum_add_scaled(&loss, -share, log_share(call, &z, c));
    }
    for (int64_t c = 0; c < z.classes; c++) {
        struct sum dz = { 0 };
        sum_add_scaled(&dz, scale * total, share(call, &z, c));
        sum_add(&dz, -scale * wanted(call, target, c));
        ref_put(call, 2, z.first + c, dz);
    }
    sum_add(&weight, target->lambda * class_weight(call, target->a));
    sum_add(&weight, (1 - target->lambda) * class_weight(call, target->b));
    ref_put(call, 0, row, loss);
    ref_put(call, 1, row, weight);
}

void ref_softmax_xent(struct op_call *call)
{
    for (int64_t row = 0; row < row_count(&call->in[0]); row++) {
        struct target target = target_of(call, row);
        if (target.absent)
            put_row(call, row, 0);
        else if (target.broken)
            put_row(call, row, NAN);
        else
            xent_row(call, row, &target);
    }
}
