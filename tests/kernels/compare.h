/* One call on a device against the same call on `ref`, held to law 2:
 * |got - ref| <= c u s + output rounding, with u the roundoff of f32 (f64 where all is f64), s the
 * magnitude sum that ref reports, c from the op table by the class of the algorithm chosen. */
#ifndef PAWL_TESTS_KERNELS_COMPARE_H
#define PAWL_TESTS_KERNELS_COMPARE_H

#include "kernels/device.h"

struct comparison {
    bool supported; /* whether the device takes the call at all */
    double worst;   /* largest |got - ref| over its bound; above 1 is a failure */
    char text[320]; /* where that was, or what else is wrong */
    char algorithm[96];
};

/* Compares all outputs, updated inputs and the step block; then runs again (the same bits must
 * come), in place where the row allows it (the same bits), and in the layouts that the device
 * prefers (the law again). `ref` runs on inputs as they are, with outputs in f64. The call's own
 * outputs receive ref's results rounded to their types, so that a backward call can follow. */
void compare_call(struct comparison *result, struct device *device, struct op_call *call);

#endif
