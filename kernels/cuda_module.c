/* Loading the CUDA module. */
#include "kernels/cuda_module.h"

#include "base/module.h"

#include <dlfcn.h>

/* The driver's library stays loaded: the module needs it next. Without it the module, which takes
 * a tenth of a second to load with its libraries, is not touched. */
static enum code find_driver(struct err *err)
{
    if (dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL)) return OK;
    err_set(err, DEVICE, "cannot use device 'cuda': there is no NVIDIA driver (libcuda.so.1)");
    return err_hint(err, "Install the driver, or pass the card to the container, or say "
                         "--device cpu.");
}

enum code device_open_cuda(struct device *device, int threads, const struct device_place *place,
                           struct err *err)
{
    static const struct module_wanted wanted = {
        .file = MODULE_CUDA_FILE,
        .entry = MODULE_CUDA_ENTRY,
        .use = "use device 'cuda'",
        .absent = "Build with -DPAWL_CUDA=ON where nvcc is, or say --device cpu.",
        .unloadable = "Install the named library (CUDA 13 with cuBLASLt, cuDNN 9), or put its "
                      "folder into LD_LIBRARY_PATH.",
        .needs = find_driver,
    };
    module_cuda_open *open;
    TRY(module_load(&open, &wanted, err));
    struct module_contract here = module_contract_here();
    return open(device, &here, threads, place, err);
}
