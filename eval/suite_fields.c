/* The keys of a suite: the tables that drive parser, help, JSON Schema and manual. */
#include "eval/suite.h"

#include <math.h>

static const char *const first_words[] = { "hold", "pass", NULL };
static const char *const small_words[] = { "inconclusive", "report", NULL };
static const char *const severity_words[] = { "block", "warn", NULL };
static const char *const decide_words[] = { "bound", "point", NULL };
static const char *const every_words[] = { "label", NULL };

static const struct field every_fields[] = {
    { .key = "of",
      .type = FIELD_WORD,
      .words = every_words,
      .required = true,
      .since = "0.1",
      .help = "What the rows are divided by.",
      .example = "label" },
    { 0 },
};

static const struct field named_fields[] = {
    { .key = "slice",
      .type = FIELD_TEXT,
      .required = true,
      .since = "0.1",
      .help = "Name of a slice of this suite, or 'all'.",
      .example = "footwear" },
    { 0 },
};

static const struct choice slice_choices[] = {
    { .name = "every",
      .help = "Each label by itself: one gate for each.",
      .fields = every_fields,
      .shorthand = "of" },
    { .name = "named",
      .help = "A slice by its name; the name alone says the same.",
      .fields = named_fields,
      .shorthand = "slice",
      .plain = true },
    { 0 },
};

static const struct field label_item = {
    .type = FIELD_INT, .low = 0, .high = 2147483647, .example = "5"
};

static const struct field where_fields[] = {
    { .key = "label",
      .type = FIELD_LIST,
      .item = &label_item,
      .nonempty = true,
      .since = "0.1",
      .help = "Rows with one of these labels.",
      .example = "[5, 7, 9]" },
    { .key = "column",
      .type = FIELD_TEXT,
      .since = "0.1",
      .help = "A column with one number a row, or a feature of the input table.",
      .example = "age" },
    { .key = "above",
      .type = FIELD_REAL,
      .since = "0.1",
      .help = "Rows whose column is larger than this.",
      .example = "0.15" },
    { .key = "below",
      .type = FIELD_REAL,
      .since = "0.1",
      .help = "Rows whose column is smaller than this.",
      .example = "0.15" },
    { .key = "equal",
      .type = FIELD_REAL,
      .since = "0.1",
      .help = "Rows whose column is exactly this.",
      .example = "3" },
    { 0 },
};

static const struct field slice_fields[] = {
    { .key = "name",
      .type = FIELD_NAME,
      .required = true,
      .since = "0.1",
      .help = "What gates call this slice.",
      .example = "footwear" },
    { .key = "where",
      .type = FIELD_MAP,
      .fields = where_fields,
      .required = true,
      .since = "0.1",
      .help = "The rows it holds: all that is stated must be so.",
      .example = "{label: [5, 7, 9]}" },
    { 0 },
};

static const struct field slice_item = { .type = FIELD_MAP, .fields = slice_fields };

#define GATE_FIELDS                                                                                \
    { .key = "metric",                                                                             \
      .type = FIELD_TEXT,                                                                          \
      .required = true,                                                                            \
      .since = "0.1",                                                                              \
      .help = "What is measured.",                                                                 \
      .example = "accuracy" },                                                                     \
        { .key = "k",                                                                              \
          .type = FIELD_INT,                                                                       \
          .low = 1,                                                                                \
          .high = 1000000,                                                                         \
          .since = "0.1",                                                                          \
          .help = "top_k: how many guesses count; 5 when left out.",                               \
          .example = "3" },                                                                        \
        { .key = "slice",                                                                          \
          .type = FIELD_CHOICE,                                                                    \
          .choices = slice_choices,                                                                \
          .fallback = "all",                                                                       \
          .since = "0.1",                                                                          \
          .help = "Which rows: all, a slice by name, or {every: label}.",                          \
          .example = "{every: label}" },                                                           \
        { .key = "at_least",                                                                       \
          .type = FIELD_ANY,                                                                       \
          .since = "0.1",                                                                          \
          .help = "The value must not be below this.",                                             \
          .example = "0.91" },                                                                     \
        { .key = "at_most",                                                                        \
          .type = FIELD_ANY,                                                                       \
          .since = "0.1",                                                                          \
          .help = "The value must not be above this; times and bytes with their unit.",            \
          .example = "2ms" },                                                                      \
        { .key = "against",                                                                        \
          .type = FIELD_REF,                                                                       \
          .since = "0.1",                                                                          \
          .help = "A baseline: majority, linear, baseline (from --baseline), or any model.",       \
          .example = "fashion@production" },                                                       \
        { .key = "not_worse_by",                                                                   \
          .type = FIELD_REAL,                                                                      \
          .low = 0,                                                                                \
          .high = INFINITY,                                                                        \
          .since = "0.1",                                                                          \
          .help = "The baseline may be better by at most this.",                                   \
          .example = "0.005" },                                                                    \
        { .key = "better_by",                                                                      \
          .type = FIELD_REAL,                                                                      \
          .low = 0,                                                                                \
          .high = INFINITY,                                                                        \
          .since = "0.1",                                                                          \
          .help = "Better than the baseline by at least this; 0: better at all.",                  \
          .example = "0.02" },                                                                     \
        { .key = "gain_at_most",                                                                   \
          .type = FIELD_REAL,                                                                      \
          .low = 0,                                                                                \
          .high = INFINITY,                                                                        \
          .since = "0.1",                                                                          \
          .help = "A larger gain over the baseline is too good to be true.",                       \
          .example = "0.15" },                                                                     \
        { .key = "tolerate",                                                                       \
          .type = FIELD_REAL,                                                                      \
          .low = 0,                                                                                \
          .high = INFINITY,                                                                        \
          .fallback = "0",                                                                         \
          .since = "0.1",                                                                          \
          .help = "Moves the bar of this gate by so much, for passing and for failing.",           \
          .example = "0.05" },                                                                     \
        { .key = "min_examples",                                                                   \
          .type = FIELD_INT,                                                                       \
          .low = 0,                                                                                \
          .high = INFINITY,                                                                        \
          .fallback = "0",                                                                         \
          .since = "0.1",                                                                          \
          .help = "With fewer rows than this, see small_slices.",                                  \
          .example = "200" },                                                                      \
        { .key = "severity",                                                                       \
          .type = FIELD_WORD,                                                                      \
          .words = severity_words,                                                                 \
          .fallback = "block",                                                                     \
          .since = "0.1",                                                                          \
          .help = "Whether a release must pass it.",                                               \
          .example = "warn" },                                                                     \
        { .key = "decide",                                                                         \
          .type = FIELD_WORD,                                                                      \
          .words = decide_words,                                                                   \
          .fallback = "bound",                                                                     \
          .since = "0.1",                                                                          \
          .help = "By the bound at alpha, or by the point value (which ignores noise).",           \
          .example = "bound" },                                                                    \
        { .key = "batch",                                                                          \
          .type = FIELD_INT,                                                                       \
          .low = 1,                                                                                \
          .high = 65536,                                                                           \
          .since = "0.1",                                                                          \
          .help = "System metrics: rows in a call; 1 when left out, 256 for throughput.",          \
          .example = "1" },                                                                        \
        { .key = "machine",                                                                        \
          .type = FIELD_TEXT,                                                                      \
          .since = "0.1",                                                                          \
          .help = "System metrics: the machine class that the bar holds for, or 'any'.",           \
          .example = "any" },                                                                      \
    {                                                                                              \
        .key = "why", .type = FIELD_TEXT, .since = "0.1", .help = "The reason for the bar.",       \
        .example = "the sorter's contract with the warehouse"                                      \
    }

