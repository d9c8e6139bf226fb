/* A card of this machine. */
#include "tests/cuda/open.h"

enum code card_open(struct device *device, struct err *err)
{
    return device_open(device, "cuda", 0, err);
}
