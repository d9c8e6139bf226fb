/* Random ops: the draw of each element is the one that kernels/scalar.h promises, so that rows,
 * ranks and batches do not matter; and the draws are as frequent as asked. */
#include "base/rng.h"
#include "tests/kernels/cases.h"

#include <criterion/criterion.h>
#include <math.h>

enum { ROWS = 64, WIDTH = 51 };

/* One random op over x [rows, ...] with given ordinals. */
static void run(enum op_kind op, const union op_attr *attr, const struct tensor *x,
                const int64_t *ordinal, int64_t step, struct tensor *y)
{
    struct device ref;
    struct err err = { 0 };
    struct arena arena = { 0 };
    struct step_block block = { .seed = 5, .step = step };
    int64_t ordinals[ROWS];
    for (int64_t i = 0; i < x->shape.dim[0]; i++) ordinals[i] = ordinal[i];
    struct op_call call = { .op = op, .attr = attr, .block = &block, .ins = 2, .outs = 1 };
    call.in[0] = *x;
    call.in[1] =
        (struct tensor){ .dtype = DTYPE_I64, .shape = SHAPE(x->shape.dim[0]), .data = ordinals };
    call.out[0] = *y;
    cr_assert_eq(device_open(&ref, "ref", 1, &err), OK);
    call_once(&ref, &call, &arena);
    device_close(&ref);
    arena_release(&arena);
}

Test(draws, dropout_keeps_what_philox_says)
{
    static double x[ROWS * WIDTH], y[ROWS * WIDTH];
    int64_t ordinal[ROWS];
    for (int i = 0; i < ROWS * WIDTH; i++) x[i] = 1 + i;
    for (int i = 0; i < ROWS; i++) ordinal[i] = (int64_t)i * i * 1000003;
    union op_attr attr = { .dropout = { .rate = 0.25f, .path = rng_hash("model.layers.3") } };
    struct tensor in = { .dtype = DTYPE_F64, .shape = SHAPE(ROWS, WIDTH), .data = x };
    struct tensor out = { .dtype = DTYPE_F64, .shape = SHAPE(ROWS, WIDTH), .data = y };
    run(OP_DROPOUT, &attr, &in, ordinal, 9, &out);
    int kept = 0;
    uint64_t key = rng_mix(rng_mix(5, rng_hash("model.layers.3")), 9);
    for (int i = 0; i < ROWS * WIDTH; i++) {
        int element = i % WIDTH;
        struct philox draw = philox4x32(key, (uint64_t)ordinal[i / WIDTH], (uint64_t)(element / 4));
        bool keeps = draw.word[element % 4] >= 0x40000000u; /* a quarter of all words */
        cr_assert_float_eq(y[i], keeps ? x[i] / 0.75 : 0, 1e-9, "element %d", i);
        kept += keeps;
    }
    /* Five standard deviations of a binomial count. */
    cr_expect_lt(fabs(kept - 0.75 * ROWS * WIDTH), 5 * sqrt(ROWS * WIDTH * 0.75 * 0.25));
}

Test(draws, dropout_does_not_see_rows_but_ordinals_steps_and_paths)
{
    static double x[ROWS * WIDTH], whole[ROWS * WIDTH], part[ROWS * WIDTH];
    int64_t ordinal[ROWS];
    for (int i = 0; i < ROWS * WIDTH; i++) x[i] = 1;
    for (int i = 0; i < ROWS; i++) ordinal[i] = 7 * i;
    union op_attr attr = { .dropout = { .rate = 0.5f, .path = 1 } };
    struct tensor in = { .dtype = DTYPE_F64, .shape = SHAPE(ROWS, WIDTH), .data = x };
    struct tensor out = { .dtype = DTYPE_F64, .shape = SHAPE(ROWS, WIDTH), .data = whole };
    run(OP_DROPOUT, &attr, &in, ordinal, 0, &out);
    int different[3] = { 0 };
    for (int variant = 0; variant < 3; variant++) {
        /* the last 20 rows as a batch of their own; then in another step; then on another path */
        in.shape.dim[0] = out.shape.dim[0] = 20;
        out.data = part;
        attr.dropout.path = variant == 2 ? 2 : 1;
        run(variant == 0 ? OP_DROPOUT_BWD : OP_DROPOUT, &attr, &in, ordinal + ROWS - 20,
            variant == 1, &out);
        for (int i = 0; i < 20 * WIDTH; i++)
            different[variant] += part[i] != whole[(ROWS - 20) * WIDTH + i];
    }
    cr_expect_eq(different[0], 0, "the same rows in a smaller batch, backward");
    cr_expect_lt(abs(different[1] - 10 * WIDTH), 100, "another step: half of the mask changes");
    cr_expect_lt(abs(different[2] - 10 * WIDTH), 100, "another path: half of the mask changes");
}

