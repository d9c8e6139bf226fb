/* Elementary functions for statistics, the same bits on every machine.
 *
 * libm's exp, log, lgamma and erfc differ between its builds and CPU paths in the last bits, and a
 * verdict that is replayed elsewhere must not. These use only + - * /, sqrt, fabs and floor, in a
 * fixed order and without contraction, so IEEE 754 settles every bit. Errors are a few units in the
 * last place (tests/base/math.c holds them to it); arguments outside a domain are bugs unless said
 * otherwise. */
#ifndef PAWL_BASE_MATH_H
#define PAWL_BASE_MATH_H

#include <stdint.h>

/* e^x; 0 below -745.2, infinity above 709.79. */
double math_exp(double x);

/* Natural logarithm; x >= 0 (-infinity at 0). */
double math_log(double x);

/* log(1 + x) without loss near 0; x >= -1. */
double math_log1p(double x);

/* log(1 + x) - x without loss near 0; x > -1. */
double math_log1p_less(double x);

/* log Gamma(x), x > 0: Stirling's series after shifting upward; the error stays below 1e-14 times
 * max(1, |value|). */
double math_lgamma(double x);

/* Complementary error function: a series below 1/2, a continued fraction above (Abramowitz and
 * Stegun 7.1.6, 7.1.14). */
double math_erfc(double x);

/* Standard normal distribution, and its inverse by Halley steps on it; p in [0, 1], with infinities
 * at both ends. */
double math_normal_cdf(double x);
double math_normal_quantile(double p);

/* Regularised incomplete beta I_x(a, b) for a, b > 0 and x in [0, 1]: the continued fraction of
 * Didonato and Morris, "Algorithm 708" (ACM TOMS 1992), with its prefix formed without
 * cancellation. Relative error below 1e-13 for a + b up to 1e6, growing with it. */
double math_beta_cdf(double x, double a, double b);

/* The x with I_x(a, b) = p: bisection to a bracket, then Newton steps kept inside it. */
double math_beta_quantile(double p, double a, double b);

/* P(X <= k) and P(X >= k) for X binomial (n, p); k may lie outside 0..n. */
double math_binomial_cdf(int64_t k, int64_t n, double p);
double math_binomial_tail(int64_t k, int64_t n, double p);

#endif
