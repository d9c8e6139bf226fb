/* The one way to run a model forward: evaluation, prediction, deploy probes and latency all come
 * here.
 *
 * A model is model.json and named weights, from a checkpoint or from a bundle (model.json +
 * model.safetensors). Rows are computed in fixed tiles aligned to the row index (64 on CPUs), the
 * last one padded; one thread computes a tile with primitives made for one thread, so that outputs
 * are the same bits for any batch size and any number of threads. A device with memory of its own
 * runs tiles of 256 rows, one after the other. Where it has several ways to compute, its first
 * answers are taken: outputs follow from model and kind of device, not from a search by time. */
#ifndef PAWL_MODEL_INFER_H
#define PAWL_MODEL_INFER_H

#include "kernels/device.h"
#include "model/checkpoint.h"

enum { INFER_TILE_CPU = 64, INFER_TILE_GPU = 256 /* devices with memory of their own */ };

/* Model description and weights, checked. */
struct weights {
    struct arena arena;
    json_t *model;                /* model/1 */
    struct named_tensor *tensors; /* parameters and running statistics, sorted by name */
    size_t count;
    struct digest digest; /* the model digest */
    enum weights_variant variant;
    json_t *profile; /* profile/1 of the training data, or NULL */
    void *memory;
};

/* Loads a checkpoint directory, or a bundle directory with model.json and model.safetensors.
 * `raw`: the raw weights even where the run kept an EMA. NOT_FOUND, DAMAGED, IO. */
enum code weights_load(struct weights *weights, const char *dir, bool raw, struct err *err);
/* The same from files by path (a content store keeps them apart); `profile` may be NULL. */
enum code weights_load_files(struct weights *weights, const char *model, const char *safetensors,
                             const char *profile, struct err *err);
void weights_release(struct weights *weights);

struct infer_opts {
    const char *device; /* NULL: "cpu" */
    int threads;        /* 0: all processors */
    int tile;           /* rows computed at a time; 0: INFER_TILE_* (1 for latency at batch 1) */
    const struct device *opened; /* this device instead of a named one; closed with the model, also
                                  * when opening fails. It must have memory of its own */
};

/* What goes in and comes out of a model, from model.json. */
struct model_io {
    enum dtype input_dtype; /* U8 or F32, raw as in the dataset: normalisation is in the model */
    struct shape input;     /* one row, e.g. [28, 28, 1] */
    int64_t outputs;        /* numbers per row: logits per class, or regression targets */
    bool classification;
    int64_t classes; /* 0 for regression */
};

/* Reads model/1; DAMAGED when it does not describe a model. */
enum code model_io_read(struct model_io *io, const json_t *model, struct err *err);

struct infer; /* opaque: one compiled program per thread */

/* Compiles the model for inference. The weights are copied; `*infer` is closed by infer_close,
 * which accepts NULL. */
enum code infer_open(struct infer **infer, const struct weights *weights,
                     const struct infer_opts *opts, struct err *err);
void infer_close(struct infer *infer);
const struct model_io *infer_io(const struct infer *infer);

/* Bytes of device memory that parameters and programs hold; 0 where that is the host's memory. */
uint64_t infer_device_bytes(const struct infer *infer);

/* Runs `rows` rows: input [rows, ...] raw, output [rows, outputs] f32 (logits for classification).
 * Tiles begin at row 0 of this call: a caller that splits a split into calls does so at multiples
 * of the tile. */
enum code infer_run(struct infer *infer, float *output, const void *input, int64_t rows,
                    struct err *err);

#endif
