/* Writing a dataset: the HDF5 file, its hash tree, the manifest; then both are put in place. */
#ifndef PAWL_DATASET_BUILD_H
#define PAWL_DATASET_BUILD_H

#include "dataset/import.h"
#include "dataset/table.h"

/* Publishes `table` at opts->out. The file goes first and is linked exclusively unless it replaces
 * one; a crash between file and manifest leaves a file without manifest, which the same import
 * completes. CONFLICT when the name is taken by other content and opts->replace is not set. */
enum code build_dataset(const struct table *table, const struct import_opts *opts, struct err *err);

#endif
