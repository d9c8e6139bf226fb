/* IDX import: hand-made files against what they say, the real Fashion-MNIST against its known
 * moments, and every refusal with its exact message. */
#include "base/fs.h"
#include "base/rng.h"
#include "dataset/import.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>
#include <zlib.h>

static const char fashion[] = "/usr/share/datasets/fashion-mnist";

enum { H = 3, W = 2, TRAIN = 20, TEST = 7, PATH = 200 };

struct place {
    char dir[64], out[PATH], images[PATH], labels[PATH], test_images[PATH], test_labels[PATH];
};

static void place_init(struct place *place)
{
    snprintf(place->dir, sizeof place->dir, "/tmp/pawl-test-XXXXXX");
    cr_assert(mkdtemp(place->dir));
    snprintf(place->out, PATH, "%s/out.h5", place->dir);
    snprintf(place->images, PATH, "%s/train-images-idx3-ubyte", place->dir);
    snprintf(place->labels, PATH, "%s/train-labels-idx1-ubyte", place->dir);
    snprintf(place->test_images, PATH, "%s/t10k-images-idx3-ubyte", place->dir);
    snprintf(place->test_labels, PATH, "%s/t10k-labels-idx1-ubyte", place->dir);
}

static void place_release(const struct place *place)
{
    struct err err;
    cr_expect_eq(fs_remove_tree(place->dir, &err), OK);
}

static void put(const char *path, const void *bytes, size_t len)
{
    struct err err;
    cr_assert_eq(fs_publish_view(path, bytes, len, &err), OK);
}

static unsigned char pixel(int row, int at)
{
    return (unsigned char)(row * 31 + at * 7 + 1);
}

static unsigned char label(int row)
{
    return (unsigned char)(row * 3 % 10);
}

static size_t make_images(unsigned char *bytes, int rows)
{
    const unsigned char header[] = { 0, 0, 8, 3, 0, 0, 0, (unsigned char)rows,
                                     0, 0, 0, H, 0, 0, 0, W };
    memcpy(bytes, header, sizeof header);
    for (int i = 0; i < rows * H * W; i++) bytes[16 + i] = pixel(i / (H * W), i % (H * W));
    return (size_t)(16 + rows * H * W);
}

static size_t make_labels(unsigned char *bytes, int rows)
{
    const unsigned char header[] = { 0, 0, 8, 1, 0, 0, 0, (unsigned char)rows };
    memcpy(bytes, header, sizeof header);
    for (int i = 0; i < rows; i++) bytes[8 + i] = label(i);
    return (size_t)(8 + rows);
}

static void put_good(const struct place *place)
{
    unsigned char bytes[1024];
    put(place->images, bytes, make_images(bytes, TRAIN));
    put(place->labels, bytes, make_labels(bytes, TRAIN));
    put(place->test_images, bytes, make_images(bytes, TEST));
    put(place->test_labels, bytes, make_labels(bytes, TEST));
}

static void compress_file(const char *path)
{
    struct arena arena = { 0 };
    struct bytes bytes;
    struct err err;
    char gz[PATH + 8];
    cr_assert_eq(fs_read(&arena, &bytes, path, 1 << 20, &err), OK);
    snprintf(gz, sizeof gz, "%s.gz", path);
    gzFile file = gzopen(gz, "wb9");
    cr_assert_eq(gzwrite(file, bytes.at, (unsigned)bytes.len), (int)bytes.len);
    gzclose(file);
    cr_assert_eq(fs_remove(path, &err), OK);
    arena_release(&arena);
}

/* Every row of a split must be a row of the source with its label; gives their numbers. */
static void rows_of(const struct dataset *dataset, const char *name, int *rows)
{
    struct err err;
    const struct split *split = dataset_split(dataset, name);
    cr_assert(split, "%s", name);
    const struct column *image = split_column(split, "image"),
                        *target = split_column(split, "label");
    for (uint64_t i = 0; i < split->rows; i++) {
        unsigned char bytes[H * W];
        int32_t value;
        cr_assert_eq(dataset_read(dataset, image, i, 1, bytes, &err), OK, "%s", err.message);
        cr_assert_eq(dataset_read(dataset, target, i, 1, &value, &err), OK, "%s", err.message);
        int row = 0;
        while (row < TRAIN && bytes[0] != pixel(row, 0)) row++;
        for (int at = 0; at < H * W; at++)
            cr_expect_eq(bytes[at], pixel(row, at), "%s row %d", name, (int)i);
        cr_expect_eq(value, label(row), "%s row %d", name, (int)i);
        rows[i] = row;
    }
}

