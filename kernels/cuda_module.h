/* The CUDA device as a module: pawl_cuda.so, loaded when the device is asked for.
 *
 * pawl starts and works without CUDA; nothing outside kernels/cuda includes a CUDA header. The
 * module has one entry, MODULE_CUDA_ENTRY, of type module_cuda_open. It carries its own copy of the
 * few functions it needs (errors, shapes, the op table), so both sides compare the sizes of what
 * they share before anything else.
 *
 * Common C/C++ subset: kernels/cuda includes this file too. */
#ifndef PAWL_KERNELS_CUDA_MODULE_H
#define PAWL_KERNELS_CUDA_MODULE_H

#include "kernels/device.h"

#define MODULE_CUDA_FILE  "pawl_cuda.so"
#define MODULE_CUDA_ENTRY "pawl_cuda_open"

/* What both sides must agree on. */
struct module_contract {
    const char *version;                     /* of pawl */
    uint32_t ops;                            /* OP_COUNT */
    uint32_t device, call, attr, block, err; /* sizes */
};

/* This side's contract. */
static inline struct module_contract module_contract_here(void)
{
    struct module_contract here;
    here.version = PAWL_VERSION;
    here.ops = OP_COUNT;
    here.device = (uint32_t)sizeof(struct device);
    here.call = (uint32_t)sizeof(struct op_call);
    here.attr = (uint32_t)sizeof(union op_attr);
    here.block = (uint32_t)sizeof(struct step_block);
    here.err = (uint32_t)sizeof(struct err);
    return here;
}

/* The entry. USAGE when the contracts differ or this machine has more ranks than devices; DEVICE
 * with the reason when there is no driver, too old a driver, no device, or one of an architecture
 * that pawl is not built for. */
typedef enum code module_cuda_open(struct device *device, const struct module_contract *contract,
                                   int threads, const struct device_place *place, struct err *err);

/* Loads the module (from the folder of the executable, then ../lib/pawl beside it, then the build
 * folder) and opens the first device that CUDA_VISIBLE_DEVICES leaves visible, or that of the
 * place's rank. NOT_FOUND without the module, DEVICE when it cannot be loaded (a library missing),
 * else the entry's codes; each with a hint. The module stays loaded until the process ends. */
enum code device_open_cuda(struct device *device, int threads, const struct device_place *place,
                           struct err *err);

#endif
