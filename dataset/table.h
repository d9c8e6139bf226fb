/* What an importer hands over: rows in memory, and which of them go into which split. */
#ifndef PAWL_DATASET_TABLE_H
#define PAWL_DATASET_TABLE_H

#include "dataset/dataset.h"

enum { SPLIT_LIMIT = 3 };

/* One column of a source, rows in the source's order. dim[0] is their number. */
struct table_column {
    const char *name; /* "image", "x", "label", "target" */
    enum h5_type type;
    int rank;
    uint64_t dim[H5_DIMS];
    const void *data;
};

/* The rows of one split. */
struct table_split {
    const char *name;
    const struct table_column *input, *target; /* not owned */
    const uint64_t *rows;                      /* rows of the source, ascending */
    uint64_t count;
};

/* Everything that a dataset file is made of. */
struct table {
    const char *importer; /* "idx", "csv" */
    enum task task;
    const char *const *class_names; /* NULL for a regression */
    size_t class_count;
    const char *const *feature_names;       /* NULL for images */
    const uint64_t *missing;                /* per feature, in the whole source; NULL: none */
    struct table_split splits[SPLIT_LIMIT]; /* the first is the training split */
    size_t split_count;
    json_t *sources; /* not owned */
};

/* Bytes of one row; REQUIREs that they fit. */
uint64_t table_row_bytes(const struct table_column *column);

/* Draws `count` rows per name out of `rows` rows by the keyed permutation of `seed`; what is left
 * goes to splits[0]. `splits[i].count` says how many for i > 0 and is filled in for 0; the row
 * lists are taken from the arena. USAGE when nothing would be left for training. */
enum code table_draw(struct table_split *splits, size_t split_count, struct arena *arena,
                     uint64_t rows, uint64_t seed, struct err *err);

#endif
