/* No card: the kernels on the CPU, behind a device that puts runs off and closes its memory. */
#include "tests/cuda/open.h"
#include "tests/kernels/shared_far.h"

enum code device_open_emulated(struct device *device);

enum code card_open(struct device *device, struct err *err)
{
    struct device inner;
    TRY(device_open_emulated(&inner));
    return device_open_far(device, &inner, FAR_QUEUE, err);
}