Test(idx, rows_go_into_their_splits_plain_and_gzip)
{
    struct err err = { 0 };
    struct digest first = { { 0 } };
    for (int gzip = 0; gzip < 2; gzip++) {
        struct place place;
        place_init(&place);
        put_good(&place);
        const char *paths[] = { place.images, place.labels, place.test_images, place.test_labels };
        for (int i = 0; gzip && i < 4; i++) compress_file(paths[i]);
        const char *sources[] = { place.dir };
        struct import_opts opts = {
            .sources = sources, .count = 1, .out = place.out, .validate = 6, .seed = 5
        };
        cr_assert_eq(import_idx(&opts, &err), OK, "%s", err.message);
        struct dataset dataset;
        cr_assert_eq(dataset_open(&dataset, place.out, &err), OK, "%s", err.message);
        int train[TRAIN], validate[TRAIN], test[TRAIN], seen[TRAIN] = { 0 };
        cr_expect_eq(dataset_split(&dataset, "train")->rows, TRAIN - 6);
        cr_expect_eq(dataset_split(&dataset, "validate")->rows, 6);
        cr_expect_eq(dataset_split(&dataset, "test")->rows, TEST);
        rows_of(&dataset, "train", train);
        rows_of(&dataset, "validate", validate);
        rows_of(&dataset, "test", test);
        for (int i = 0; i < TRAIN - 6; i++) seen[train[i]]++;
        for (int i = 0; i < 6; i++) seen[validate[i]]++;
        for (int i = 0; i < TRAIN; i++) cr_expect_eq(seen[i], 1, "row %d", i);
        for (int i = 1; i < TRAIN - 6; i++) cr_expect_lt(train[i - 1], train[i]);
        for (int i = 0; i < TEST; i++) cr_expect_eq(test[i], i);
        /* moments from the training rows, computed here in another way */
        double sum = 0, squares = 0, n = (TRAIN - 6) * H * W;
        for (int i = 0; i < TRAIN - 6; i++)
            for (int at = 0; at < H * W; at++) {
                double value = pixel(train[i], at);
                sum += value;
                squares += value * value;
            }
        cr_expect(fabs(dataset.mean[0] - sum / n) < 1e-9);
        cr_expect(fabs(dataset.deviation[0] - sqrt(squares / n - sum / n * sum / n)) < 1e-9);
        int64_t counts[10], wanted[10] = { 0 };
        for (int i = 0; i < TRAIN - 6; i++) wanted[label(train[i])]++;
        cr_expect_eq(dataset.classes, 10);
        cr_expect_str_eq(dataset.class_names[7], "7");
        cr_assert_eq(dataset_class_counts(&dataset, dataset_split(&dataset, "train"), counts, &err),
                     OK);
        cr_expect(!memcmp(counts, wanted, sizeof counts));
        /* the logical digest knows nothing of how the source was stored */
        if (!gzip) first = dataset_split(&dataset, "train")->digest;
        cr_expect(digest_equal(&first, &dataset_split(&dataset, "train")->digest));
        dataset_close(&dataset);
        place_release(&place);
    }
}

Test(idx, the_real_fashion_mnist_has_its_known_moments)
{
    if (!fs_is_dir(fashion)) cr_skip("the package dataset-fashion-mnist is not installed");
    struct err err = { 0 };
    struct place place;
    struct dataset dataset;
    bool unchanged = true;
    place_init(&place);
    const char *sources[] = { fashion };
    struct import_opts opts = {
        .sources = sources, .count = 1, .out = place.out, .unchanged = &unchanged
    };
    cr_assert_eq(import_idx(&opts, &err), OK, "%s", err.message);
    cr_expect_not(unchanged);
    cr_assert_eq(dataset_open(&dataset, place.out, &err), OK, "%s", err.message);
    const struct split *train = dataset_split(&dataset, "train");
    const struct column *image = split_column(train, "image");
    cr_expect_eq(train->rows, 60000);
    cr_expect_eq(dataset_split(&dataset, "test")->rows, 10000);
    cr_expect(image->rank == 4 && image->dim[1] == 28 && image->dim[2] == 28 && image->dim[3] == 1);
    cr_expect(fabs(dataset.mean[0] - 72.9404) < 5e-5, "%.6f", dataset.mean[0]);
    cr_expect(fabs(dataset.deviation[0] - 90.0212) < 5e-5, "%.6f", dataset.deviation[0]);
    int64_t counts[10];
    cr_assert_eq(dataset_class_counts(&dataset, train, counts, &err), OK);
    for (int i = 0; i < 10; i++) cr_expect_eq(counts[i], 6000);
    cr_expect_eq(dataset_check(&dataset, NULL, &err), OK, "%s", err.message);
    dataset_close(&dataset);
    cr_assert_eq(import_idx(&opts, &err), OK, "%s", err.message);
    cr_expect(unchanged);
    place_release(&place);
}

