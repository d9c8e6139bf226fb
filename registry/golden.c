/* Writing sample.h5, and running it again somewhere else. */
#include "registry/golden.h"

#include "base/h5.h"

#include <math.h>
#include <string.h>

/* Kinds of device and how far rounding alone may move an output there. */
static const struct {
    const char *device;
    double tolerance;
} kinds[] = {
    { "ref", 1e-4 },
    { "cpu", 1e-4 },
    { "cuda", 1e-3 },
};

enum { KINDS = sizeof kinds / sizeof *kinds };

struct rows {
    uint64_t input_dim[H5_DIMS], output_dim[2];
    int input_rank;
    enum h5_type type;
    size_t input_bytes, outputs; /* bytes of all inputs; numbers in all outputs */
};

/* The datasets' shapes for `rows` rows of this model. */
static enum code rows_of(struct rows *out, const struct model_io *io, int64_t rows, struct err *err)
{
    struct shape whole = { .rank = io->input.rank + 1, .dim = { rows } };
    memset(out, 0, sizeof *out);
    if (io->input.rank + 1 > TENSOR_DIMS || io->outputs < 1)
        return err_set(err, DAMAGED, "cannot sample the model: rows of rank %d, %lld outputs",
                       io->input.rank, (long long)io->outputs);
    for (int d = 0; d < io->input.rank; d++) whole.dim[d + 1] = io->input.dim[d];
    TRY(shape_bytes(&out->input_bytes, &whole, io->input_dtype, err));
    for (int d = 0; d < whole.rank; d++) out->input_dim[d] = (uint64_t)whole.dim[d];
    out->input_rank = whole.rank;
    out->output_dim[0] = (uint64_t)rows;
    out->output_dim[1] = (uint64_t)io->outputs;
    out->outputs = (size_t)rows * (size_t)io->outputs;
    out->type = io->input_dtype == DTYPE_U8 ? H5_U8 : H5_F32;
    return OK;
}

static enum code run(float *output, const struct weights *weights, const void *input, int64_t rows,
                     const char *device, struct err *err)
{
    struct infer *infer = NULL;
    struct infer_opts opts = { .device = device, .threads = 1 };
    enum code code = infer_open(&infer, weights, &opts, err);
    if (!code) code = infer_run(infer, output, input, rows, err);
    infer_close(infer);
    return code;
}

static enum code write_file(const char *path, const struct rows *rows, const void *input,
                            const float *output, const struct golden_sample *sample,
                            struct err *err)
{
    struct arena arena = { 0 };
    struct h5 h5 = { 0 };
    enum code code = h5_create(&h5, path, err);
    if (code) goto out;
    if ((code = h5_write(&h5, "/input", rows->type, rows->input_rank, rows->input_dim, input, err)))
        goto out;
    if ((code = h5_write(&h5, "/output", H5_F32, 2, rows->output_dim, output, err))) goto out;
    if ((code = h5_set_text(&h5, "/", "pawl", "sample/1", err))) goto out;
    for (int i = 0; i < KINDS; i++) {
        const char *name = arena_format(&arena, "tolerance_%s", kinds[i].device);
        double tolerance = sample->tolerance > 0 ? sample->tolerance : kinds[i].tolerance;
        if ((code = h5_set_reals(&h5, "/", name, &tolerance, 1, err))) goto out;
    }
    code = h5_publish(&h5, err);
out:
    h5_close(&h5);
    arena_release(&arena);
    return code;
}

enum code golden_write(const char *path, const struct weights *weights,
                       const struct golden_sample *sample, struct err *err)
{
    struct model_io io;
    struct rows rows;
    void *output = NULL;
    if (sample->rows < 1 || !sample->input)
        return err_set(err, USAGE, "cannot add a model without golden rows: %lld given",
                       (long long)sample->rows);
    TRY(model_io_read(&io, weights->model, err));
    TRY(rows_of(&rows, &io, sample->rows, err));
    enum code code = block_alloc(&output, rows.outputs * sizeof(float), "golden outputs", err);
    if (!code) code = run(output, weights, sample->input, sample->rows, NULL, err);
    for (size_t i = 0; !code && i < rows.outputs; i++)
        if (!isfinite(((float *)output)[i]))
            code = err_set(err, HOPELESS, "golden row %zu gives an output that is not finite: %g",
                           i / (size_t)io.outputs, (double)((float *)output)[i]);
    if (!code) code = write_file(path, &rows, sample->input, output, sample, err);
    block_free(output);
    return code;
}

