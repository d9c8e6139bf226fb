/* Predictions: a model's answers for a split, as an HDF5 file of kind `predictions/1`.
 *
 * /id i64 [n] (row numbers), /label i32 [n] or /target f32 [n, t] where the split has them,
 * /prediction i32 [n] or f32 [n, t], and for classification /probability f32 [n, classes]. Root
 * attributes: pawl, task, model (digest), data (digest of the split), split. */
#ifndef PAWL_EVAL_PREDICT_H
#define PAWL_EVAL_PREDICT_H

#include "dataset/dataset.h"
#include "model/infer.h"

struct predict_opts {
    const char *split;  /* NULL: "test" */
    const char *device; /* NULL: "cpu" */
    int threads;        /* 0: all processors */
    int64_t call_rows;  /* rows per call; 0: 4096. Changes no result */
};

/* Publishes the predictions at `out` (replacing what is there); `rows` (may be NULL) says how
 * many. A row with an output that is not finite has prediction -1 and NaN probabilities. CONFIG
 * when split or model do not fit, DAMAGED, IO, NO_MEMORY, DEVICE. */
enum code predict(const char *out, const struct weights *weights, const struct dataset *dataset,
                  const struct predict_opts *opts, uint64_t *rows, struct err *err);

#endif
