/* Whole graphs: gradients against finite differences, devices and ablations against each other. */
#include "bench_model.h"

#include "base/rng.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static const char *const names[] = { "cnn", "residual", "mlp", "mixed" };
enum { MODELS = sizeof names / sizeof *names };

/* Sums g . v and moves all parameters by `by` * v, v a fixed random direction. */
static double along(struct params *params, float *values, const float *gradient, double by)
{
    double dot = 0;
    for (int64_t s = 0; s < params->segments.count; s++) {
        const struct segment *segment = &params->segments.at[s];
        for (int64_t i = segment->offset; i < segment->offset + segment->count; i++) {
            double v = rng_normal(99, (uint64_t)i);
            dot += (double)gradient[i] * v;
            values[i] += (float)(by * v);
        }
    }
    return dot;
}

Test(graph, directional_derivative_equals_finite_difference_on_ref)
{
    for (int m = 0; m < MODELS; m++) {
        struct trial trial;
        trial_open(&trial, names[m], &(struct trial_opts){ .device = "ref", .batch = 7 });
        trial_loss(&trial);
        float *values = trial.params.memory[ARENA_VALUE];
        size_t bytes = (size_t)trial.params.segments.size * sizeof(float);
        float *gradient = arena_copy_len(&trial.arena, trial.params.memory[ARENA_GRADIENT], bytes)
                              ? (float *)(void *)arena_copy_len(
                                    &trial.arena, trial.params.memory[ARENA_GRADIENT], bytes)
                              : NULL;
        float *start = (float *)(void *)arena_copy_len(&trial.arena, values, bytes);
        double step = 1e-4;
        double slope = along(&trial.params, values, gradient, step);
        double up = trial_loss(&trial);
        memcpy(values, start, bytes);
        along(&trial.params, values, gradient, -step);
        double down = trial_loss(&trial);
        double measured = (up - down) / (2 * step);
        cr_expect(fabs(measured - slope) <= 2e-2 * (fabs(slope) + 0.1), "%s: %g measured, %g told",
                  names[m], measured, slope);
        trial_close(&trial);
    }
}

/* Largest difference between two gradient arenas relative to the largest gradient. */
static double gap(const struct trial *a, const struct trial *b)
{
    double most = 0, scale = 0;
    for (int64_t i = 0; i < a->params.segments.size; i++) {
        double x = (double)a->params.memory[ARENA_GRADIENT][i];
        double y = (double)b->params.memory[ARENA_GRADIENT][i];
        most = fmax(most, fabs(x - y));
        scale = fmax(scale, fabs(x));
    }
    return most / scale;
}

struct variant {
    const char *name;
    struct trial_opts a, b;
    double bound;
};

Test(graph, variants_agree)
{
    static const struct variant variants[] = {
        { "cpu against ref", { .device = "cpu" }, { .device = "ref" }, 2e-4 },
        { "fused against plain", { .device = "cpu" }, { .device = "cpu", .no_fuse = true }, 2e-4 },
        { "fused against plain on ref",
          { .device = "ref" },
          { .device = "ref", .no_fuse = true },
          1e-5 },
        { "memory reused or not", { .device = "cpu" }, { .device = "cpu", .no_reuse = true }, 0 },
    };
    for (int m = 0; m < MODELS; m++) {
        for (size_t v = 0; v < sizeof variants / sizeof *variants; v++) {
            struct trial a, b;
            struct trial_opts left = variants[v].a, right = variants[v].b;
            left.batch = right.batch = 9;
            trial_open(&a, names[m], &left);
            trial_open(&b, names[m], &right);
            double loss_a = trial_loss(&a), loss_b = trial_loss(&b);
            cr_expect(isfinite(loss_a) && fabs(loss_a - loss_b) <= variants[v].bound + 1e-12,
                      "%s, %s: losses %.9g and %.9g", names[m], variants[v].name, loss_a, loss_b);
            cr_expect(gap(&a, &b) <= variants[v].bound, "%s, %s: gradients differ by %g", names[m],
                      variants[v].name, gap(&a, &b));
            trial_close(&a);
            trial_close(&b);
        }
    }
}

Test(graph, accumulating_twice_doubles_the_gradient)
{
    for (int m = 0; m < MODELS; m++) {
        struct trial once, twice;
        trial_open(&once, names[m], &(struct trial_opts){ .device = "cpu", .batch = 8 });
        trial_open(&twice, names[m],
                   &(struct trial_opts){ .device = "cpu", .batch = 8, .accumulate = true });
        trial_loss(&once);
        trial_loss(&twice);
        trial_loss(&twice);
        for (int64_t i = 0; i < once.params.segments.size; i++)
            twice.params.memory[ARENA_GRADIENT][i] /= 2;
        cr_expect(gap(&once, &twice) <= 1e-5, "%s: %g", names[m], gap(&once, &twice));
        trial_close(&once);
        trial_close(&twice);
    }
}

Test(graph, fusion_joins_what_it_should)
{
    struct trial trial;
    int joined = 0;
    trial_open(&trial, "cnn", &(struct trial_opts){ .device = "cpu", .batch = 8 });
    for (int n = 0; n < trial.graph.node_count; n++) {
        enum op_kind op = trial.graph.nodes[n].op;
        joined += op == OP_BN_ACT_POOL || op == OP_BN_ACT_POOL_BWD;
        cr_expect(op != OP_MAX_POOL && op != OP_BATCH_NORM, "node %d is %s", n, ops[op].name);
    }
    cr_expect_eq(joined, 4);
    trial_close(&trial);
}
