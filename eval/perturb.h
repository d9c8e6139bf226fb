/* Perturbations: how rows are changed before the model sees them, so that gates can ask for quality
 * under noise, blur, missing values and the like.
 *
 * A changed row is a pure function of its own bytes, its id, the options and a key: Philox draws
 * and base/math only, so the bits are the same for every subject, call, thread and machine.
 * Images are u8 [H, W, C] (or f32, counted in the training split's deviations); tables f32 [F]. */
#ifndef PAWL_EVAL_PERTURB_H
#define PAWL_EVAL_PERTURB_H

#include "base/schema.h"
#include "dataset/dataset.h"

enum { PERTURB_OPTIONS = 3 };

enum perturb_fits { PERTURB_IMAGES = 1, PERTURB_TABLES = 2 };

struct perturbing;

struct perturb_kind {
    const char *name;
    unsigned fits;    /* perturb_fits */
    bool adversarial; /* needs the gradient of the model's loss: see eval/attack.h */
    /* Changes one row; `number` [count] in, out; NULL for adversarial kinds. */
    void (*apply)(const struct perturbing *perturbing, double *number, uint64_t row);
};

/* One perturbation of a suite, ready to be applied to the rows of a column. */
struct perturbing {
    const struct perturb_kind *kind;
    double option[PERTURB_OPTIONS]; /* in the order of the kind's fields */
    uint64_t key;
    int64_t height, width, channels; /* of an image; a table has height = width = 1 */
    const double *mean, *deviation;  /* [channels] of the training split, in stored units */
    enum h5_type type;
};

/* The alternatives of `with:`; `detail` is the perturb_kind. */
extern const struct choice perturb_choices[];

/* Reads {"gaussian_noise": {"sigma": 0.1}}; DAMAGED when it is not one of ours. */
enum code perturb_read(struct perturbing *perturbing, const json_t *with, const char *name,
                       struct err *err);

/* Whether it can change such a column. */
bool perturb_fits_column(const struct perturb_kind *kind, const struct column *input);

/* Says what the rows are; `seed` and the options make the key. */
void perturb_begin(struct perturbing *perturbing, const struct dataset *dataset,
                   const struct column *input, uint64_t seed);

/* Changes `rows` stored rows in place; the first is row `first` of the split. */
void perturb_rows(const struct perturbing *perturbing, void *stored, int64_t first, int64_t rows,
                  int threads);

#endif
