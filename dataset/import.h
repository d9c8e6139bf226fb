/* Importers: foreign files -> NAME.h5 + NAME.h5.json.
 *
 * What is read is held in memory, checked whole, and only then written and published. Any refusal
 * names the file and the row, byte or line. Splits are drawn by a keyed permutation of the source's
 * rows, so they depend on the seed and the number of rows alone; inside a split rows keep the order
 * of the source. */
#ifndef PAWL_DATASET_IMPORT_H
#define PAWL_DATASET_IMPORT_H

#include "dataset/dataset.h"

struct import_opts {
    const char *const *sources; /* files or, for IDX, folders that hold them; may be gzip */
    size_t count;
    const char *out;         /* "data/fashion-mnist.h5" */
    uint64_t validate, test; /* rows taken from the source's training rows; `test` is for CSV */
    uint64_t seed;           /* of the split */
    const char *target;      /* CSV: name of the target column */
    enum task task;          /* CSV */
    const char *const *class_names; /* NULL: "0".."9" for IDX, the sorted values for CSV */
    size_t class_count;
    const char *licence; /* text that is stored; NULL: "unknown" */
    bool drop_missing;   /* CSV: leave rows with a missing value out; else they are refused */
    bool replace;        /* an existing file with other content */
    bool *unchanged;     /* out, may be NULL: the same dataset was there already */
};

/* IDX files as of MNIST and its kin, plain or gzip: train-images*, train-labels* and, optionally,
 * t10k-images* and t10k-labels* become /train and /test with image u8 [N, H, W, C] and label i32
 * [N]; `validate` rows of the training images become /validate.
 *
 * Source of the format: Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database". USAGE for a set
 * of sources that is not such a dataset, NOT_FOUND, DAMAGED for foreign, cut or contradicting
 * files, CONFLICT when `out` exists with other content and `replace` is not set. */
enum code import_idx(const struct import_opts *opts, struct err *err);

/* A table with a header line (RFC 4180): the columns other than `target` become /SPLIT/x f32 [N,
 * F], the target /SPLIT/label i32 [N] (classification) or /SPLIT/target f32 [N, 1] (regression).
 *
 * Missing values (empty or NA) and text in a number column are DAMAGED with file, line and column
 * in `err`; the other codes are those of import_idx. */
enum code import_csv(const struct import_opts *opts, struct err *err);

#endif