/* A change to one of four good files, and what must be said of it. */
struct refusal {
    const char *name;
    int file;      /* 0 images, 1 labels, 2 test images, 3 test labels */
    int cut;       /* keep this many bytes; 0: all */
    int at, value; /* write one byte; at -1: none */
    int gzip;      /* compress before the change */
    int append;    /* bytes added */
    bool remove;
    uint64_t validate, test;
    enum code code;
    const char *message; /* %s stands for the path of the file */
};

static void spoil(const struct refusal *row, const char *path)
{
    struct arena arena = { 0 };
    struct bytes bytes;
    struct err err;
    cr_assert_eq(fs_read(&arena, &bytes, path, 1 << 20, &err), OK);
    size_t len = row->cut ? (size_t)row->cut : bytes.len;
    if (row->cut < 0) len = bytes.len - (size_t)-row->cut;
    char *copy = arena_take(&arena, len + 16);
    memcpy(copy, bytes.at, len);
    if (row->at >= 0) copy[row->at] = (char)row->value;
    put(path, copy, len + (size_t)row->append);
    if (row->remove) cr_assert_eq(fs_remove(path, &err), OK);
    arena_release(&arena);
}

static const struct refusal refusals[] = {
    { "foreign magic", .file = 0, .at = 2, .value = 0x0D, .code = DAMAGED,
      .message = "cannot import '%s': magic number 0x00000d03 at byte 0, expected 0x00000803 for "
                 "training images" },
    { "labels where images should be", .file = 1, .at = 3, .value = 3, .code = DAMAGED,
      .message = "cannot import '%s': magic number 0x00000803 at byte 0, expected 0x00000801 for "
                 "training labels" },
    { "cut in the magic", .file = 0, .cut = 3, .at = -1, .code = DAMAGED,
      .message = "cannot import '%s': it ends in its header at byte 3" },
    { "cut in the header", .file = 0, .cut = 9, .at = -1, .code = DAMAGED,
      .message = "cannot import '%s': it ends in its header at byte 9" },
    { "cut in a row", .file = 0, .cut = 16 + 5 * H * W + 2, .at = -1, .code = DAMAGED,
      .message = "cannot import '%s': it ends at byte 48 (row 5), expected 136 bytes" },
    { "cut by one byte", .file = 3, .cut = -1, .at = -1, .code = DAMAGED,
      .message = "cannot import '%s': it ends at byte 14 (row 6), expected 15 bytes" },
    { "a row too many", .file = 1, .at = -1, .append = 1, .code = DAMAGED,
      .message = "cannot import '%s': more than the 28 bytes of its header" },
    { "a claim of 2^24 rows", .file = 0, .at = 4, .value = 1, .code = DAMAGED,
      .message = "cannot import '%s': it ends at byte 136 (row 20), expected 100663432 bytes" },
    { "no rows", .file = 3, .at = 7, .value = 0, .code = DAMAGED,
      .message = "cannot import '%s': dimension 0 at byte 4 is 0" },
    { "label out of range", .file = 1, .at = 8 + 7, .value = 10, .code = DAMAGED,
      .message = "cannot import '%s': label 10 in row 7 (byte 15), but 10 classes" },
    { "truncated gzip", .file = 1, .cut = -9, .at = -1, .gzip = 1, .code = DAMAGED,
      .message = "cannot read '%s': the gzip data is cut short at byte " },
    { "damaged gzip", .file = 0, .at = 40, .value = 0x55, .gzip = 1, .code = DAMAGED,
      .message = "cannot read '%s': the gzip data is damaged at byte " },
    { "something behind the gzip data", .file = 1, .at = -1, .append = 4, .gzip = 1,
      .code = DAMAGED, .message = "cannot read '%s': the gzip data is damaged at byte " },
    { "no training labels", .file = 1, .at = -1, .remove = true, .code = USAGE,
      .message = "the training labels are missing" },
    { "no test images", .file = 2, .at = -1, .remove = true, .code = USAGE,
      .message = "the test images are missing" },
    { "everything to validate", .file = 0, .at = -1, .validate = TRAIN, .code = USAGE,
      .message = "cannot take 20 rows for 'validate': 20 of 20 are left, and one must remain" },
    { "a test split of its own", .file = 0, .at = -1, .test = 1, .code = USAGE,
      .message = "cannot take a test split out of IDX files: they bring their own" },
};

