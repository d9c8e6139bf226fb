/* The table of perturbations and what each does to one row.
 *
 * Rows are changed as f64 numbers and rounded back once to what is stored. Draws are taken at
 * (key, row, place), so no row knows of another. */
#include "eval/perturb.h"

#include "base/math.h"
#include "base/rng.h"

#include <math.h>
#include <omp.h>
#include <string.h>

enum { BLUR_RADIUS = 24 };

static int64_t row_count(const struct perturbing *p)
{
    return p->height * p->width * p->channels;
}

/* How much 1 means at a channel: the range of a pixel, or a deviation. */
static double unit_of(const struct perturbing *p, int64_t channel)
{
    return p->type == H5_U8 ? 255 : p->deviation[channel];
}

static double uniform_at(const struct perturbing *p, uint64_t row, uint64_t place)
{
    struct philox words = philox4x32(p->key, row, place);
    return (double)(((uint64_t)words.word[0] << 21) ^ (words.word[1] >> 11)) * 0x1p-53;
}

static void add_noise(const struct perturbing *p, double *number, uint64_t row)
{
    int64_t count = row_count(p);
    for (int64_t i = 0; i < count; i++) {
        uint64_t counter = row * (uint64_t)count + (uint64_t)i;
        number[i] += p->option[0] * unit_of(p, i % p->channels) * rng_normal(p->key, counter);
    }
}

static void drop_values(const struct perturbing *p, double *number, uint64_t row)
{
    for (int64_t i = 0; i < p->channels; i++)
        if (uniform_at(p, row, (uint64_t)i) < p->option[0]) number[i] = p->mean[i];
}

static void brighten(const struct perturbing *p, double *number, uint64_t row)
{
    (void)row;
    int64_t count = row_count(p);
    for (int64_t i = 0; i < count; i++) number[i] += p->option[0] * unit_of(p, i % p->channels);
}

static void change_contrast(const struct perturbing *p, double *number, uint64_t row)
{
    (void)row;
    int64_t count = row_count(p);
    double mean = 0;
    for (int64_t i = 0; i < count; i++) mean += number[i];
    mean /= (double)count;
    for (int64_t i = 0; i < count; i++) number[i] = mean + p->option[0] * (number[i] - mean);
}

static int64_t inside(int64_t at, int64_t size)
{
    return at < 0 ? 0 : at >= size ? size - 1 : at;
}

/* One line of an image, `step` numbers between its pixels, weighed with a bell; edges go on. */
static void blur_line(double *line, double *copy, int64_t size, int64_t step, const double *weight,
                      int radius)
{
    for (int64_t i = 0; i < size; i++) copy[i] = line[i * step];
    for (int64_t i = 0; i < size; i++) {
        double sum = 0;
        for (int j = -radius; j <= radius; j++)
            sum += weight[j < 0 ? -j : j] * copy[inside(i + j, size)];
        line[i * step] = sum;
    }
}

static void blur(const struct perturbing *p, double *number, uint64_t row)
{
    (void)row;
    double weight[BLUR_RADIUS + 1], all = 0, sigma = p->option[0];
    int radius = (int)ceil(3 * sigma);
    if (radius > BLUR_RADIUS) radius = BLUR_RADIUS;
    for (int j = 0; j <= radius; j++) {
        weight[j] = math_exp(-(double)(j * j) / (2 * sigma * sigma));
        all += j ? 2 * weight[j] : weight[j];
    }
    for (int j = 0; j <= radius; j++) weight[j] /= all;
    int64_t longer = p->height > p->width ? p->height : p->width, line = p->width * p->channels;
    double *copy = number + row_count(p); /* room behind the row: see perturb_rows */
    REQUIRE(longer <= row_count(p));
    for (int64_t c = 0; c < p->channels; c++) {
        for (int64_t y = 0; y < p->height; y++)
            blur_line(number + y * line + c, copy, p->width, p->channels, weight, radius);
        for (int64_t x = 0; x < p->width; x++)
            blur_line(number + x * p->channels + c, copy, p->height, line, weight, radius);
    }
}

static void occlude(const struct perturbing *p, double *number, uint64_t row)
{
    int64_t shorter = p->height < p->width ? p->height : p->width;
    int64_t side = (int64_t)floor(p->option[0] * (double)shorter + 0.5);
    int64_t top = (int64_t)(uniform_at(p, row, 0) * (double)(p->height - side + 1));
    int64_t left = (int64_t)(uniform_at(p, row, 1) * (double)(p->width - side + 1));
    for (int64_t y = top; y < top + side; y++)
        for (int64_t x = left; x < left + side; x++)
            for (int64_t c = 0; c < p->channels; c++)
                number[(y * p->width + x) * p->channels + c] = p->mean[c];
}

