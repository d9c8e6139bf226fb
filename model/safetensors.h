/* The safetensors format (huggingface/safetensors, README): an 8-byte little-endian header length,
 * a JSON header, then the bytes of all tensors without holes.
 *
 * Written canonically: tensors sorted by name, header padded with spaces to 8 bytes, `__metadata__`
 * {"format": "pt"} so that common readers accept it, and there too which weights these are:
 * {"variant": "raw" | "ema"}. The reader is strict: header at most 100,000,000 bytes, no unknown
 * dtype, no hole, no overlap, no duplicate, sizes checked. */
#ifndef PAWL_MODEL_SAFETENSORS_H
#define PAWL_MODEL_SAFETENSORS_H

#include "model/checkpoint.h"

/* Publishes `count` tensors at `path`; digest and size of the file are returned (may be NULL). */
enum code safetensors_write(const char *path, const struct named_tensor *tensors, size_t count,
                            enum weights_variant variant, struct digest *digest, uint64_t *size,
                            struct err *err);

/* Reads a whole file: tensors sorted by name, in the arena; their bytes in one block that the
 * caller frees with block_free; `variant` is raw where the file does not say. Fails with DAMAGED
 * (position in the header where it has one). */
enum code safetensors_read(struct arena *arena, struct named_tensor **tensors, size_t *count,
                           void **memory, enum weights_variant *variant, const char *path,
                           struct err *err);

#endif
