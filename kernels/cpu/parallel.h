/* Cutting one op into parts, one for each thread of the device.
 *
 * A part is known by its index and the number of parts, which is the device's thread count whatever
 * team runs it: partial sums have a fixed shape and are joined in index order, so equal thread
 * counts give equal bits. Nothing here allocates. */
#ifndef PAWL_KERNELS_CPU_PARALLEL_H
#define PAWL_KERNELS_CPU_PARALLEL_H

#include "kernels/device.h"

struct part {
    struct device *device;
    struct op_call *call;
    int index, count;
};

struct span {
    int64_t from, to;
};

/* Runs `body` once per part and returns when all are done. */
void parts_run(struct device *device, struct op_call *call, void (*body)(const struct part *part));

/* This part's share of [0, count) in whole multiples of `grain` (the last one takes the rest). */
struct span part_span(const struct part *part, int64_t count, int64_t grain);

#endif