/* Reads the stored rows; they must have exactly the shapes and type that the model demands. */
static enum code read_file(struct h5 *h5, struct rows *rows, const struct model_io *io,
                           void **input, void **want, struct err *err)
{
    struct h5_info in, out;
    TRY(h5_info(h5, "/input", &in, err));
    TRY(h5_info(h5, "/output", &out, err));
    TRY(rows_of(rows, io, (int64_t)in.dim[0], err));
    bool fits = in.rank == rows->input_rank && in.type == rows->type && out.type == H5_F32 &&
                out.rank == 2 && in.dim[0] > 0;
    for (int d = 0; fits && d < in.rank; d++) fits = in.dim[d] == rows->input_dim[d];
    if (!fits || out.dim[0] != rows->output_dim[0] || out.dim[1] != rows->output_dim[1])
        return err_set(err, DAMAGED, "golden rows in '%s' do not fit the model", h5->path);
    TRY(block_alloc(input, rows->input_bytes, "golden inputs", err));
    TRY(block_alloc(want, rows->outputs * sizeof(float), "golden outputs", err));
    TRY(h5_read(h5, "/input", rows->type, *input, rows->input_bytes, err));
    return h5_read(h5, "/output", H5_F32, *want, rows->outputs * sizeof(float), err);
}

enum code golden_inputs(void **input, int64_t *count, const char *path, const json_t *model,
                        struct err *err)
{
    struct h5 h5 = { 0 };
    struct model_io io;
    struct rows rows;
    void *want = NULL;
    *input = NULL;
    enum code code = model_io_read(&io, model, err);
    if (code) goto out;
    if ((code = h5_open(&h5, path, err))) goto out;
    if ((code = read_file(&h5, &rows, &io, input, &want, err))) goto out;
    *count = (int64_t)rows.input_dim[0];
out:
    if (code) {
        block_free(*input);
        *input = NULL;
    }
    h5_close(&h5);
    block_free(want);
    return code;
}

static enum code read_tolerance(struct h5 *h5, double *tolerance, const char *device,
                                struct err *err)
{
    struct arena arena = { 0 };
    double *values = NULL;
    size_t count = 0;
    const char *name = arena_format(&arena, "tolerance_%s", device ? device : "cpu");
    enum code code = h5_get_reals(h5, &arena, "/", name, &values, &count, err);
    if (code == NOT_FOUND || (!code && (count != 1 || !(values[0] > 0))))
        code = err_set(err, DAMAGED, "golden rows in '%s' state no %s", h5->path, name);
    if (!code) *tolerance = values[0];
    arena_release(&arena);
    return code;
}

/* Row by row; a NaN is never near anything. */
static enum code compare(struct golden_result *result, const float *got, const float *want,
                         int64_t outputs, struct err *err)
{
    for (int64_t r = 0; r < result->rows; r++) {
        double scale = 1;
        for (int64_t i = r * outputs; i < (r + 1) * outputs; i++)
            scale = fmax(scale, fabs((double)want[i]));
        for (int64_t i = r * outputs; i < (r + 1) * outputs; i++) {
            double off = fabs((double)got[i] - (double)want[i]) / scale;
            if (!(off <= result->tolerance))
                return err_set(err, HOPELESS,
                               "golden row %lld, output %lld: got %.9g, want %.9g: off by %.3g, "
                               "more than %.3g",
                               (long long)r, (long long)(i - r * outputs), (double)got[i],
                               (double)want[i], off, result->tolerance);
            result->worst = fmax(result->worst, off);
        }
    }
    return OK;
}

enum code golden_probe(struct golden_result *result, const char *path,
                       const struct weights *weights, const char *device, struct err *err)
{
    struct h5 h5 = { 0 };
    struct model_io io;
    struct rows rows;
    void *input = NULL, *want = NULL, *got = NULL;
    memset(result, 0, sizeof *result);
    enum code code = model_io_read(&io, weights->model, err);
    if (code) goto out;
    if ((code = h5_open(&h5, path, err))) goto out;
    code = read_file(&h5, &rows, &io, &input, &want, err);
    if (code == NOT_FOUND) code = err_set(err, DAMAGED, "'%s' holds no golden rows", path);
    if (code) goto out;
    if ((code = read_tolerance(&h5, &result->tolerance, device, err))) goto out;
    result->rows = (int64_t)rows.input_dim[0];
    if ((code = block_alloc(&got, rows.outputs * sizeof(float), "outputs", err))) goto out;
    if ((code = run(got, weights, input, result->rows, device, err))) goto out;
    code = compare(result, got, want, io.outputs, err);
out:
    h5_close(&h5);
    block_free(input);
    block_free(want);
    block_free(got);
    return code;
}
