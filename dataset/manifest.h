/* The manifest NAME.h5.json (dataset/1): parsed here into struct dataset, written by dataset/build.
 *
 *   task, input, target, class_names | null, feature_names | null
 *   normalisation {mean: [...], deviation: [...]}     of the training split, in stored units
 *   file {bytes, block, digest, blocks: [...]}        the SHA-256 tree
 *   splits {NAME: {rows, digest, columns: [{name, type, shape, digest}], profile}}
 *   sources [{name, bytes, digest}], licence, made {by, seed, validate, test}
 *   digest                                            of all of the above in canonical form */
#ifndef PAWL_DATASET_MANIFEST_H
#define PAWL_DATASET_MANIFEST_H

#include "dataset/dataset.h"

struct manifest_file {
    uint64_t bytes;
    struct digest *leaf; /* in the dataset's arena */
};

/* "NAME.h5.json" */
const char *manifest_path(struct arena *arena, const char *path);

/* Fills the described part of `dataset` from dataset->manifest. DAMAGED names manifest and
 * member. */
enum code manifest_parse(struct dataset *dataset, struct manifest_file *file, struct err *err);

/* SHA-256 of the canonical form without the member "digest". */
struct digest manifest_digest(const json_t *manifest);

/* The name of a type in manifests ("u8"), and back; H5_TYPE_COUNT for an unknown one. */
const char *manifest_type_name(enum h5_type type);
enum h5_type manifest_type(const char *name);

/* The logical digest of a split: SHA-256 of the canonical JSON of its columns (name, type, shape
 * with the rows, digest of the little-endian bytes). The file's layout does not enter. */
struct digest manifest_split_digest(const json_t *columns);

#endif
