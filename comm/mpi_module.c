/* Loading the MPI module. */
#include "comm/mpi_module.h"

#include "base/module.h"

enum code mpi_module_load(struct mpi_calls *calls, struct err *err)
{
    static const struct module_wanted wanted = {
        .file = MODULE_MPI_FILE,
        .entry = MODULE_MPI_ENTRY,
        .use = "connect ranks",
        .absent = "Build pawl where MPI is installed (Debian: libopenmpi-dev, openmpi-bin).",
        .unloadable = "Install the MPI library that it was built with (Debian: openmpi-bin).",
    };
    module_mpi_open *open;
    TRY(module_load(&open, &wanted, err));
    struct mpi_contract here = mpi_contract_here();
    return open(calls, &here, err);
}
