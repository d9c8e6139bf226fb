/* What is not finite in one step must not outlive it. */
#include "kernels/device.h"

#include <criterion/criterion.h>
#include <math.h>

enum { ROWS = 8, CHANNELS = 4 };

static struct tensor f32(void *data, struct shape shape)
{
    return (struct tensor){ .dtype = DTYPE_F32, .shape = shape, .data = data };
}

static void run_norm(const char *name, float *x, float *mean, float *variance)
{
    struct err err = { 0 };
    struct device device;
    float gamma[CHANNELS] = { 1, 1, 1, 1 }, beta[CHANNELS] = { 0 };
    float y[ROWS * CHANNELS], batch_mean[CHANNELS], rstd[CHANNELS];
    struct shape per_channel = SHAPE(CHANNELS);
    union op_attr attr = { .norm = { .eps = 1e-5f, .momentum = 0.1f } };
    struct op_call call = { .op = OP_BATCH_NORM, .attr = &attr, .ins = 5, .outs = 3 };
    call.in[0] = f32(x, SHAPE(ROWS, CHANNELS));
    call.in[1] = f32(gamma, per_channel);
    call.in[2] = f32(beta, per_channel);
    call.in[3] = f32(mean, per_channel);
    call.in[4] = f32(variance, per_channel);
    call.out[0] = f32(y, SHAPE(ROWS, CHANNELS));
    call.out[1] = f32(batch_mean, per_channel);
    call.out[2] = f32(rstd, per_channel);
    cr_assert_eq(device_open(&device, name, 1, &err), OK, "%s: %s", name, err.message);
    cr_assert_eq(call_prepare(&device, &call, &err), OK, "%s: %s", name, err.message);
    cr_assert_eq(block_alloc(&call.workspace, call.workspace_bytes, "workspace", &err), OK);
    cr_assert_eq(call_run(&device, &call, &err), OK, "%s: %s", name, err.message);
    call_release(&device, &call);
    block_free(call.workspace);
    device_close(&device);
}

Test(poison, running_statistics_stay_finite_when_a_batch_is_not)
{
    static const char *const names[] = { "ref", "cpu" };
    for (int d = 0; d < 2; d++) {
        float x[ROWS * CHANNELS], mean[CHANNELS] = { 5, 5, 5, 5 };
        float variance[CHANNELS] = { 2, 2, 2, 2 };
        for (int i = 0; i < ROWS * CHANNELS; i++) x[i] = (float)i;
        x[1] = NAN;
        x[2] = INFINITY;
        run_norm(names[d], x, mean, variance);
        cr_expect(mean[1] == 5 && variance[1] == 2, "%s: NaN moved %g, %g", names[d], mean[1],
                  variance[1]);
        cr_expect(mean[2] == 5 && variance[2] == 2, "%s: inf moved %g, %g", names[d], mean[2],
                  variance[2]);
        cr_expect(isfinite(mean[0]) && mean[0] != 5, "%s: a sound channel must move", names[d]);
    }
}
