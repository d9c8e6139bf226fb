/* Finding and loading the CUDA module.
 *
 * A file that is there but cannot be loaded ends the search: taking another one in its place would
 * hide what is wrong. */
#include "kernels/cuda_module.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PLACES = 3 };

/* Folder of the running executable; "." where the system does not say. */
static void executable_folder(char folder[PATH_MAX])
{
    ssize_t length = readlink("/proc/self/exe", folder, PATH_MAX - 1);
    if (length <= 0) {
        snprintf(folder, PATH_MAX, ".");
        return;
    }
    folder[length] = '\0';
    char *slash = strrchr(folder, '/');
    if (slash) *slash = '\0';
}

/* The n-th place to look, in `path`; false when there is none such short enough. */
static bool place(char path[PATH_MAX], int n)
{
    char folder[PATH_MAX];
    executable_folder(folder);
    const char *const roots[PLACES] = { folder, folder, PAWL_MODULE_DIR };
    const char *const below[PLACES] = { "", "/../lib/pawl", "" };
    int length = snprintf(path, PATH_MAX, "%s%s/%s", roots[n], below[n], MODULE_CUDA_FILE);
    return length > 0 && length < PATH_MAX;
}

/* The first place that has the module. */
static enum code find(char path[PATH_MAX], struct err *err)
{
    for (int n = 0; n < PLACES; n++)
        if (place(path, n) && access(path, F_OK) == 0) return OK;
    err_set(err, NOT_FOUND, "cannot use device 'cuda': this build has no module '%s'",
            MODULE_CUDA_FILE);
    return err_hint(err, "Build with -DPAWL_CUDA=ON where nvcc is, or say --device cpu.");
}

static enum code load(void **module, const char *path, struct err *err)
{
    *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (*module) return OK;
    const char *reason = dlerror();
    err_set(err, DEVICE, "cannot load '%s': %s", path, reason ? reason : "no reason given");
    return err_hint(err, "Install the named library (CUDA 13 with cuBLASLt, cuDNN 9), or put its "
                         "folder into LD_LIBRARY_PATH.");
}

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
    void *module = NULL;
    char path[PATH_MAX];
    TRY(find(path, err));
    TRY(find_driver(err));
    TRY(load(&module, path, err));
    module_cuda_open *open;
    /* POSIX promises that a function fits in what dlsym gives; ISO C has no such cast. */
    void *entry = dlsym(module, MODULE_CUDA_ENTRY);
    if (!entry) {
        err_set(err, USAGE, "module '%s' has no entry '%s'", MODULE_CUDA_FILE, MODULE_CUDA_ENTRY);
        return err_hint(err, "Build pawl and its module together.");
    }
    memcpy(&open, &entry, sizeof open);
    struct module_contract here = module_contract_here();
    return open(device, &here, threads, place, err);
}