static void shift(const struct perturbing *p, double *number, uint64_t row)
{
    int64_t most = (int64_t)p->option[0], count = row_count(p);
    int64_t down = (int64_t)(uniform_at(p, row, 0) * (double)(2 * most + 1)) - most;
    int64_t right = (int64_t)(uniform_at(p, row, 1) * (double)(2 * most + 1)) - most;
    double *copy = number + count;
    memcpy(copy, number, (size_t)count * sizeof *copy);
    for (int64_t y = 0; y < p->height; y++)
        for (int64_t x = 0; x < p->width; x++)
            for (int64_t c = 0; c < p->channels; c++)
                number[(y * p->width + x) * p->channels + c] =
                    copy[(inside(y - down, p->height) * p->width + inside(x - right, p->width)) *
                             p->channels +
                         c];
}

#define OPTION(option_name, kind, at_least, at_most, value, text)                                  \
    {                                                                                              \
        .key = option_name, .type = kind, .low = at_least, .high = at_most, .fallback = value,     \
        .since = "0.1", .help = text, .example = value                                             \
    }
static const struct field noise_fields[] = {
    OPTION("sigma", FIELD_REAL, 0, 10, "0.1",
           "Deviation of the noise: a share of a pixel's range, else of the data's deviation."),
    { 0 },
};
static const struct field blur_fields[] = {
    OPTION("sigma", FIELD_REAL, 0.1, 8, "1", "Deviation of the bell, in pixels."),
    { 0 },
};
static const struct field brightness_fields[] = {
    OPTION("add", FIELD_REAL, -1, 1, "0.2", "Share of a pixel's range that is added."),
    { 0 },
};
static const struct field contrast_fields[] = {
    OPTION("factor", FIELD_REAL, 0, 10, "0.5", "Distances from the image's mean times this."),
    { 0 },
};
static const struct field occlusion_fields[] = {
    OPTION("size", FIELD_REAL, 0, 1, "0.3",
           "Side of the covered square as a share of the image's shorter side."),
    { 0 },
};
static const struct field shift_fields[] = {
    OPTION("pixels", FIELD_INT, 1, 1000, "2", "At most so many pixels, in each direction."),
    { 0 },
};
static const struct field missing_fields[] = {
    OPTION("rate", FIELD_REAL, 0, 1, "0.1",
           "Share of values that are missing; the training mean stands for them."),
    { 0 },
};
static const struct field fgsm_fields[] = {
    OPTION("epsilon", FIELD_REAL, 0, 10, "0.03",
           "Largest change of a number: a share of a pixel's range, else of the deviation."),
    { 0 },
};
static const struct field pgd_fields[] = {
    OPTION("epsilon", FIELD_REAL, 0, 10, "0.03",
           "Largest change of a number: a share of a pixel's range, else of the deviation."),
    OPTION("steps", FIELD_INT, 1, 200, "10", "How many steps."),
    OPTION("step", FIELD_REAL, 0, 10, "0.01", "Size of one step, in the unit of epsilon."),
    { 0 },
};

static const struct perturb_kind kinds[] = {
    { "gaussian_noise", PERTURB_IMAGES, false, add_noise },
    { "blur", PERTURB_IMAGES, false, blur },
    { "brightness", PERTURB_IMAGES, false, brighten },
    { "contrast", PERTURB_IMAGES, false, change_contrast },
    { "occlusion", PERTURB_IMAGES, false, occlude },
    { "shift", PERTURB_IMAGES, false, shift },
    { "feature_noise", PERTURB_TABLES, false, add_noise },
    { "missing", PERTURB_TABLES, false, drop_values },
    { "fgsm", PERTURB_IMAGES | PERTURB_TABLES, true, NULL },
    { "pgd", PERTURB_IMAGES | PERTURB_TABLES, true, NULL },
};

