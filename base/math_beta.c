/* The incomplete beta function and what follows from it: binomial tails and exact bounds.
 *
 * The prefix x^a (1-x)^b / B(a, b) is formed around its mode, where the large terms cancel on
 * paper instead of in the machine (Didonato and Morris 1992), so the relative error does not grow
 * with log Gamma of large counts. */
#include "base/math.h"

#include "base/err.h"

#include <math.h>

/* log Gamma(z) - [(z - 1/2) log z - z + log(2 pi) / 2]. */
static double stirling_rest(double z)
{
    if (z < 10) {
        return math_lgamma(z) - ((z - 0.5) * math_log(z) - z + 0.91893853320467274178);
    }
    double t = 1 / (z * z);
    return (1.0 / 12 -
            t * (1.0 / 360 -
                 t * (1.0 / 1260 - t * (1.0 / 1680 - t * (1.0 / 1188 - t * (691.0 / 360360 -
                                                                            t * (1.0 / 156))))))) /
           z;
}

/* log of x^a y^b / B(a, b), with y = 1 - x. */
static double log_prefix(double x, double y, double a, double b)
{
    double total = a + b, mode = a / total, away = x - mode;
    /* u = x/mode - 1 and v = y/(1-mode) - 1; a u + b v = 0, so only the curved parts remain. */
    double u = away * total / a, v = -away * total / b;
    double curved;
    if (u > -0.9 && v > -0.9) {
        curved = a * math_log1p_less(u) + b * math_log1p_less(v);
    } else {
        curved = a * math_log(x / mode) + b * math_log(y * total / b);
    }
    return curved + 0.5 * math_log(mode * b / 6.28318530717958647693) + stirling_rest(total) -
           stirling_rest(a) - stirling_rest(b);
}

/* I_x(a, b) by Lentz's evaluation of the continued fraction; x <= (a + 1) / (a + b + 2). */
static double beta_fraction(double x, double y, double a, double b)
{
    double c = 1, d = 1 - (a + b) * x / (a + 1);
    if (fabs(d) < 1e-300) d = 1e-300;
    d = 1 / d;
    double h = d;
    for (int m = 1; m <= 100000; m++) {
        double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        d = 1 + even * d;
        c = 1 + even / c;
        if (fabs(d) < 1e-300) d = 1e-300;
        if (fabs(c) < 1e-300) c = 1e-300;
        d = 1 / d;
        h *= d * c;
        double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        d = 1 + odd * d;
        c = 1 + odd / c;
        if (fabs(d) < 1e-300) d = 1e-300;
        if (fabs(c) < 1e-300) c = 1e-300;
        d = 1 / d;
        h *= d * c;
        if (fabs(d * c - 1) < 0x1p-52) break;
    }
    return math_exp(log_prefix(x, y, a, b)) * h / a;
}

double math_beta_cdf(double x, double a, double b)
{
    REQUIRE(x >= 0 && x <= 1 && a > 0 && b > 0);
    if (x == 0 || x == 1) return x;
    double value = x <= (a + 1) / (a + b + 2) ? beta_fraction(x, 1 - x, a, b)
                                              : 1 - beta_fraction(1 - x, x, b, a);
    return value < 0 ? 0 : value > 1 ? 1 : value;
}

double math_beta_quantile(double p, double a, double b)
{
    REQUIRE(p >= 0 && p <= 1 && a > 0 && b > 0);
    if (p == 0 || p == 1) return p;
    double low = 0, high = 1, x = a / (a + b);
    for (int step = 0; step < 200; step++) {
        double over = math_beta_cdf(x, a, b) - p;
        if (over == 0) return x;
        if (over > 0)
            high = x;
        else
            low = x;
        double density = math_exp(log_prefix(x, 1 - x, a, b)) / (x * (1 - x));
        double next = x - over / density;
        if (!(next > low && next < high)) next = 0.5 * (low + high);
        if (fabs(next - x) <= 0x1p-51 * x) return next;
        x = next;
    }
    return x;
}

double math_binomial_tail(int64_t k, int64_t n, double p)
{
    if (k <= 0) return 1;
    if (k > n) return 0;
    return math_beta_cdf(p, (double)k, (double)(n - k + 1));
}

double math_binomial_cdf(int64_t k, int64_t n, double p)
{
    if (k < 0) return 0;
    if (k >= n) return 1;
    return math_beta_cdf(1 - p, (double)(n - k), (double)(k + 1));
}
