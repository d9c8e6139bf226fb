/* Datasets: an HDF5 file and its manifest beside it (NAME.h5 + NAME.h5.json).
 *
 * One group per split; columns are datasets whose first dimension is the row. Opening checks the
 * manifest and the HDF5 metadata; each 1 MiB block of column data is hashed against the manifest at
 * its first touch. Reads are direct preads at offsets taken once from HDF5. */
#ifndef PAWL_DATASET_DATASET_H
#define PAWL_DATASET_DATASET_H

#include "base/h5.h"
#include "base/json.h"
#include "base/str.h"

enum task { TASK_CLASSIFICATION, TASK_REGRESSION };

struct column {
    const char *name; /* "image" */
    const char *path; /* "/train/image" */
    enum h5_type type;
    int rank; /* with the row dimension */
    uint64_t dim[H5_DIMS];
    uint64_t offset; /* of row 0 in the file */
    uint64_t row_bytes;
};

struct split {
    const char *name;
    uint64_t rows;
    struct column *columns;
    size_t column_count;
    struct digest digest; /* logical: over columns, not over the file */
};

struct blocks; /* which blocks were verified */

struct dataset {
    struct arena arena;
    const char *path;
    json_t *manifest; /* dataset/1 */
    struct split *splits;
    size_t split_count;
    enum task task;
    int64_t classes;            /* 0 for regression */
    const char **class_names;   /* `classes` names, or NULL */
    const char **feature_names; /* of the input's features, or NULL for images */
    const char *input, *target; /* names of the columns: "image" or "x"; "label" or "target" */
    double *mean, *deviation;   /* of the training split, in stored units, per channel or feature;
                                   the deviation of a constant one is given as 1 */
    size_t constants;           /* the last dimension of the input */
    struct digest digest;       /* of the manifest's canonical form without its member "digest" */
    int fd;                     /* descriptor + 1, so that a zeroed dataset is closed */
    uint64_t bytes;             /* of the file */
    struct blocks *blocks;
};

/* Opens and checks manifest and metadata. Fails with NOT_FOUND (with the command that makes one),
 * DAMAGED (names file and reason) or IO. */
enum code dataset_open(struct dataset *dataset, const char *path, struct err *err);
void dataset_close(struct dataset *dataset);

/* By name; NULL when there is none. */
const struct split *dataset_split(const struct dataset *dataset, const char *name);
const struct column *split_column(const struct split *split, const char *name);

/* Reads rows [row, row + rows) of a column as stored. Safe from several threads. DAMAGED names
 * file, block and rows. */
enum code dataset_read(const struct dataset *dataset, const struct column *column, uint64_t row,
                       uint64_t rows, void *out, struct err *err);

/* Reads the rows row[0..count) of a column, in that order, one after the other into `out`. Safe
 * from several threads. Fails like dataset_read. */
enum code dataset_gather(const struct dataset *dataset, const struct column *column,
                         const int64_t *row, int64_t count, void *out, struct err *err);

/* Rows per class of a split's target column, from the profile; `counts` has room for `classes`. */
enum code dataset_class_counts(const struct dataset *dataset, const struct split *split,
                               int64_t *counts, struct err *err);

/* The profile (profile/1) of a split for drift and checks; borrowed, NULL when there is none. */
const json_t *dataset_profile(const struct dataset *dataset, const char *split);

/* Verifies every block, whatever was verified before; `bytes` (may be NULL) says how many were
 * read. A clean result is remembered in the view NAME.h5.checked by (device, inode, size, mtime,
 * ctime) and manifest digest, and the next dataset_open trusts it while all of them are the same.
 * DAMAGED names the first bad block, its rows and how many blocks are bad. */
enum code dataset_check(struct dataset *dataset, uint64_t *bytes, struct err *err);

/* What `data info` prints: text for people, and the document info/1 (new reference). */
void dataset_describe(const struct dataset *dataset, struct str *out);
json_t *dataset_describe_json(const struct dataset *dataset);

#endif
