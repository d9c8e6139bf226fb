/* Writing predictions call by call; nothing but one call's rows is held in memory. */
#include "eval/predict.h"

#include "base/h5.h"
#include "base/math.h"
#include "eval/harness.h"

#include <math.h>

enum { PREDICT_ROWS = 4096 };

struct predicting {
    const struct weights *weights;
    const struct dataset *dataset;
    const struct split *split;
    struct infer *infer;
    struct h5 h5;
    int64_t call, outputs;
    void *memory;
    char *input, *target;
    float *output, *probability;
    int32_t *prediction;
    int64_t *id;
};

static enum code begin_columns(struct predicting *p, struct err *err)
{
    const struct column *target = split_column(p->split, p->dataset->target);
    uint64_t one[] = { p->split->rows }, wide[] = { p->split->rows, (uint64_t)p->outputs };
    char model[DIGEST_TEXT], data[DIGEST_TEXT];
    bool classes = p->dataset->task == TASK_CLASSIFICATION;
    TRY(h5_set_text(&p->h5, "/", "pawl", "predictions/1", err));
    TRY(h5_set_text(&p->h5, "/", "task", classes ? "classification" : "regression", err));
    TRY(h5_set_text(&p->h5, "/", "model", digest_text(&p->weights->digest, model), err));
    TRY(h5_set_text(&p->h5, "/", "data", digest_text(&p->split->digest, data), err));
    TRY(h5_set_text(&p->h5, "/", "split", p->split->name, err));
    TRY(h5_begin(&p->h5, "/id", H5_I64, 1, one, err));
    if (target)
        TRY(h5_begin(&p->h5, classes ? "/label" : "/target", target->type, target->rank,
                     target->dim, err));
    if (!classes) return h5_begin(&p->h5, "/prediction", H5_F32, 2, wide, err);
    TRY(h5_begin(&p->h5, "/prediction", H5_I32, 1, one, err));
    return h5_begin(&p->h5, "/probability", H5_F32, 2, wide, err);
}

/* Probabilities of one row in f64, rounded once. */
static void soften(float *probability, int32_t *prediction, const float *output, int64_t width)
{
    struct guess guess;
    bool finite = guess_of(&guess, output, width, -1);
    *prediction = guess.prediction;
    for (int64_t c = 0; c < width; c++)
        probability[c] = finite ? (float)math_exp((double)output[c] - guess.log_sum) : (float)NAN;
}

static enum code write_call(struct predicting *p, uint64_t row, uint64_t rows, struct err *err)
{
    bool classes = p->dataset->task == TASK_CLASSIFICATION;
    const struct column *input = split_column(p->split, p->dataset->input);
    const struct column *target = split_column(p->split, p->dataset->target);
    TRY(dataset_read(p->dataset, input, row, rows, p->input, err));
    TRY(infer_run(p->infer, p->output, p->input, (int64_t)rows, err));
    for (uint64_t i = 0; i < rows; i++) p->id[i] = (int64_t)(row + i);
    TRY(h5_write_rows(&p->h5, "/id", row, rows, p->id, err));
    if (target) {
        TRY(dataset_read(p->dataset, target, row, rows, p->target, err));
        TRY(h5_write_rows(&p->h5, classes ? "/label" : "/target", row, rows, p->target, err));
    }
    if (!classes) return h5_write_rows(&p->h5, "/prediction", row, rows, p->output, err);
    for (uint64_t i = 0; i < rows; i++)
        soften(p->probability + i * (uint64_t)p->outputs, &p->prediction[i],
               p->output + i * (uint64_t)p->outputs, p->outputs);
    TRY(h5_write_rows(&p->h5, "/prediction", row, rows, p->prediction, err));
    return h5_write_rows(&p->h5, "/probability", row, rows, p->probability, err);
}

static enum code take_memory(struct predicting *p, struct err *err)
{
    const struct column *input = split_column(p->split, p->dataset->input);
    const struct column *target = split_column(p->split, p->dataset->target);
    size_t rows = (size_t)p->call, wide = rows * (size_t)p->outputs * sizeof(float);
    size_t in_bytes = (rows * (size_t)input->row_bytes + 127) / 128 * 128;
    size_t target_bytes = target ? (rows * (size_t)target->row_bytes + 127) / 128 * 128 : 0;
    TRY(block_alloc(&p->memory, in_bytes + target_bytes + rows * 16 + 2 * wide, "predictions",
                    err));
    p->input = p->memory;
    p->target = p->input + in_bytes;
    p->id = (int64_t *)(void *)(p->target + target_bytes);
    p->output = (float *)(void *)(p->id + rows);
    p->probability = p->output + rows * (size_t)p->outputs;
    p->prediction = (int32_t *)(void *)(p->probability + rows * (size_t)p->outputs);
    return OK;
}

enum code predict(const char *out, const struct weights *weights, const struct dataset *dataset,
                  const struct predict_opts *opts, uint64_t *rows, struct err *err)
{
    const char *name = opts->split ? opts->split : "test";
    struct predicting p = { .weights = weights, .dataset = dataset };
    p.split = dataset_split(dataset, name);
    if (!p.split) return err_set(err, CONFIG, "'%s' has no split '%s'", dataset->path, name);
    struct infer_opts how = { .device = opts->device, .threads = opts->threads };
    p.call = opts->call_rows > 0 ? opts->call_rows : PREDICT_ROWS;
    p.call = (p.call + INFER_TILE_CPU - 1) / INFER_TILE_CPU * INFER_TILE_CPU;
    struct model_io io;
    enum code code = model_io_read(&io, weights->model, err);
    if (code) goto out;
    p.outputs = io.outputs;
    if ((code = harness_fits(&io, dataset, p.split, "the model", err))) goto out;
    if ((code = infer_open(&p.infer, weights, &how, err))) goto out;
    if ((code = take_memory(&p, err))) goto out;
    if ((code = h5_create(&p.h5, out, err))) goto out;
    if ((code = begin_columns(&p, err))) goto out;
    for (uint64_t row = 0; row < p.split->rows; row += (uint64_t)p.call) {
        uint64_t left = p.split->rows - row,
                 some = left < (uint64_t)p.call ? left : (uint64_t)p.call;
        if ((code = write_call(&p, row, some, err))) goto out;
    }
    code = h5_publish(&p.h5, err);
    if (!code && rows) *rows = p.split->rows;
out:
    h5_close(&p.h5);
    block_free(p.memory);
    infer_close(p.infer);
    return code;
}
