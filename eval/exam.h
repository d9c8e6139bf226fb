/* The rows that a suite is applied to, with the truth about them: a split of a dataset, or a file
 * of predictions that brings its own labels. Everything behind it reads columns by name and does
 * not ask where they come from. */
#ifndef PAWL_EVAL_EXAM_H
#define PAWL_EVAL_EXAM_H

#include "eval/predictions.h"

struct exam {
    const struct dataset *dataset; /* NULL: predictions that stand alone */
    const struct split *split;
    const struct predictions *predictions; /* the candidate's, or NULL: a model is run */
    enum task task;
    int64_t n, classes, width;
    const char *name;         /* the file, for messages */
    const char *split_name;   /* "test"; "predictions" without a dataset */
    const char **class_names; /* or NULL */
    struct digest digest;     /* logical: of the rows, wherever they lie */
};

/* "classification", "regression", "tokens". */
const char *exam_task_text(unsigned task);

/* `split` may be NULL when the dataset has none of that name: then there are no rows. */
void exam_of_dataset(struct exam *exam, const struct dataset *dataset, const struct split *split);

/* The rows of predictions that stand alone; `classes` covers a baseline's, too. DAMAGED when they
 * hold no truth. */
enum code exam_of_predictions(struct exam *exam, const struct predictions *predictions,
                              struct err *err);

/* Joins predictions to the exam's rows by id: in an exam of a dataset ids are row numbers of the
 * split, otherwise those of the candidate. Every row must be there once, nothing else may be, and
 * labels or targets that are stated must agree. `what` names them in messages. DAMAGED with row and
 * reason. */
enum code exam_join(const struct exam *exam, const struct predictions *predictions,
                    const char *what, struct err *err);

/* Ids, and labels or targets of all rows. DAMAGED for a label outside the classes. */
enum code exam_truth(const struct exam *exam, int64_t *id, int32_t *label, float *target,
                     struct err *err);

enum exam_column { EXAM_NO_COLUMN, EXAM_WIDE_COLUMN, EXAM_COLUMN };
/* Whether there is one number a row under this name: a column, a feature of the input table, or a
 * further column of the predictions. */
enum exam_column exam_has(const struct exam *exam, const char *name);
/* What there is, for messages: "columns: age, income". Arena-owned. */
const char *exam_columns(struct arena *arena, const struct exam *exam);
/* Reads such a column into out [n]; CONFIG when there is none. */
enum code exam_numbers(const struct exam *exam, double *out, const char *name, struct err *err);

#endif
