/* Finding and loading a module. The address that dlsym gives is copied, not cast: POSIX promises
 * that a function fits in it, ISO C has no such cast. */
#include "base/module.h"

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
static bool place(char path[PATH_MAX], int n, const char *file)
{
    char folder[PATH_MAX];
    executable_folder(folder);
    const char *const roots[PLACES] = { folder, folder, PAWL_MODULE_DIR };
    const char *const below[PLACES] = { "", "/../lib/pawl", "" };
    int length = snprintf(path, PATH_MAX, "%s%s/%s", roots[n], below[n], file);
    return length > 0 && length < PATH_MAX;
}

static enum code open_file(void **module, const struct module_wanted *wanted, struct err *err)
{
    char path[PATH_MAX];
    for (int n = 0; n < PLACES; n++) {
        if (!place(path, n, wanted->file) || access(path, F_OK) != 0) continue;
        if (wanted->needs) TRY(wanted->needs(err));
        *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        if (*module) return OK;
        const char *reason = dlerror();
        err_set(err, DEVICE, "cannot load '%s': %s", path, reason ? reason : "no reason given");
        return err_hint(err, "%s", wanted->unloadable);
    }
    err_set(err, NOT_FOUND, "cannot %s: this build has no module '%s'", wanted->use, wanted->file);
    return err_hint(err, "%s", wanted->absent);
}

enum code module_load(void *entry, const struct module_wanted *wanted, struct err *err)
{
    void *module = NULL;
    TRY(open_file(&module, wanted, err));
    void *found = dlsym(module, wanted->entry);
    if (!found) {
        err_set(err, USAGE, "module '%s' has no entry '%s'", wanted->file, wanted->entry);
        return err_hint(err, "Build pawl and its module together.");
    }
    memcpy(entry, &found, sizeof found);
    return OK;
}
