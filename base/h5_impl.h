/* What the files of base/h5 share: the driver, and how a failure inside HDF5 becomes a struct err.
 *
 * hid_t is int64_t in every library version from 1.10 on, so this header needs no <hdf5.h>. */
#ifndef PAWL_BASE_H5_IMPL_H
#define PAWL_BASE_H5_IMPL_H

#include "base/h5.h"

/* Turns off plugins and the library's own printing (a setting per thread). */
void h5_quiet(void);

/* A file access list with our driver bound to `h5`; negative on failure. */
int64_t h5_driver_access(struct h5 *h5);

/* "cannot <verb> '<name>' in '<path>': <reason>". The reason and the code are those of the failed
 * system call if there was one, otherwise HDF5's innermost message and `code`. To be called before
 * any other HDF5 function, which would wipe that message. */
enum code h5_fail(struct h5 *h5, enum code code, const char *verb, const char *name,
                  struct err *err);

/* Opens the object at a path of hard links. NOT_FOUND, or DAMAGED for another kind of link. */
enum code h5_open_object(struct h5 *h5, int64_t *object, const char *name, struct err *err);

/* The same, and it must be a dataset. */
enum code h5_open_dataset(struct h5 *h5, int64_t *dataset, const char *name, struct err *err);

#endif
