/* A small imported dataset for tests: `rows` training images of HEIGHT x WIDTH bytes, each pixel a
 * known function of row and place, `validate` of them split off; label = row % 10. */
#ifndef PAWL_TESTS_DATASET_SMALL_H
#define PAWL_TESTS_DATASET_SMALL_H

#include "base/fs.h"
#include "base/rng.h"
#include "dataset/import.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEIGHT = 23, WIDTH = 19, PIXELS = HEIGHT * WIDTH };

struct small {
    char dir[64], path[128];
};

static inline unsigned char small_pixel(uint64_t row, uint64_t at)
{
    return (unsigned char)(rng_mix(row, at) >> 20);
}

static inline void small_file(const char *path, int dims, uint32_t rows)
{
    struct err err;
    unsigned char header[16] = { 0, 0, 8, (unsigned char)dims };
    for (int i = 0; i < 4; i++) header[4 + i] = (unsigned char)(rows >> (24 - 8 * i));
    header[11] = HEIGHT;
    header[15] = WIDTH;
    size_t values = dims == 3 ? PIXELS : 1, skip = dims == 3 ? 16 : 8;
    unsigned char *bytes = malloc(skip + rows * values);
    cr_assert(bytes);
    memcpy(bytes, header, skip);
    for (uint64_t i = 0; i < rows * values; i++)
        bytes[skip + i] = dims == 3 ? small_pixel(i / PIXELS, i % PIXELS) : (unsigned char)(i % 10);
    cr_assert_eq(fs_publish_view(path, bytes, skip + rows * values, &err), OK);
    free(bytes);
}

static inline void small_make(struct small *small, uint32_t rows, uint64_t validate)
{
    char images[128], labels[128];
    struct err err = { 0 };
    snprintf(small->dir, sizeof small->dir, "/tmp/pawl-test-XXXXXX");
    cr_assert(mkdtemp(small->dir));
    snprintf(small->path, sizeof small->path, "%s/small.h5", small->dir);
    snprintf(images, sizeof images, "%s/train-images-idx3-ubyte", small->dir);
    snprintf(labels, sizeof labels, "%s/train-labels-idx1-ubyte", small->dir);
    small_file(images, 3, rows);
    small_file(labels, 1, rows);
    const char *sources[] = { images, labels };
    struct import_opts opts = {
        .sources = sources, .count = 2, .out = small->path, .validate = validate
    };
    cr_assert_eq(import_idx(&opts, &err), OK, "%s", err.message);
}

static inline void small_release(const struct small *small)
{
    struct err err;
    cr_expect_eq(fs_remove_tree(small->dir, &err), OK);
}

#endif
