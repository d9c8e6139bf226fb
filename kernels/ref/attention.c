/* Reference scaled dot-product attention (Vaswani et al. 2017), its log-sum-exp and its gradients.
 *
 * q and y are [B, T, h, D], k and v [B, S, h / n, D]: n query heads share one key head. Under a
 * causal mask query t sees keys up to t + S - T. Backward follows Dao et al. 2022: probabilities
 * again from the log-sum-exp, and Δ = Σ dy y in place of the softmax's inner product. */
#include "kernels/ref/ref.h"

struct heads {
    int64_t batch, queries, keys, heads, key_heads, width;
    double scale;
    bool causal;
};

static struct heads heads_of(const struct op_call *call)
{
    int q = call->op == OP_ATTENTION ? 0 : 1;
    const int64_t *query = call->in[q].shape.dim, *key = call->in[q + 1].shape.dim;
    double scale = (double)call->attr->attention.scale;
    return (struct heads){ .batch = query[0],
                           .queries = query[1],
                           .keys = key[1],
                           .heads = query[2],
                           .key_heads = key[2],
                           .width = query[3],
                           .scale = scale != 0 ? scale : 1 / sqrt((double)query[3]),
                           .causal = call->attr->attention.causal };
}

/* First element of a query's (or output's) vector, of a key's, and place of a log-sum-exp. */
static int64_t query_at(const struct heads *heads, int64_t b, int64_t t, int64_t h)
{
    return ((b * heads->queries + t) * heads->heads + h) * heads->width;
}

static int64_t key_at(const struct heads *heads, int64_t b, int64_t s, int64_t h)
{
    int64_t key_head = h / (heads->heads / heads->key_heads);
    return ((b * heads->keys + s) * heads->key_heads + key_head) * heads->width;
}

static int64_t lse_at(const struct heads *heads, int64_t b, int64_t t, int64_t h)
{
    return (b * heads->heads + h) * heads->queries + t;
}

/* Keys that query t sees. */
static int64_t seen(const struct heads *heads, int64_t t)
{
    return heads->causal ? t + heads->keys - heads->queries + 1 : heads->keys;
}

static struct sum dot(const struct op_call *call, int a, int64_t at_a, int b, int64_t at_b,
                      int64_t width)
{
    struct sum sum = { 0 };
    for (int64_t d = 0; d < width; d++)
        sum_add(&sum, ref_get(call, a, at_a + d) * ref_get(call, b, at_b + d));
    return sum;
}

size_t ref_attention_workspace(const struct op_call *call)
{
    struct heads heads = heads_of(call);
    size_t pairs = (size_t)(heads.queries * heads.keys);
    return call->op == OP_ATTENTION ? (size_t)heads.keys * sizeof(struct sum)
                                    : (size_t)heads.heads * pairs * 2 * sizeof(struct sum);
}

static void attention_row(const struct op_call *call, const struct heads *heads, int64_t b,
                          int64_t t, int64_t h)
{
    struct sum *p = call->workspace; /* [S]: scores, then probabilities */
    int64_t count = seen(heads, t), q = query_at(heads, b, t, h);
    double most = -INFINITY, total = 0, drift = 0;
    for (int64_t s = 0; s < count; s++) {
        p[s] = (struct sum){ 0 };
        sum_add_scaled(&p[s], heads->scale,
                       dot(call, 0, q, 1, key_at(heads, b, s, h), heads->width));
        most = fmax(most, p[s].value);
    }
    for (int64_t s = 0; s < count; s++) {
        double e = exp(p[s].value - most);
        total += e;
        drift += e * p[s].size;
    }
    drift = drift / total + fabs(log(total)) + fabs(most) + 1;
    ref_put(call, 1, lse_at(heads, b, t, h), (struct sum){ most + log(total), drift });
    for (int64_t s = 0; s < count; s++) {
        double share = exp(p[s].value - most) / total;
        p[s] = (struct sum){ share, share * (1 + p[s].size + drift) };
    }
    for (int64_t d = 0; d < heads->width; d++) {
        struct sum y = { 0 };
        for (int64_t s = 0; s < count; s++)
            sum_add_scaled(&y, ref_get(call, 2, key_at(heads, b, s, h) + d), p[s]);
        ref_put(call, 0, q + d, y);
    }
}

