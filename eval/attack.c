/* Steps along the sign of the gradient, for all rows of a call together. */
#include "eval/attack.h"

#include "base/rng.h"

#include <math.h>
#include <omp.h>
#include <string.h>

/* A call's rows: as they were, as they are by now, and the gradient there. */
struct attempt {
    const struct perturbing *how;
    double *origin, *now; /* [rows, width] in stored units */
    float *gradient;      /* [rows, width] */
    void *stored;
    int64_t rows, width;
    int threads;
};

enum code attack_open(struct attack *attack, const struct weights *weights, int64_t rows,
                      int threads, struct err *err)
{
    *attack = (struct attack){ .room = rows,
                               .threads = threads > 0 ? threads : omp_get_max_threads() };
    TRY(input_gradient_open(&attack->gradient, weights, threads, err));
    size_t numbers = (size_t)(rows * input_gradient_width(attack->gradient));
    enum code code = block_alloc(&attack->memory, numbers * (2 * sizeof(double) + sizeof(float)),
                                 "rows under attack", err);
    if (code) attack_close(attack);
    return code;
}

void attack_close(struct attack *attack)
{
    input_gradient_close(attack->gradient);
    block_free(attack->memory);
    *attack = (struct attack){ 0 };
}

/* How much 1 of epsilon is: the range of a pixel, or the feature's deviation. */
static double unit_of(const struct perturbing *how, int64_t i)
{
    return how->type == H5_U8 ? 255 : how->deviation[i % how->channels];
}

static double stored_number(const struct attempt *a, int64_t i)
{
    return a->how->type == H5_U8 ? ((const uint8_t *)a->stored)[i]
                                 : (double)((const float *)a->stored)[i];
}

/* Rounds to what is stored; the exact numbers go on in `now`. */
static void store(const struct attempt *a, int64_t i)
{
    double value = a->now[i];
    if (a->how->type != H5_U8) {
        ((float *)a->stored)[i] = (float)value;
        return;
    }
    value = floor(value + 0.5);
    ((uint8_t *)a->stored)[i] = (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

/* Back to within epsilon of the row, and to what a pixel can be. */
static double bounded(const struct attempt *a, int64_t i, double value, double epsilon)
{
    double reach = epsilon * unit_of(a->how, i), low = a->origin[i] - reach,
           high = a->origin[i] + reach;
    if (a->how->type == H5_U8) {
        /* whole pixels that are not farther away than epsilon */
        low = ceil(low) < 0 ? 0 : ceil(low);
        high = floor(high) > 255 ? 255 : floor(high);
    }
    return value < low ? low : value > high ? high : value;
}

static void begin(const struct attempt *a, double epsilon, bool random, int64_t first)
{
#pragma omp parallel for num_threads(a->threads) schedule(static)
    for (int64_t i = 0; i < a->rows * a->width; i++) {
        a->origin[i] = a->now[i] = stored_number(a, i);
        if (!random) continue;
        uint64_t row = (uint64_t)(first + i / a->width), place = (uint64_t)(i % a->width);
        double draw = (double)philox4x32(a->how->key, row, place).word[0] * 0x1p-32;
        a->now[i] = bounded(a, i, a->origin[i] + (2 * draw - 1) * epsilon * unit_of(a->how, i),
                            epsilon);
        store(a, i);
    }
}

static void step(const struct attempt *a, double size, double epsilon)
{
#pragma omp parallel for num_threads(a->threads) schedule(static)
    for (int64_t i = 0; i < a->rows * a->width; i++) {
        double sign = (a->gradient[i] > 0) - (a->gradient[i] < 0);
        a->now[i] = bounded(a, i, a->now[i] + sign * size * unit_of(a->how, i), epsilon);
        store(a, i);
    }
}

enum code attack_rows(struct attack *attack, const struct perturbing *perturbing, void *stored,
                      const void *target, int64_t first, int64_t rows, struct err *err)
{
    int64_t width = input_gradient_width(attack->gradient);
    bool once = strcmp(perturbing->kind->name, "fgsm") == 0;
    double epsilon = perturbing->option[0];
    double size = once ? epsilon : perturbing->option[2];
    int64_t steps = once ? 1 : (int64_t)perturbing->option[1];
    REQUIRE(rows <= attack->room);
    struct attempt a = { .how = perturbing,
                         .origin = attack->memory,
                         .stored = stored,
                         .rows = rows,
                         .width = width,
                         .threads = attack->threads };
    a.now = a.origin + attack->room * width;
    a.gradient = (float *)(void *)(a.now + attack->room * width);
    begin(&a, epsilon, !once, first);
    for (int64_t s = 0; s < steps; s++) {
        TRY(input_gradient_run(attack->gradient, a.gradient, stored, target, rows, err));
        step(&a, size, epsilon);
    }
    return OK;
}
