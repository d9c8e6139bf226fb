/* Checkpoints: complete training states as directories, published atomically.
 *
 * CHECKPOINT/ holds state.h5 (named tensors in groups), model.json (enough to build the model
 * without the experiment), profile.json (the training data's profile), trainer.json (opaque here)
 * and manifest.json (digests of all of these, of each tensor, and of the model). The directory is
 * renamed into place last; a reader checks every digest before it uses a byte. This file stores
 * named tensors and does not interpret optimizer slots. */
#ifndef PAWL_MODEL_CHECKPOINT_H
#define PAWL_MODEL_CHECKPOINT_H

#include "base/json.h"
#include "kernels/tensor.h"

/* A host tensor with a name like "conv_1.weight". `data` is little-endian, dense, row-major. */
struct named_tensor {
    const char *name;
    enum dtype dtype; /* DTYPE_F32, BF16, F16, F64, I32, I64, U8 */
    struct shape shape;
    const void *data;
};

enum weights_variant { WEIGHTS_RAW, WEIGHTS_EMA };

/* One group of state.h5: "param", "state", "ema", "ema_state" or "optimizer/SLOT". */
struct tensor_group {
    const char *name;
    const struct named_tensor *tensors;
    size_t count;
};

struct checkpoint_contents {
    const struct tensor_group *groups;
    size_t group_count;
    json_t *model;   /* model/1 */
    json_t *profile; /* profile/1, or NULL */
    json_t *trainer; /* trainer/1, or NULL */
    json_t *facts;   /* further members of the manifest (run, parent, metrics), or NULL */
    enum weights_variant variant; /* which weights are *the* model: EMA where the run kept one */
};

/* The model digest: SHA-256 of canonical JSON {model, variant, tensors}, where `model` is the
 * digest of model.json's canonical form and each tensor is [name, dtype, shape, SHA-256 of its
 * bytes], sorted by name. The only definition; checkpoint, report and version all carry it. */
struct digest model_digest(const json_t *model, enum weights_variant variant,
                           const struct named_tensor *tensors, size_t count);

/* Writes DIR whole or not at all; DIR must not exist (CONFLICT). The model's digest and the bytes
 * written are returned (either may be NULL). */
enum code checkpoint_save(const char *dir, const struct checkpoint_contents *contents,
                          struct digest *digest, uint64_t *bytes, struct err *err);

struct checkpoint {
    struct arena arena;
    json_t *model, *profile, *trainer, *manifest; /* profile and trainer may be NULL */
    struct tensor_group *groups;
    size_t group_count;
    void *memory; /* all tensor bytes */
    struct digest model_digest;
    enum weights_variant variant;
};

/* Reads a checkpoint after checking all its digests. DAMAGED names the file that is wrong. */
enum code checkpoint_open(struct checkpoint *checkpoint, const char *dir, struct err *err);
void checkpoint_close(struct checkpoint *checkpoint);
const struct tensor_group *checkpoint_group(const struct checkpoint *checkpoint, const char *name);

/* The bytes that checkpoint_save will write for tensors of these shapes, without small
 * documents. */
uint64_t checkpoint_tensor_bytes(const struct checkpoint_contents *contents);

#endif
