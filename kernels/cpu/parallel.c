/* Parts of an op on OpenMP threads: a static schedule over part indices, see parallel.h. */
#include "kernels/cpu/parallel.h"

void parts_run(struct device *device, struct op_call *call, void (*body)(const struct part *part))
{
    int count = device->threads;
    if (count == 1) {
        body(&(struct part){ device, call, 0, 1 });
        return;
    }
#pragma omp parallel for schedule(static, 1) num_threads(count)
    for (int i = 0; i < count; i++) body(&(struct part){ device, call, i, count });
}

struct span part_span(const struct part *part, int64_t count, int64_t grain)
{
    int64_t grains = (count + grain - 1) / grain;
    int64_t from = grains * part->index / part->count * grain;
    int64_t to = grains * (part->index + 1) / part->count * grain;
    return (struct span){ from < count ? from : count, to < count ? to : count };
}