Test(idx, refusals_name_the_file_and_the_place)
{
    for (size_t r = 0; r < sizeof refusals / sizeof *refusals; r++) {
        struct place place;
        struct err err = { 0 };
        struct arena arena = { 0 };
        place_init(&place);
        put_good(&place);
        const char *paths[] = { place.images, place.labels, place.test_images, place.test_labels };
        const char *path = paths[refusals[r].file];
        if (refusals[r].gzip) {
            compress_file(path);
            path = arena_format(&arena, "%s.gz", path);
        }
        spoil(&refusals[r], path);
        const char *sources[] = { place.dir };
        struct import_opts opts = { .sources = sources,
                                    .count = 1,
                                    .out = place.out,
                                    .validate = refusals[r].validate,
                                    .test = refusals[r].test };
        cr_expect_eq(import_idx(&opts, &err), refusals[r].code, "%s", refusals[r].name);
        const char *mark = strstr(refusals[r].message, "%s"), *wanted = refusals[r].message;
        if (mark)
            wanted = arena_format(&arena, "%.*s%s%s", (int)(mark - wanted), wanted, path, mark + 2);
        cr_expect(strstr(err.message, wanted), "%s: '%s' instead of '%s'", refusals[r].name,
                  err.message, wanted);
        cr_expect_not(fs_exists(place.out), "%s leaves a file", refusals[r].name);
        arena_release(&arena);
        place_release(&place);
    }
}

Test(idx, pairs_that_do_not_belong_together_are_refused)
{
    struct place place;
    struct err err = { 0 };
    unsigned char bytes[1024];
    char wanted[600], twice[PATH + 8];
    const char *sources[] = { place.dir, twice };
    struct import_opts opts = { .sources = sources, .count = 1, .out = place.out };
    place_init(&place);
    put_good(&place);
    put(place.labels, bytes, make_labels(bytes, TRAIN - 1));
    cr_expect_eq(import_idx(&opts, &err), DAMAGED);
    snprintf(wanted, sizeof wanted, "cannot import '%s': 19 labels, but 20 images in '%s'",
             place.labels, place.images);
    cr_expect_str_eq(err.message, wanted);
    put_good(&place);
    size_t len = make_images(bytes, TEST);
    bytes[11] = W;
    bytes[15] = H;
    put(place.test_images, bytes, len);
    cr_expect_eq(import_idx(&opts, &err), DAMAGED);
    snprintf(wanted, sizeof wanted, "cannot import '%s': images of another shape than in '%s'",
             place.test_images, place.images);
    cr_expect_str_eq(err.message, wanted);
    put_good(&place);
    snprintf(twice, sizeof twice, "%s/train-images.idx", place.dir);
    put(twice, bytes, make_images(bytes, TRAIN));
    cr_expect_eq(import_idx(&opts, &err), USAGE);
    snprintf(wanted, sizeof wanted,
             "cannot import both '%s' and '%s': each holds the training images", place.images,
             twice);
    cr_expect_str_eq(err.message, wanted);
    place_release(&place);
}

Test(idx, an_existing_file_is_kept_unless_it_is_to_be_replaced)
{
    struct place place;
    struct err err = { 0 };
    struct dataset dataset;
    char manifest[PATH + 8], wanted[PATH + 80];
    bool unchanged = false;
    const char *sources[] = { place.dir };
    struct import_opts opts = {
        .sources = sources, .count = 1, .out = place.out, .unchanged = &unchanged
    };
    place_init(&place);
    put_good(&place);
    snprintf(manifest, sizeof manifest, "%s.json", place.out);
    cr_assert_eq(import_idx(&opts, &err), OK, "%s", err.message);
    cr_expect_not(unchanged);
    cr_assert_eq(import_idx(&opts, &err), OK);
    cr_expect(unchanged, "the same again");
    cr_assert_eq(fs_remove(manifest, &err), OK); /* as after a crash between file and manifest */
    cr_expect_eq(dataset_open(&dataset, place.out, &err), NOT_FOUND);
    cr_assert_eq(import_idx(&opts, &err), OK);
    cr_expect_not(unchanged);
    cr_assert_eq(dataset_open(&dataset, place.out, &err), OK, "%s", err.message);
    dataset_close(&dataset);
    opts.validate = 3;
    cr_expect_eq(import_idx(&opts, &err), CONFLICT);
    snprintf(wanted, sizeof wanted, "cannot import into '%s': it exists with other content",
             place.out);
    cr_expect_str_eq(err.message, wanted);
    cr_assert_eq(dataset_open(&dataset, place.out, &err), OK, "the old one is whole");
    cr_expect_eq(dataset.split_count, 2);
    dataset_close(&dataset);
    opts.replace = true;
    cr_assert_eq(import_idx(&opts, &err), OK, "%s", err.message);
    cr_assert_eq(dataset_open(&dataset, place.out, &err), OK);
    cr_expect_eq(dataset.split_count, 3);
    dataset_close(&dataset);
    place_release(&place);
}