const struct choice perturb_choices[] = {
    { .name = "gaussian_noise",
      .help = "Images: independent noise on every number.",
      .fields = noise_fields,
      .shorthand = "sigma",
      .detail = &kinds[0] },
    { .name = "blur",
      .help = "Images: each pixel becomes the mean of its neighbourhood, weighed with a bell.",
      .fields = blur_fields,
      .shorthand = "sigma",
      .detail = &kinds[1] },
    { .name = "brightness",
      .help = "Images: lighter or darker by a constant.",
      .fields = brightness_fields,
      .shorthand = "add",
      .detail = &kinds[2] },
    { .name = "contrast",
      .help = "Images: nearer to or farther from their mean.",
      .fields = contrast_fields,
      .shorthand = "factor",
      .detail = &kinds[3] },
    { .name = "occlusion",
      .help = "Images: a square somewhere is covered with the training mean.",
      .fields = occlusion_fields,
      .shorthand = "size",
      .detail = &kinds[4] },
    { .name = "shift",
      .help = "Images: moved by a few pixels; the edge goes on.",
      .fields = shift_fields,
      .shorthand = "pixels",
      .detail = &kinds[5] },
    { .name = "feature_noise",
      .help = "Tables: independent noise on every feature, in its own deviations.",
      .fields = noise_fields,
      .shorthand = "sigma",
      .detail = &kinds[6] },
    { .name = "missing",
      .help = "Tables: some values are replaced by the training mean.",
      .fields = missing_fields,
      .shorthand = "rate",
      .detail = &kinds[7] },
    { .name = "fgsm",
      .help = "One step against the model, along the sign of its gradient (Goodfellow 2015).",
      .fields = fgsm_fields,
      .shorthand = "epsilon",
      .detail = &kinds[8] },
    { .name = "pgd",
      .help = "Many small steps against the model, kept near the row (Madry 2018).",
      .fields = pgd_fields,
      .shorthand = "epsilon",
      .detail = &kinds[9] },
    { 0 },
};

enum code perturb_read(struct perturbing *perturbing, const json_t *with, const char *name,
                       struct err *err)
{
    const char *word = json_object_iter_key(json_object_iter((json_t *)(uintptr_t)with));
    const struct choice *choice = word ? choice_find(perturb_choices, word) : NULL;
    if (!choice || json_object_size(with) != 1)
        return err_set(err, DAMAGED, "cannot use suite in '%s': its perturbation '%s' is not known",
                       name, word ? word : "?");
    const json_t *options = json_object_get(with, word);
    *perturbing = (struct perturbing){ .kind = choice->detail };
    for (int i = 0; choice->fields[i].key; i++) {
        const struct field *field = &choice->fields[i];
        TRY(json_get_real(&perturbing->option[i], options, field->key, name, err));
        if (!(perturbing->option[i] >= field->low && perturbing->option[i] <= field->high))
            return err_set(err, DAMAGED, "cannot use suite in '%s': '%s' is out of range", name,
                           field->key);
    }
    return OK;
}

bool perturb_fits_column(const struct perturb_kind *kind, const struct column *input)
{
    bool number = input->type == H5_U8 || input->type == H5_F32;
    bool image = input->rank == 4 || (input->rank == 3 && input->type == H5_U8);
    bool table = input->rank == 2 && input->type == H5_F32;
    return number &&
           ((image && kind->fits & PERTURB_IMAGES) || (table && kind->fits & PERTURB_TABLES));
}

void perturb_begin(struct perturbing *perturbing, const struct dataset *dataset,
                   const struct column *input, uint64_t seed)
{
    struct perturbing *p = perturbing;
    p->type = input->type;
    p->height = input->rank > 2 ? (int64_t)input->dim[1] : 1;
    p->width = input->rank > 2 ? (int64_t)input->dim[2] : 1;
    p->channels = input->rank == 4   ? (int64_t)input->dim[3]
                  : input->rank == 2 ? (int64_t)input->dim[1]
                                     : 1;
    p->mean = dataset->mean;
    p->deviation = dataset->deviation;
    p->key = rng_mix(seed, rng_hash(p->kind->name));
    for (int i = 0; i < PERTURB_OPTIONS; i++) {
        uint64_t bits;
        memcpy(&bits, &p->option[i], sizeof bits);
        p->key = rng_mix(p->key, bits);
    }
}

static void change_row(const struct perturbing *p, void *stored, double *number, uint64_t row)
{
    int64_t count = row_count(p);
    uint8_t *pixel = stored;
    float *real = stored;
    bool bytes = p->type == H5_U8;
    for (int64_t i = 0; i < count; i++) number[i] = bytes ? pixel[i] : (double)real[i];
    p->kind->apply(p, number, row);
    for (int64_t i = 0; i < count; i++) {
        if (!bytes) {
            real[i] = (float)number[i];
            continue;
        }
        double value = floor(number[i] + 0.5);
        pixel[i] = (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
    }
}

void perturb_rows(const struct perturbing *perturbing, void *stored, int64_t first, int64_t rows,
                  int threads)
{
    int64_t count = row_count(perturbing);
    size_t bytes = (size_t)count * h5_type_size(perturbing->type);
    int team = threads > 0 ? threads : omp_get_max_threads();
#pragma omp parallel num_threads(team)
    {
        struct arena arena = { 0 };
        double *number = ARENA_ARRAY(&arena, 2 * count + 1,
                                     double); /* a row, and room for a copy */
#pragma omp for schedule(static)
        for (int64_t i = 0; i < rows; i++)
            change_row(perturbing, (char *)stored + (size_t)i * bytes, number,
                       (uint64_t)(first + i));
        arena_release(&arena);
    }
}
