/* A file of predictions as columns of numbers, before they mean anything (internal to eval/). */
#ifndef PAWL_EVAL_PREDICTION_GRID_H
#define PAWL_EVAL_PREDICTION_GRID_H

#include "dataset/dataset.h"

struct grid {
    struct arena arena;
    void *memory; /* all columns */
    const char *path;
    const char *const *class_names; /* texts that stand for their number, or NULL */
    int64_t classes;
    const char **names;
    double **column; /* [count][n] in the order of the file */
    size_t count;
    int64_t n;
    int64_t *line;    /* [n] where each row begins; NULL: the format has no lines */
    const char *data; /* digest of the split that the file states, or NULL */
};

/* Fills a grid whose `path` and `class_names` are set. A cell that is missing is NaN; text that is
 * neither a number nor a class is DAMAGED with its place. */
enum code grid_read_csv(struct grid *grid, struct err *err);
enum code grid_read_json(struct grid *grid, struct err *err);
enum code grid_read_h5(struct grid *grid, struct err *err);
void grid_release(struct grid *grid);

/* The column with this name, or -1. */
int grid_find(const struct grid *grid, const char *name);
/* Takes room for `count` columns of `n` rows, filled with NaN. */
enum code grid_room(struct grid *grid, size_t count, int64_t n, bool lines, struct err *err);
/* A number or the name of a class; false for anything else. An empty text is NaN. */
bool grid_number(double *value, const struct grid *grid, const char *column, const char *text);
/* "row 12 (line 14) of 'x.csv'", arena-owned. */
const char *grid_place(struct grid *grid, int64_t row);

#endif
