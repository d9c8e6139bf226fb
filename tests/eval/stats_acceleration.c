/* The acceleration of BCa bounds: the jackknife over every unit, by leaving each out in turn, for
 * sums and weights, rows and clusters, few distinct rows and many. */
#include "base/rng.h"
#include "eval/stats.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

enum { N = 900, COUNT = 50 };

static double ratio(const double *sum)
{
    return sum[0] / sum[1];
}

static double ratio_of_sums(const void *context, const double *sum, double units)
{
    (void)context;
    (void)units;
    return ratio(sum);
}

static double mean_of_sums(const void *context, const double *sum, double units)
{
    (void)context;
    return exp(sum[0] / units);
}

struct rows {
    const double *part; /* [rows, 2] */
    int64_t n;
};

static double ratio_of_weights(const void *context, const int32_t *weight, double *scratch)
{
    const struct rows *rows = context;
    double sum[2] = { 0, 0 };
    (void)scratch;
    for (int64_t i = 0; i < rows->n; i++)
        for (int c = 0; c < 2; c++) sum[c] += (weight ? weight[i] : 1) * rows->part[2 * i + c];
    return ratio(sum);
}

/* Of the values that are left when each of the units is taken away. */
static double acceleration_of(const double *left, int64_t units)
{
    double mean = 0, square = 0, cube = 0;
    for (int64_t u = 0; u < units; u++) mean += left[u] / (double)units;
    for (int64_t u = 0; u < units; u++) {
        square += pow(mean - left[u], 2);
        cube += pow(mean - left[u], 3);
    }
    return cube / (6 * pow(square, 1.5));
}

static void fill(double *part, int kinds)
{
    for (uint64_t i = 0; i < N; i++) {
        double u = (double)(rng_mix(8, i) >> 11) * 0x1p-53;
        if (kinds) u = floor(u * kinds) / kinds;
        part[2 * i] = u * u * u * 3;
        part[2 * i + 1] = 1 + u;
    }
}

static bool near(double a, double b)
{
    return fabs(a - b) <= 1e-7 * fabs(b);
}

Test(stats, the_acceleration_of_sums_is_that_of_the_jackknife)
{
    static double part[2 * N], left[N];
    struct resample_opts opts = { .key = 5, .count = COUNT, .threads = 1 };
    for (int kind = 0; kind < 4; kind++) {
        struct bootstrap b;
        struct err err;
        bool mean = kind / 2;
        double sum[2] = { 0, 0 };
        fill(part, kind % 2 ? 5 : 0);
        if (mean)
            for (int i = 0; i < N; i++) part[i] = part[2 * i];
        int columns = mean ? 1 : 2;
        for (int i = 0; i < N; i++)
            for (int c = 0; c < columns; c++) sum[c] += part[i * columns + c];
        for (int i = 0; i < N; i++) {
            double rest[2];
            for (int c = 0; c < columns; c++) rest[c] = sum[c] - part[i * columns + c];
            left[i] = mean ? exp(rest[0] / (N - 1)) : ratio(rest);
        }
        struct sums_call call = { .value = mean ? mean_of_sums : ratio_of_sums,
                                  .part = part,
                                  .units = N,
                                  .columns = columns };
        cr_assert_eq(bootstrap_sums(&b, &call, &opts, &err), OK);
        double want = acceleration_of(left, N);
        cr_expect(fabs(want) > 1e-3 && near(b.acceleration, want), "%d: %.12g, not %.12g", kind,
                  b.acceleration, want);
        cr_expect(near(b.estimate, mean ? exp(sum[0] / N) : ratio(sum)), "%d", kind);
        bootstrap_release(&b);
        call.units = 1;
        cr_assert_eq(bootstrap_sums(&b, &call, &opts, &err), OK);
        cr_expect(b.degenerate && b.acceleration == 0, "one unit");
        bootstrap_release(&b);
        opts.count = 0;
        call.units = N;
        cr_assert_eq(bootstrap_sums(&b, &call, &opts, &err), OK);
        cr_expect(b.degenerate && !b.sorted &&
                  near(b.estimate, mean ? exp(sum[0] / N) : ratio(sum)));
        bootstrap_release(&b);
        opts.count = COUNT;
    }
}

/* Rows by themselves, in clusters, and as a few rows with their shares. */
Test(stats, the_acceleration_of_weights_is_that_of_the_jackknife)
{
    static double part[2 * N], left[N];
    static int32_t weight[N], cluster[N];
    static const int64_t shares[] = { 300, 1, 150, 49, 400 };
    struct resample_opts opts = { .key = 5, .count = COUNT, .threads = 2 };
    for (int kind = 0; kind < 3; kind++) {
        struct bootstrap b;
        struct err err;
        struct rows rows = { part, kind == 2 ? 5 : N };
        int64_t units = 0;
        fill(part, 0);
        for (int i = 0; i < N; i++) cluster[i] = i * 7 % 60;
        struct weights_call call = { .value = ratio_of_weights,
                                     .context = &rows,
                                     .rows = rows.n,
                                     .scratch = 1,
                                     .share = kind == 2 ? shares : NULL,
                                     .cluster = kind == 1 ? cluster : NULL,
                                     .clusters = kind == 1 ? 60 : 0 };
        for (int64_t u = 0; u < (kind == 1 ? 60 : rows.n); u++) {
            for (int64_t i = 0; i < rows.n; i++)
                weight[i] = kind == 0   ? i != u
                            : kind == 1 ? cluster[i] != u
                                        : (int32_t)shares[i] - (i == u);
            double value = ratio_of_weights(&rows, weight, NULL);
            for (int64_t t = 0; t < (kind == 2 ? shares[u] : 1); t++) left[units++] = value;
        }
        cr_assert_eq(bootstrap_weights(&b, &call, &opts, &err), OK);
        double want = acceleration_of(left, units);
        cr_expect(fabs(want) > 1e-4 && near(b.acceleration, want), "%d: %.12g, not %.12g", kind,
                  b.acceleration, want);
        for (int64_t i = 0; i < rows.n; i++) weight[i] = kind == 2 ? (int32_t)shares[i] : 1;
        cr_expect(near(b.estimate, ratio_of_weights(&rows, weight, NULL)), "%d", kind);
        cr_expect(!b.degenerate && b.sorted[0] < b.estimate && b.estimate < b.sorted[COUNT - 1]);
        bootstrap_release(&b);
        call.percentile = true;
        cr_assert_eq(bootstrap_weights(&b, &call, &opts, &err), OK);
        cr_expect_eq(b.acceleration, 0, "no jackknife was asked for");
        bootstrap_release(&b);
    }
}
