/* Modules: shared objects of pawl itself that are loaded when what they bring is asked for.
 *
 * pawl starts without CUDA and without MPI; a module brings one of them. A file that is there but
 * cannot be loaded ends the search: taking another one in its place would hide what is wrong. A
 * module stays loaded until the process ends. */
#ifndef PAWL_BASE_MODULE_H
#define PAWL_BASE_MODULE_H

#include "base/err.h"

struct module_wanted {
    const char *file;                /* "pawl_mpi.so" */
    const char *entry;               /* name of its one function */
    const char *use;                 /* what cannot be done without it: "start ranks" */
    const char *absent, *unloadable; /* hints */
    /* What it needs, looked for once the file is there and before it is loaded; NULL: nothing. */
    enum code (*needs)(struct err *err);
};

/* Looks in the folder of the executable, in ../lib/pawl beside it, then in the build folder, and
 * copies the entry's address into `entry` (a pointer to a function pointer). NOT_FOUND without the
 * file, DEVICE when it cannot be loaded (a library missing), USAGE when it has no such entry, and
 * what `needs` returns. */
enum code module_load(void *entry, const struct module_wanted *wanted, struct err *err);

#endif
