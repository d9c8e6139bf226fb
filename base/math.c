/* Exponential, logarithms, log gamma and the normal distribution by argument reduction and series.
 *
 * Coefficients are those of the Taylor and asymptotic series, computed here from integers, so that
 * there is no table to trust. Each function reduces its argument until its series reaches 2^-54. */
#include "base/math.h"

#include "base/err.h"

#include <math.h>
#include <string.h>

/* ln 2 in two parts: the high one has 21 zero bits at its end, so k * LN2_HIGH is exact. */
static const double LN2_HIGH = 0x1.62e42fefap-1, LN2_LOW = 0x1.cf79abc9e3b3ap-40;
static const double INV_LN2 = 0x1.71547652b82fep+0;
static const double HALF_LOG_2PI = 0.91893853320467274178;
static const double SQRT_2PI = 2.50662827463100050242;

/* 2^k for a normal exponent. */
static double power_of_two(int k)
{
    uint64_t bits = (uint64_t)(k + 1023) << 52;
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

double math_exp(double x)
{
    if (isnan(x)) return x;
    if (x > 709.782712893384) return INFINITY;
    if (x < -745.2) return 0;
    double k = floor(x * INV_LN2 + 0.5);
    double high = x - k * LN2_HIGH, low = k * LN2_LOW;
    double r = high - low; /* |r| <= 0.347 */
    /* e^r = 1 + 2r / (2 - c) with c = r - r^2 (1/6 - r^2/360 + ...): the even series of
     * r coth(r/2) (Remez' form of it is fdlibm's); here by its Bernoulli numbers. */
    double t = r * r;
    double c = r - t * (1.0 / 6 - t * (1.0 / 360 - t * (1.0 / 15120 -
                                                        t * (1.0 / 604800 -
                                                             t * (1.0 / 23950080 -
                                                                  t * (691.0 / 653837184000.0))))));
    double y = 1 + (r * c / (2 - c) - low + high);
    /* Two factors, so that subnormal results round once. */
    int n = (int)k, half = n / 2;
    return y * power_of_two(half) * power_of_two(n - half);
}

/* 2 (s^2/3 + s^4/5 + ...), the tail of 2 atanh(s) / s, for |s| <= 0.18. */
static double atanh_tail(double s)
{
    double t = s * s, sum = 0;
    for (int j = 25; j >= 3; j -= 2) sum = t * (2.0 / j + sum);
    return sum;
}

double math_log(double x)
{
    REQUIRE(!(x < 0));
    if (x == 0) return -INFINITY;
    if (isnan(x) || isinf(x)) return x;
    int shift = 0;
    if (x < 0x1p-1022) {
        x *= 0x1p54;
        shift = -54;
    }
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    int k = (int)(bits >> 52) - 1023 + shift;
    bits = (bits & 0xFFFFFFFFFFFFFu) | (uint64_t)1023 << 52;
    double m;
    memcpy(&m, &bits, sizeof m);
    if (m > 1.4142135623730951) {
        m *= 0.5;
        k++;
    }
    double f = m - 1, s = f / (2 + f);
    double rest = s * (f - atanh_tail(s)); /* log m = f - rest */
    return k * LN2_HIGH - ((rest - k * LN2_LOW) - f);
}

double math_log1p(double x)
{
    REQUIRE(!(x < -1));
    if (fabs(x) > 0.3) {
        double y = 1 + x;
        if (y == 0 || isinf(y)) return y == 0 ? -INFINITY : y;
        /* What rounding of 1 + x lost comes back to first order. */
        double lost = y >= 2 ? 1 - (y - x) : x - (y - 1);
        return math_log(y) + lost / y;
    }
    double s = x / (2 + x);
    return x - s * (x - atanh_tail(s));
}

double math_log1p_less(double x)
{
    if (fabs(x) > 0.3) return math_log1p(x) - x;
    double s = x / (2 + x);
    return -(s * (x - atanh_tail(s)));
}

/* Stirling's correction log Gamma(x) - [(x - 1/2) log x - x + log(2 pi)/2] for x >= 10. */
static double stirling(double x)
{
    double t = 1 / (x * x);
    double sum = 1.0 / 12 -
                 t * (1.0 / 360 -
                      t * (1.0 / 1260 -
                           t * (1.0 / 1680 -
                                t * (1.0 / 1188 - t * (691.0 / 360360 -
                                                       t * (1.0 / 156 - t * (3617.0 / 122400)))))));
    return sum / x;
}

double math_lgamma(double x)
{
    REQUIRE(x > 0);
    double product = 1, y = x;
    for (; y < 10; y += 1) product *= y;
    double value = (y - 0.5) * math_log(y) - y + HALF_LOG_2PI + stirling(y);
    return product == 1 ? value : value - math_log(product);
}

/* e^(-scale x^2), the rounding of x^2 taken back: x = high + low, high with 26 bits. */
static double exp_minus_scaled(double x, double scale)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits &= ~(uint64_t)0x7FFFFFF;
    double high;
    memcpy(&high, &bits, sizeof high);
    return math_exp(-high * high * scale) * math_exp(-(x - high) * (x + high) * scale);
}

