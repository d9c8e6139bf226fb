/* The device that the programs of this folder test: the card, or the emulation of it on the CPU. */
#ifndef PAWL_TESTS_CUDA_OPEN_H
#define PAWL_TESTS_CUDA_OPEN_H

#include "kernels/device.h"

/* As device_open of "cuda". */
enum code card_open(struct device *device, struct err *err);

#endif
