/* HDF5 files over our own file driver, so that every byte goes through base/fs.
 *
 * Written once into a temporary, fsynced, published by rename; never reopened for writing. Object
 * times are not tracked and the library-version bounds are fixed, so equal content gives equal
 * bytes. All metadata carries checksums. On reading, plugins are off; links other than hard ones
 * and external or virtual storage are refused. Names are paths from the root ("/train/image"). One
 * file is used by one thread at a time. This header is all that the other rooms know of HDF5: they
 * never include <hdf5.h>. */
#ifndef PAWL_BASE_H5_H
#define PAWL_BASE_H5_H

#include "base/arena.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum h5_type { H5_U8, H5_U16, H5_U32, H5_I32, H5_I64, H5_U64, H5_F32, H5_F64, H5_TYPE_COUNT };
enum { H5_DIMS = 6 };

/* Bytes of one value. */
size_t h5_type_size(enum h5_type type);

/* What stands between HDF5 and the bytes of a file being read. `check` (may be NULL) is called
 * before bytes [at, at + len) are handed to HDF5; when it fails, the operation fails with its
 * error. */
struct h5_guard {
    enum code (*check)(void *context, uint64_t at, uint64_t len, struct err *err);
    void *context;
};

/* An open file. It must stay where it is while open: the driver holds its address. */
struct h5 {
    int64_t file; /* hid_t of the open file; 0: closed */
    int fd;
    bool writing;
    bool borrowed; /* the descriptor belongs to the caller */
    uint64_t end;  /* bytes in the file */
    struct h5_guard guard;
    struct err fault; /* the first failed call under HDF5 */
    char path[1024], temporary[1100];
};

struct h5_info {
    enum h5_type type;
    int rank;
    uint64_t dim[H5_DIMS];
    bool contiguous;     /* one run of bytes in the file ... */
    uint64_t offset;     /* ... that begins here; valid when contiguous and not empty */
    uint64_t chunk_rows; /* rows per chunk when chunked, else 0 */
    bool compressed;
};

/* Begins a file that h5_publish puts at `path`. One of h5_publish, h5_finish, h5_close must
 * follow. */
enum code h5_create(struct h5 *h5, const char *path, struct err *err);
enum code h5_publish(struct h5 *h5, struct err *err);

/* The first half of h5_publish: the file is complete, durable and closed, still under the name
 * `h5->temporary`, which the caller looks at and then puts in place or removes. On failure it is
 * gone. */
enum code h5_finish(struct h5 *h5, struct err *err);

/* Opens for reading. Fails with NOT_FOUND, DAMAGED (not HDF5, truncated, external storage), IO. */
enum code h5_open(struct h5 *h5, const char *path, struct err *err);

/* The same over a descriptor that the caller keeps open and closes later, with `guard` before every
 * read. `path` is for messages. */
enum code h5_open_guarded(struct h5 *h5, int fd, uint64_t size, const char *path,
                          const struct h5_guard *guard, struct err *err);

/* Closes; a file being written is abandoned and its temporary removed. Accepts a zeroed struct. */
void h5_close(struct h5 *h5);

/* Writes a whole contiguous dataset, aligned to 4 KiB when it has as much; missing groups are made.
 * Rank 0 is a scalar. */
enum code h5_write(struct h5 *h5, const char *name, enum h5_type type, int rank,
                   const uint64_t *dim, const void *data, struct err *err);

/* Begins a contiguous dataset of known size and writes it in row ranges. */
enum code h5_begin(struct h5 *h5, const char *name, enum h5_type type, int rank,
                   const uint64_t *dim, struct err *err);
enum code h5_write_rows(struct h5 *h5, const char *name, uint64_t row, uint64_t rows,
                        const void *data, struct err *err);

/* What a dataset is; NOT_FOUND when there is none, DAMAGED when its type is not one of ours. */
enum code h5_info(struct h5 *h5, const char *name, struct h5_info *info, struct err *err);
bool h5_has(struct h5 *h5, const char *name);

/* Reads a whole dataset, or a range of rows, converted to `type`; `size` is the room at `data` in
 * bytes. DAMAGED when the dataset has another size or not these rows. */
enum code h5_read(struct h5 *h5, const char *name, enum h5_type type, void *data, size_t size,
                  struct err *err);
enum code h5_read_rows(struct h5 *h5, const char *name, enum h5_type type, uint64_t row,
                       uint64_t rows, void *data, struct err *err);

/* Names of the datasets and groups directly in a group, sorted. */
enum code h5_list(struct h5 *h5, struct arena *arena, char ***names, size_t *count,
                  const char *group, struct err *err);

/* Attributes of the root or of an object ("/" for the root): text and f64 vectors. */
enum code h5_set_text(struct h5 *h5, const char *object, const char *name, const char *text,
                      struct err *err);
enum code h5_get_text(struct h5 *h5, struct arena *arena, const char *object, const char *name,
                      char **text, struct err *err);
enum code h5_set_reals(struct h5 *h5, const char *object, const char *name, const double *values,
                       size_t count, struct err *err);
enum code h5_get_reals(struct h5 *h5, struct arena *arena, const char *object, const char *name,
                       double **values, size_t *count, struct err *err);

#endif
