/* The elementary functions against libm in long double and against values computed with mpmath. */
#include "base/math.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

/* Distance of `got` from `want` in units in the last place of `want` as a double. */
static double ulps(double got, long double want)
{
    if ((long double)got == want) return 0;
    if (isnan(got) || isinf(got)) return INFINITY;
    double near = fabs((double)want);
    double unit = nextafter(near, INFINITY) - near;
    if (near < 0x1p-1022) unit = 0x1p-1074;
    return (double)(fabsl((long double)got - want) / unit);
}

static double unit_draw(unsigned *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (*state >> 8) * 0x1p-24;
}

struct function {
    const char *name;
    double (*ours)(double);
    long double (*theirs)(long double);
    double low, high;
    double limit; /* ulps */
};

static long double normal_cdf(long double x)
{
    return 0.5L * erfcl(-x * 0.70710678118654752440084436210485L);
}

static const struct function functions[] = {
    { "exp", math_exp, expl, -1, 1, 1.5 },
    { "exp wide", math_exp, expl, -700, 700, 1.5 },
    { "exp subnormal", math_exp, expl, -744, -700, 1.5 },
    { "log near 1", math_log, logl, 0.5, 2, 1.5 },
    { "log", math_log, logl, 1e-9, 1e9, 1.5 },
    { "log1p small", math_log1p, log1pl, -1e-3, 1e-3, 1.5 },
    { "log1p", math_log1p, log1pl, -0.999, 100, 2 },
    { "lgamma", math_lgamma, lgammal, 3, 1e6, 6 },
    { "erfc", math_erfc, erfcl, -5, 1, 6 },
    { "erfc tail", math_erfc, erfcl, 1, 26, 5 },
    { "normal cdf", math_normal_cdf, normal_cdf, -38, 8, 8 },
};

Test(math, elementary_functions_are_within_a_few_ulp_of_long_double)
{
    for (size_t f = 0; f < sizeof functions / sizeof *functions; f++) {
        const struct function *row = &functions[f];
        unsigned state = 12345;
        double worst = 0, at = 0;
        for (int i = 0; i < 200000; i++) {
            double x = row->low + (row->high - row->low) * unit_draw(&state);
            double d = ulps(row->ours(x), row->theirs((long double)x));
            if (d > worst || isnan(d)) worst = d, at = x;
        }
        cr_expect(worst <= row->limit, "%s: %.2f ulp at %.17g", row->name, worst, at);
    }
}

Test(math, ends_of_the_ranges)
{
    cr_expect_eq(math_exp(-800), 0);
    cr_expect(isinf(math_exp(800)) && isinf(math_log(INFINITY)));
    cr_expect_eq(math_log(0), -INFINITY);
    cr_expect_eq(math_log(1), 0);
    cr_expect_eq(math_exp(0), 1);
    cr_expect_eq(math_log1p(-1), -INFINITY);
    cr_expect(isnan(math_exp(NAN)) && isnan(math_erfc(NAN)));
    cr_expect(ulps(math_log(0x1p-1074), logl(0x1p-1074L)) <= 1);
    cr_expect_eq(math_erfc(40), 0);
    cr_expect_eq(math_erfc(-40), 2);
    cr_expect_eq(math_normal_quantile(0), -INFINITY);
    cr_expect_eq(math_normal_quantile(0.5) == 0 || fabs(math_normal_quantile(0.5)) < 1e-16, 1);
    for (double x = 0.01; x < 3; x += 0.01) {
        cr_expect_lt(fabs(math_lgamma(x) - lgamma(x)), 1e-14, "lgamma %g", x);
    }
}

Test(math, normal_quantile_inverts_the_distribution)
{
    static const struct {
        double p, x; /* scipy.special.ndtri */
    } rows[] = {
        { 0.05, -1.6448536269514729 },   { 0.025, -1.9599639845400545 },
        { 0.975, 1.959963984540054 },    { 0.2, -0.8416212335729142 },
        { 1e-10, -6.361340902404056 },   { 1e-300, -37.0470962993612 },
        { 0.999999, 4.753424308817087 }, { 0.4, -0.2533471031357997 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cr_expect_lt(fabs(math_normal_quantile(rows[i].p) / rows[i].x - 1), 1e-14, "p %g",
                     rows[i].p);
    }
    for (double p = 0.0005; p < 1; p += 0.0005) {
        cr_expect_lt(fabs(math_normal_cdf(math_normal_quantile(p)) - p), 1e-15, "p %g", p);
    }
}

/* I_x(a, b) by mpmath with 30 digits. */
static const struct {
    double x, a, b, want;
} betas[] = {
    { 0.5, 1, 1, 0.5 },
    { 0.1, 2, 3, 0.052300000000000005396 },
    { 0.9, 2, 3, 0.9963000000000000024 },
    { 0.01, 0.5, 0.5, 0.063768560858519848583 },
    { 0.91, 9214, 787, 0.000026656654779958079158 },
    { 0.92, 9214, 787, 0.31075022538553386844 },
    { 0.9, 9214, 787, 9.1436672056814735661e-14 },
    { 0.5, 500, 501, 0.51261250908918040095 },
    { 0.45, 500, 501, 0.00084654921661926054696 },
    { 0.0001, 1, 10000, 0.63213895356707009352 },
    { 0.9999, 10000, 1, 0.36786104643297044222 },
    { 0.5, 30, 3, 1.2316741049289703369e-7 },
    { 0.919, 919000, 81001, 0.50093532563150910509 },
    { 0.9205, 919000, 81001, 0.99999998412272131528 },
    { 1e-06, 3, 1000000, 0.080301672981258640139 },
    { 0.2, 200, 1, 1.6069380442590081161e-140 },
    { 0.8, 5, 1.5, 0.50556064881524661244 },
};

Test(math, incomplete_beta_and_its_inverse)
{
    for (size_t i = 0; i < sizeof betas / sizeof *betas; i++) {
        double got = math_beta_cdf(betas[i].x, betas[i].a, betas[i].b);
        cr_expect_lt(fabs(got / betas[i].want - 1), 2e-13, "row %zu: %.17g, want %.17g", i, got,
                     betas[i].want);
        if (betas[i].want > 1e-100) {
            double back = math_beta_quantile(betas[i].want, betas[i].a, betas[i].b);
            cr_expect_lt(fabs(back / betas[i].x - 1), 1e-12, "row %zu: back %.17g", i, back);
        }
    }
}

Test(math, binomial_tails_are_sums_of_probabilities)
{
    for (int n = 1; n <= 40; n += 13) {
        for (double p = 0.05; p < 1; p += 0.3) {
            long double sum = 0;
            for (int k = 0; k <= n; k++) {
                cr_expect_lt(fabs(math_binomial_tail(k, n, p) - (double)(1 - sum)), 1e-14);
                sum += expl(lgammal(n + 1.0L) - lgammal(k + 1.0L) - lgammal(n - k + 1.0L) +
                            k * logl(p) + (n - k) * log1pl(-(long double)p));
                cr_expect_lt(fabs(math_binomial_cdf(k, n, p) - (double)sum), 1e-14,
                             "n %d k %d p %g", n, k, p);
            }
        }
    }
    cr_expect_eq(math_binomial_cdf(-1, 5, 0.5), 0);
    cr_expect_eq(math_binomial_tail(6, 5, 0.5), 0);
}
