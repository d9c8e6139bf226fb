/* Golden rows: raw inputs and the outputs that a version gave for them when it was added.
 *
 * sample.h5 holds /input [rows, ...] in the model's input dtype, /output [rows, outputs] f32, and
 * one root attribute tolerance_KIND per kind of device. A bundle is sound on a machine when the
 * model, run there through model/infer.h, gives each output within that tolerance: wrong weights, a
 * broken library or a wrong preprocessing show before anyone serves it. */
#ifndef PAWL_REGISTRY_GOLDEN_H
#define PAWL_REGISTRY_GOLDEN_H

#include "model/infer.h"
#include "registry/registry.h"

/* Runs the sample on the CPU and publishes sample.h5 at `path`. USAGE for no rows; HOPELESS when an
 * output is not finite. */
enum code golden_write(const char *path, const struct weights *weights,
                       const struct golden_sample *sample, struct err *err);

/* Reads the stored inputs of a sample that fits the model; the caller gives *input back with
 * block_free. DAMAGED when the file does not fit, NOT_FOUND, IO. */
enum code golden_inputs(void **input, int64_t *rows, const char *path, const json_t *model,
                        struct err *err);

struct golden_result {
    int64_t rows;
    double worst,
        tolerance; /* largest |got − want| / max(1, largest |want| of the row); its bound */
};

/* Runs the stored inputs on a device (NULL: "cpu") and compares. HOPELESS when an output is outside
 * the tolerance or not finite; DAMAGED when the file does not fit the model. */
enum code golden_probe(struct golden_result *result, const char *path,
                       const struct weights *weights, const char *device, struct err *err);

#endif