void ref_attention(struct op_call *call)
{
    struct heads heads = heads_of(call);
    for (int64_t b = 0; b < heads.batch; b++)
        for (int64_t t = 0; t < heads.queries; t++)
            for (int64_t h = 0; h < heads.heads; h++) attention_row(call, &heads, b, t, h);
}

/* Fills p and dscore [h, T, S] of one batch element; pairs that do not see each other are 0. */
static void score_gradients(const struct op_call *call, const struct heads *heads, int64_t b,
                            struct sum *p, struct sum *dscore)
{
    int64_t width = heads->width, i = 0;
    for (int64_t h = 0; h < heads->heads; h++)
        for (int64_t t = 0; t < heads->queries; t++) {
            int64_t q = query_at(heads, b, t, h), count = seen(heads, t);
            double lse = ref_get(call, 5, lse_at(heads, b, t, h));
            struct sum delta = dot(call, 0, q, 4, q, width);
            for (int64_t s = 0; s < heads->keys; s++, i++) {
                p[i] = dscore[i] = (struct sum){ 0 };
                if (s >= count) continue;
                int64_t k = key_at(heads, b, s, h);
                struct sum score = { 0 }, inner = dot(call, 0, q, 3, k, width);
                sum_add_scaled(&score, heads->scale, dot(call, 1, q, 2, k, width));
                sum_add(&score, -lse);
                p[i].value = exp(score.value);
                p[i].size = p[i].value * (1 + score.size);
                sum_add_scaled(&inner, -1, delta);
                dscore[i].value = heads->scale * p[i].value * inner.value;
                dscore[i].size = heads->scale *
                                 (p[i].size * fabs(inner.value) + p[i].value * inner.size);
            }
        }
}

static void put_query_gradient(const struct op_call *call, const struct heads *heads, int64_t b,
                               const struct sum *dscore)
{
    for (int64_t h = 0; h < heads->heads; h++)
        for (int64_t t = 0; t < heads->queries; t++)
            for (int64_t d = 0; d < heads->width; d++) {
                struct sum dq = { 0 };
                for (int64_t s = 0; s < heads->keys; s++)
                    sum_add_scaled(&dq, ref_get(call, 2, key_at(heads, b, s, h) + d),
                                   dscore[(h * heads->queries + t) * heads->keys + s]);
                ref_put(call, 0, query_at(heads, b, t, h) + d, dq);
            }
}

/* dk (output 1, from dscore and q) or dv (output 2, from p and dy), summed over sharing heads. */
static void put_key_gradient(const struct op_call *call, const struct heads *heads, int64_t b,
                             int out, const struct sum *pairs)
{
    int64_t group = heads->heads / heads->key_heads;
    for (int64_t key_head = 0; key_head < heads->key_heads; key_head++)
        for (int64_t s = 0; s < heads->keys; s++)
            for (int64_t d = 0; d < heads->width; d++) {
                struct sum gradient = { 0 };
                for (int64_t h = key_head * group; h < (key_head + 1) * group; h++)
                    for (int64_t t = 0; t < heads->queries; t++)
                        sum_add_scaled(
                            &gradient,
                            ref_get(call, out == 1 ? 1 : 0, query_at(heads, b, t, h) + d),
                            pairs[(h * heads->queries + t) * heads->keys + s]);
                ref_put(call, out, key_at(heads, b, s, key_head * group) + d, gradient);
            }
}

void ref_attention_bwd(struct op_call *call)
{
    struct heads heads = heads_of(call);
    struct sum *p = call->workspace; /* [h, T, S] */
    struct sum *dscore = p + heads.heads * heads.queries * heads.keys;
    for (int64_t b = 0; b < heads.batch; b++) {
        score_gradients(call, &heads, b, p, dscore);
        put_query_gradient(call, &heads, b, dscore);
        put_key_gradient(call, &heads, b, 1, dscore);
        put_key_gradient(call, &heads, b, 2, p);
    }
}