static double exp_minus_square(double x)
{
    return exp_minus_scaled(x, 1);
}

static double exp_minus_half_square(double x)
{
    return exp_minus_scaled(x, 0.5);
}

static const double SQRT_PI = 1.77245385090551602730;

/* erfc(z) e^(z^2) for z >= 1/2: 1/sqrt(pi) * 1/(z + (1/2)/(z + (2/2)/(z + ...))), from the far end;
 * the depth grows with 1/z^2. */
static double erfc_scaled(double z)
{
    double fraction = z;
    for (int n = (int)(20 + 200 / (z * z)); n >= 1; n--) fraction = z + 0.5 * n / fraction;
    return 1 / (SQRT_PI * fraction);
}

double math_erfc(double x)
{
    if (isnan(x)) return x;
    double z = fabs(x);
    if (z < 0.5) {
        /* erf z = 2/sqrt(pi) e^(-z^2) sum 2^n z^(2n+1) / (2n+1)!!: all terms positive. */
        double term = z, sum = z;
        for (int n = 1; term > sum * 0x1p-56; n++) {
            term *= 2 * z * z / (2 * n + 1);
            sum += term;
        }
        double erf = 2 / SQRT_PI * exp_minus_square(z) * sum;
        return x < 0 ? 1 + erf : 1 - erf;
    }
    double upper = z > 27.3 ? 0 : exp_minus_square(z) * erfc_scaled(z);
    return x < 0 ? 2 - upper : upper;
}

static const double SQRT_HALF = 0.70710678118654752440;

double math_normal_cdf(double x)
{
    if (!(x < -1)) return 0.5 * math_erfc(-x * SQRT_HALF);
    /* e^(-x^2/2) from x itself: rounding of x/sqrt(2) would be magnified by x^2. */
    if (x < -38.6) return 0;
    return 0.5 * exp_minus_half_square(x) * erfc_scaled(-x * SQRT_HALF);
}

double math_normal_quantile(double p)
{
    REQUIRE(p >= 0 && p <= 1);
    if (p == 0) return -INFINITY;
    if (p == 1) return INFINITY;
    if (p > 0.5) return -math_normal_quantile(1 - p);
    /* Abramowitz and Stegun 26.2.22 starts within 3e-3; each Halley step triples the digits. */
    double t = sqrt(-2 * math_log(p));
    double x = (2.30753 + 0.27061 * t) / (1 + t * (0.99229 + 0.04481 * t)) - t;
    for (int step = 0; step < 3; step++) {
        double density = exp_minus_half_square(x) / SQRT_2PI;
        double u = (math_normal_cdf(x) - p) / density;
        x -= u / (1 + 0.5 * x * u);
    }
    return x;
}
