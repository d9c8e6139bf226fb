/* The keys of a gate: the same for goals and guards, but that a goal must have an id. */
#include "eval/suite_fields.h"

#include <math.h>

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

static const struct field gap_item = { .type = FIELD_TEXT, .example = "footwear" };

static const struct field model_fields[] = {
    { .key = "ref",
      .type = FIELD_REF,
      .required = true,
      .since = "0.1",
      .help = "majority, linear, baseline (from the command line), or any model.",
      .example = "fashion@production" },
    { 0 },
};

static const struct field anchor_fields[] = {
    { .key = "digest",
      .type = FIELD_TEXT,
      .required = true,
      .since = "0.1",
      .help = "Model digest of a version that stays the baseline whatever channels hold.",
      .example = "sha256:5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9" },
    { 0 },
};

static const struct choice against_choices[] = {
    { .name = "anchor",
      .help = "A fixed version, so that \"not worse\" cannot creep down over many releases.",
      .fields = anchor_fields,
      .shorthand = "digest" },
    { .name = "model",
      .help = "majority, linear, baseline or a model by its name; the name alone says the same.",
      .fields = model_fields,
      .shorthand = "ref",
      .plain = true },
    { 0 },
};

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
        { .key = "class",                                                                          \
          .type = FIELD_INT,                                                                       \
          .low = 0,                                                                                \
          .high = 1000000,                                                                         \
          .since = "0.1",                                                                          \
          .help = "Metrics of one class: which; 1, the positive class of two, when left out.",     \
          .example = "1" },                                                                        \
        { .key = "q",                                                                              \
          .type = FIELD_REAL,                                                                      \
          .low = 0.001,                                                                            \
          .high = 0.999,                                                                           \
          .since = "0.1",                                                                          \
          .help = "quantile_loss: which quantile was predicted; 0.5 when left out.",               \
          .example = "0.9" },                                                                      \
        { .key = "perturb",                                                                        \
          .type = FIELD_TEXT,                                                                      \
          .since = "0.1",                                                                          \
          .help = "Decides on rows changed by this perturbation of the suite.",                    \
          .example = "noisy" },                                                                    \
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
        { .key = "gap",                                                                            \
          .type = FIELD_LIST,                                                                      \
          .item = &gap_item,                                                                       \
          .since = "0.1",                                                                          \
          .help = "Two slices, or a slice and rest: they may differ by the at_most of this gate.", \
          .example = "[footwear, rest]" },                                                         \
        { .key = "trend",                                                                          \
          .type = FIELD_REAL,                                                                      \
          .low = -INFINITY,                                                                        \
          .high = INFINITY,                                                                        \
          .since = "0.1",                                                                          \
          .help = "The slope per version, counted in the good direction, must not be below this.", \
          .example = "-0.002" },                                                                   \
        { .key = "over",                                                                           \
          .type = FIELD_REF,                                                                       \
          .since = "0.1",                                                                          \
          .help = "trend: the channel whose versions are looked back at.",                         \
          .example = "fashion@production" },                                                       \
        { .key = "last",                                                                           \
          .type = FIELD_INT,                                                                       \
          .low = 3,                                                                                \
          .high = 100,                                                                             \
          .since = "0.1",                                                                          \
          .help = "trend: how many versions, the candidate among them; 6 when left out.",          \
          .example = "6" },                                                                        \
        { .key = "against",                                                                        \
          .type = FIELD_CHOICE,                                                                    \
          .choices = against_choices,                                                              \
          .since = "0.1",                                                                          \
          .help = "A baseline: majority, linear, baseline (from --baseline), or any model.",       \
          .example = "fashion@production" },                                                       \
        { .key = "not_worse_by",                                                                   \
          .type = FIELD_ANY,                                                                       \
          .since = "0.1",                                                                          \
          .help = "The baseline may be better by at most this, or by this share: 2%.",             \
          .example = "0.005" },                                                                    \
        { .key = "better_by",                                                                      \
          .type = FIELD_ANY,                                                                       \
          .since = "0.1",                                                                          \
          .help = "Better than the baseline by at least this (0: at all), or by a share: 2%.",     \
          .example = "0.02" },                                                                     \
        { .key = "gain_at_most",                                                                   \
          .type = FIELD_ANY,                                                                       \
          .since = "0.1",                                                                          \
          .help = "A larger gain over the baseline, or share of it, is too good to be true.",      \
          .example = "0.15" },                                                                     \
        { .key = "tolerate",                                                                       \
          .type = FIELD_ANY,                                                                       \
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

const struct field suite_goal_item = { .type = FIELD_MAP, .fields = goal_fields };
const struct field suite_guard_item = { .type = FIELD_MAP, .fields = guard_fields };
