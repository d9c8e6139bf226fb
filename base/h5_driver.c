/* The HDF5 file driver: every read and write of the library becomes fs_pread or fs_pwrite.
 *
 * A failed write is remembered in h5->fault and reported to HDF5 as done, and later writes are
 * dropped: the library leaves identifiers to freed memory behind when a close fails, so a close
 * must never fail under it. The functions of base/h5 look at the fault after each step, which makes
 * it impossible to publish such a file. Failed reads are handed on. The layout of H5FD_class_t
 * changed in 1.13 and 1.14: `driver` below is the one place that knows. */
#include "base/fs.h"
#include "base/h5_impl.h"

#include <hdf5.h>
#include <stdlib.h>
#include <string.h>

#if H5_VERSION_GE(1, 13, 0)
#include <H5FDdevelop.h>
#endif

_Static_assert(sizeof(hid_t) == sizeof(int64_t), "hid_t is kept in an int64_t");

enum { ALIGNMENT = 4096, METADATA_BLOCK = 4096 };

struct driver_file {
    H5FD_t base; /* first: the library casts */
    struct h5 *h5;
    haddr_t addresses; /* end of the address space in use */
};

struct driver_info {
    struct h5 *h5;
};

static H5FD_t *driver_open(const char *name, unsigned flags, hid_t access, haddr_t limit)
{
    (void)name, (void)flags, (void)limit;
    const struct driver_info *info = H5Pget_driver_info(access);
    struct driver_file *file = info ? calloc(1, sizeof *file) : NULL;
    if (!file) return NULL;
    file->h5 = info->h5;
    return &file->base;
}

static herr_t driver_close(H5FD_t *base)
{
    free(base); /* the descriptor belongs to struct h5 */
    return 0;
}

static herr_t driver_query(const H5FD_t *base, unsigned long *flags)
{
    (void)base;
    *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE |
             H5FD_FEAT_AGGREGATE_SMALLDATA;
    return 0;
}

static haddr_t driver_get_eoa(const H5FD_t *base, H5FD_mem_t type)
{
    (void)type;
    return ((const struct driver_file *)base)->addresses;
}

static herr_t driver_set_eoa(H5FD_t *base, H5FD_mem_t type, haddr_t addresses)
{
    (void)type;
    ((struct driver_file *)base)->addresses = addresses;
    return 0;
}

static haddr_t driver_get_eof(const H5FD_t *base, H5FD_mem_t type)
{
    (void)type;
    return ((const struct driver_file *)base)->h5->end;
}

static enum code read_part(struct h5 *h5, uint64_t at, size_t len, void *bytes, struct err *err)
{
    if (h5->guard.check) TRY(h5->guard.check(h5->guard.context, at, len, err));
    return fs_pread(h5->fd, bytes, len, at, h5->path, err);
}

static herr_t driver_read(H5FD_t *base, H5FD_mem_t type, hid_t transfer, haddr_t at, size_t len,
                          void *bytes)
{
    (void)type, (void)transfer;
    struct h5 *h5 = ((struct driver_file *)base)->h5;
    size_t there = at >= h5->end ? 0 : h5->end - at < len ? (size_t)(h5->end - at) : len;
    if (there < len && !h5->writing) {
        err_set(&h5->fault, DAMAGED, "cannot read '%s': it refers to byte %llu but ends at %llu",
                h5->path, (unsigned long long)(at + len), (unsigned long long)h5->end);
        return -1;
    }
    memset((char *)bytes + there, 0, len - there); /* space taken but not yet written */
    return there && read_part(h5, at, there, bytes, &h5->fault) ? -1 : 0;
}

static herr_t driver_write(H5FD_t *base, H5FD_mem_t type, hid_t transfer, haddr_t at, size_t len,
                           const void *bytes)
{
    (void)type, (void)transfer;
    struct h5 *h5 = ((struct driver_file *)base)->h5;
    if (h5->fault.code) return 0;
    if (!fs_pwrite(h5->fd, bytes, len, at, h5->path, &h5->fault) && at + len > h5->end)
        h5->end = at + len;
    return 0;
}

/* The library wants the file to reach the end of its addresses when it closes it. */
static herr_t driver_truncate(H5FD_t *base, hid_t transfer, hbool_t closing)
{
    (void)closing;
    const struct driver_file *file = (const struct driver_file *)base;
    if (!file->h5->writing || file->addresses <= file->h5->end) return 0;
    return driver_write(base, H5FD_MEM_DEFAULT, transfer, file->addresses - 1, 1, "");
}

static const H5FD_class_t driver = {
#if defined(H5FD_CLASS_VERSION)
    .version = H5FD_CLASS_VERSION,
#endif
#if H5_VERSION_GE(1, 13, 0)
    .value = (H5FD_class_value_t)400, /* below 256 are the library's own */
#endif
    .name = "pawl",
    .maxaddr = INT64_MAX,
    .fc_degree = H5F_CLOSE_STRONG,
    .fapl_size = sizeof(struct driver_info),
    .open = driver_open,
    .close = driver_close,
    .query = driver_query,
    .get_eoa = driver_get_eoa,
    .set_eoa = driver_set_eoa,
    .get_eof = driver_get_eof,
    .read = driver_read,
    .write = driver_write,
    .truncate = driver_truncate,
    .fl_map = H5FD_FLMAP_DICHOTOMY,
};

int64_t h5_driver_access(struct h5 *h5)
{
    struct driver_info info = { .h5 = h5 };
    hid_t id = H5FDregister(&driver), access = H5Pcreate(H5P_FILE_ACCESS);
    bool good = id >= 0 && access >= 0 && H5Pset_driver(access, id, &info) >= 0 &&
                H5Pset_fclose_degree(access, H5F_CLOSE_STRONG) >= 0 &&
                H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_V18) >= 0 &&
                H5Pset_alignment(access, ALIGNMENT, ALIGNMENT) >= 0 &&
                H5Pset_meta_block_size(access, METADATA_BLOCK) >= 0;
    if (id >= 0) H5FDunregister(id); /* the list and the open file keep it */
    if (good) return access;
    if (access >= 0) H5Pclose(access);
    return -1;
}