static const struct field goal_fields[] = {
    { .key = "id",
      .type = FIELD_NAME,
      .required = true,
      .since = "0.1",
      .help = "Name of the goal, in reports and policies.",
      .example = "quality" },
    GATE_FIELDS,
    { 0 },
};

static const struct field guard_fields[] = {
    { .key = "id",
      .type = FIELD_NAME,
      .since = "0.1",
      .help = "Name of the guard; made from metric, rule, slice and baseline when left out.",
      .example = "no-regression" },
    GATE_FIELDS,
    { 0 },
};

static const struct field goal_item = { .type = FIELD_MAP, .fields = goal_fields };
static const struct field guard_item = { .type = FIELD_MAP, .fields = guard_fields };

static const struct field data_fields[] = {
    { .key = "file",
      .type = FIELD_PATH,
      .required = true,
      .since = "0.1",
      .affects = AFFECTS_PLACE,
      .help = "The dataset; its digest, not its place, belongs to the report.",
      .example = "../fashion-mnist.h5" },
    { .key = "split",
      .type = FIELD_NAME,
      .fallback = "test",
      .since = "0.1",
      .help = "The rows that decide.",
      .example = "test" },
    { .key = "train_split",
      .type = FIELD_NAME,
      .fallback = "train",
      .since = "0.1",
      .help = "What the baselines majority and linear are made from.",
      .example = "train" },
    { 0 },
};

static const struct field suite_fields[] = {
    { .key = "name",
      .type = FIELD_NAME,
      .required = true,
      .since = "0.1",
      .help = "Name of the suite, in reports and policies.",
      .example = "fashion-release" },
    { .key = "data",
      .type = FIELD_MAP,
      .fields = data_fields,
      .required = true,
      .since = "0.1",
      .help = "What the model is evaluated on.",
      .example = "{file: ../fashion-mnist.h5, split: test}" },
    { .key = "alpha",
      .type = FIELD_REAL,
      .low = 0.0001,
      .high = 0.2,
      .fallback = "0.05",
      .since = "0.1",
      .help = "Chance of a false pass that each gate may have at its bar.",
      .example = "0.05" },
    { .key = "first",
      .type = FIELD_WORD,
      .words = first_words,
      .fallback = "hold",
      .since = "0.1",
      .help = "While there is no baseline yet: hold (inconclusive) or pass.",
      .example = "pass" },
    { .key = "small_slices",
      .type = FIELD_WORD,
      .words = small_words,
      .fallback = "inconclusive",
      .since = "0.1",
      .help = "What a gate with fewer rows than its min_examples is: inconclusive, or reported "
              "without counting.",
      .example = "report" },
    { .key = "slices",
      .type = FIELD_LIST,
      .item = &slice_item,
      .since = "0.1",
      .help = "Parts of the split that gates can name.",
      .example = "[{name: footwear, where: {label: [5, 7, 9]}}]" },
    { .key = "goals",
      .type = FIELD_LIST,
      .item = &goal_item,
      .nonempty = true,
      .required = true,
      .since = "0.1",
      .help = "Gates that say what the model is for.",
      .example = "[{id: quality, metric: accuracy, at_least: 0.91}]" },
    { .key = "guards",
      .type = FIELD_LIST,
      .item = &guard_item,
      .since = "0.1",
      .help = "Gates that protect, without being the purpose.",
      .example = "[{metric: accuracy, against: linear, better_by: 0.02}]" },
    { 0 },
};

const struct kind suite_kind = {
    .name = "suite",
    .version = 1,
    .help = "What a model must show before it may be released: goals, guards and slices.",
    .fields = suite_fields,
    .no_environment = true,
};
