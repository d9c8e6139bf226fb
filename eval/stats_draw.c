/* Binomial numbers, multinomial vectors and the blocked draw of a resample. */
#include "eval/stats_draw.h"

#include "base/err.h"
#include "base/math.h"
#include "base/rng.h"
#include "eval/simd/draw.h"

#include <math.h>

struct words words_of(uint64_t key, uint64_t resample)
{
    return (struct words){ .key = key, .resample = resample };
}

double words_uniform(struct words *words)
{
    if (words->left == 0) {
        struct philox drawn = philox4x32(words->key, words->counter++, words->resample);
        for (int i = 0; i < 4; i++) words->word[i] = drawn.word[i];
        words->left = 4;
    }
    return ((double)words->word[--words->left] + 0.5) * 0x1p-32;
}

/* By adding up the distribution from 0; p <= 1/2 and n p < 10. */
static int64_t binomial_small(struct words *words, int64_t n, double p)
{
    double q = 1 - p, odds = p / q, part = math_exp((double)n * math_log1p(-p));
    double u = words_uniform(words);
    int64_t k = 0;
    while (u > part && k < n) {
        u -= part;
        part *= odds * (double)(n - k) / (double)(k + 1);
        k++;
    }
    return k;
}

/* log of n! / (k! (n - k)!). */
static double log_choose(double n, double k)
{
    return math_lgamma(n + 1) - math_lgamma(k + 1) - math_lgamma(n - k + 1);
}

static int64_t binomial_large(struct words *words, int64_t draws, double p)
{
    double n = (double)draws, q = 1 - p, spread = sqrt(n * p * q);
    double b = 1.15 + 2.53 * spread, a = -0.0873 + 0.0248 * b + 0.01 * p, c = n * p + 0.5;
    double accept = 0.92 - 4.2 / b;
    for (;;) {
        double u = words_uniform(words) - 0.5, v = words_uniform(words);
        double us = 0.5 - fabs(u), k = floor((2 * a / us + b) * u + c);
        if (us >= 0.07 && v <= accept) return (int64_t)k;
        if (k < 0 || k > n) continue;
        double mode = floor((n + 1) * p), scale = (2.83 + 5.1 / b) * spread;
        double log_ratio = log_choose(n, k) - log_choose(n, mode) + (k - mode) * math_log(p / q);
        if (math_log(v * scale / (a / (us * us) + b)) <= log_ratio) return (int64_t)k;
    }
}

int64_t words_binomial(struct words *words, int64_t n, double p)
{
    REQUIRE(n >= 0 && p >= 0 && p <= 1);
    if (n == 0 || p == 0) return 0;
    if (p == 1) return n;
    if (p > 0.5) return n - words_binomial(words, n, 1 - p);
    return (double)n * p < 10 ? binomial_small(words, n, p) : binomial_large(words, n, p);
}

void words_multinomial(struct words *words, int64_t *count, const int64_t *share, int64_t kinds,
                       int64_t draws)
{
    int64_t rest = 0;
    for (int64_t i = 0; i < kinds; i++) rest += share[i];
    for (int64_t i = 0; i < kinds; i++) {
        count[i] = share[i] == rest ? draws
                                    : words_binomial(words, draws, (double)share[i] / (double)rest);
        draws -= count[i];
        rest -= share[i];
    }
}

draw_words *draw_best(void)
{
    bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    return avx512 ? draw_avx512 : avx2 ? draw_avx2 : draw_plain;
}

/* Three indices of ten bits from each word. */
static void split_words(uint16_t *index, const uint32_t *words, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        index[3 * i] = words[i] & (UNIT_BLOCK - 1);
        index[3 * i + 1] = words[i] >> 10 & (UNIT_BLOCK - 1);
        index[3 * i + 2] = (uint16_t)(words[i] >> 20 & (UNIT_BLOCK - 1));
    }
}

/* The last block may be smaller: one word for each index, scaled by multiplication (its bias is
 * below 1e-6 of a chance). */
static void scale_words(uint16_t *index, const uint32_t *words, int64_t count, uint32_t units)
{
    for (int64_t i = 0; i < count; i++) index[i] = (uint16_t)(((uint64_t)words[i] * units) >> 32);
}

void drawer_run(const struct drawer *drawer, uint64_t resample, drawn_units *visit, void *context)
{
    uint32_t words[1024];
    uint16_t index[DRAWN_AT_ONCE];
    struct words split = words_of(rng_mix(drawer->key, 0x73706C6974), resample);
    int64_t left = drawer->units, rest = drawer->units;
    for (int64_t first = 0; first < drawer->units; first += UNIT_BLOCK) {
        int64_t here = rest < UNIT_BLOCK ? rest : UNIT_BLOCK;
        bool whole = here == UNIT_BLOCK;
        int64_t draws = here == rest ? left
                                     : words_binomial(&split, left, (double)here / (double)rest);
        uint64_t counter = (uint64_t)(first / UNIT_BLOCK) << 32;
        left -= draws;
        rest -= here;
        while (draws > 0) {
            int64_t most = whole ? DRAWN_AT_ONCE : 1024, part = draws < most ? draws : most;
            int64_t wanted = whole ? (part + 2) / 3 : part;
            drawer->draw(words, wanted, drawer->key, counter, resample);
            if (whole)
                split_words(index, words, wanted);
            else
                scale_words(index, words, wanted, (uint32_t)here);
            visit(context, first, index, part);
            counter += 1024 / 4;
            draws -= part;
        }
    }
}