Test(draws, flip_mirrors_whole_rows_as_often_as_asked)
{
    enum { H = 3, W = 4, C = 2 };
    static uint8_t x[ROWS][H][W][C], y[ROWS][H][W][C];
    int64_t ordinal[ROWS];
    int mirrored = 0;
    for (int i = 0; i < ROWS * H * W * C; i++) (&x[0][0][0][0])[i] = (uint8_t)(i % 251);
    for (int i = 0; i < ROWS; i++) ordinal[i] = i;
    union op_attr attr = { .augment = { .path = 3, .probability = 0.5f } };
    struct tensor in = { .dtype = DTYPE_U8, .shape = SHAPE(ROWS, H, W, C), .data = x };
    struct tensor out = { .dtype = DTYPE_U8, .shape = SHAPE(ROWS, H, W, C), .data = y };
    run(OP_FLIP, &attr, &in, ordinal, 0, &out);
    for (int n = 0; n < ROWS; n++) {
        bool mirror = y[n][0][0][0] != x[n][0][0][0];
        mirrored += mirror;
        for (int h = 0; h < H; h++)
            for (int w = 0; w < W; w++)
                for (int c = 0; c < C; c++)
                    cr_assert_eq(y[n][h][w][c], x[n][h][mirror ? W - 1 - w : w][c], "row %d", n);
    }
    cr_expect(mirrored > ROWS / 4 && mirrored < ROWS - ROWS / 4, "%d mirrored", mirrored);
    attr.augment.probability = 0;
    run(OP_FLIP, &attr, &in, ordinal, 0, &out);
    cr_expect_arr_eq(x, y, sizeof x);
}

Test(draws, padded_crop_shifts_each_row_by_up_to_the_padding)
{
    enum { H = 7, W = 6, PAD = 2, SIDE = 2 * PAD + 1 };
    static uint8_t x[ROWS][H][W], y[ROWS][H][W];
    int64_t ordinal[ROWS];
    int seen[SIDE][SIDE] = { 0 }, kinds = 0;
    for (int i = 0; i < ROWS * H * W; i++) (&x[0][0][0])[i] = (uint8_t)(1 + i % (H * W));
    for (int i = 0; i < ROWS; i++) ordinal[i] = 100 + i;
    union op_attr attr = { .augment = { .path = 4, .pad = PAD } };
    struct tensor in = { .dtype = DTYPE_U8, .shape = SHAPE(ROWS, H, W, 1), .data = x };
    struct tensor out = { .dtype = DTYPE_U8, .shape = SHAPE(ROWS, H, W, 1), .data = y };
    run(OP_PADDED_CROP, &attr, &in, ordinal, 0, &out);
    for (int n = 0; n < ROWS; n++) {
        /* The centre survives every shift and says where it came from. */
        int from = y[n][H / 2][W / 2] - 1, down = from / W - H / 2, right = from % W - W / 2;
        cr_assert(abs(down) <= PAD && abs(right) <= PAD, "row %d", n);
        kinds += seen[down + PAD][right + PAD]++ == 0;
        for (int h = 0; h < H; h++)
            for (int w = 0; w < W; w++) {
                int a = h + down, b = w + right;
                int wanted = a >= 0 && a < H && b >= 0 && b < W ? x[n][a][b] : 0;
                cr_assert_eq(y[n][h][w], wanted, "row %d", n);
            }
    }
    cr_expect_gt(kinds, SIDE * SIDE * 3 / 4, "%d of %d shifts occur", kinds, SIDE * SIDE);
}
