/* The layer table: names, keys and help of every layer that a configuration may use. */
#include "model/layer.h"

#define LAYER(function) (&(const struct layer){ .build = (function) })

static const char *const padding_words[] = { "same", "valid", NULL };
static const char *const bias_words[] = { "auto", "with", "without", NULL };

static const struct field conv_fields[] = {
    { .key = "filters",
      .type = FIELD_INT,
      .required = true,
      .low = 1,
      .high = 65536,
      .since = "0.1",
      .help = "Number of output channels.",
      .example = "32" },
    { .key = "kernel",
      .type = FIELD_INT,
      .low = 1,
      .high = 63,
      .fallback = "3",
      .since = "0.1",
      .help = "Side of the square kernel.",
      .example = "3" },
    { .key = "stride",
      .type = FIELD_INT,
      .low = 1,
      .high = 63,
      .fallback = "1",
      .since = "0.1",
      .help = "Step of the kernel in both directions.",
      .example = "2" },
    { .key = "padding",
      .type = FIELD_WORD,
      .words = padding_words,
      .fallback = "same",
      .since = "0.1",
      .help = "'same' pads (kernel - 1) * dilation / 2 zeros on each side, 'valid' pads none.",
      .example = "valid" },
    { .key = "dilation",
      .type = FIELD_INT,
      .low = 1,
      .high = 63,
      .fallback = "1",
      .since = "0.1",
      .help = "Distance between the kernel's cells.",
      .example = "2" },
    { .key = "groups",
      .type = FIELD_INT,
      .low = 1,
      .high = 65536,
      .fallback = "1",
      .since = "0.1",
      .help = "Groups of channels that are convolved apart; divides both channel "
              "counts.",
      .example = "4" },
    { .key = "bias",
      .type = FIELD_WORD,
      .words = bias_words,
      .fallback = "auto",
      .since = "0.1",
      .help = "'auto' leaves the bias out in front of a batch_norm, which would cancel it.",
      .example = "without" },
    { 0 },
};

static const struct field dense_fields[] = {
    { .key = "units",
      .type = FIELD_INT,
      .required = true,
      .low = 1,
      .high = 1 << 24,
      .since = "0.1",
      .help = "Number of outputs.",
      .example = "128" },
    { .key = "bias",
      .type = FIELD_WORD,
      .words = bias_words,
      .fallback = "auto",
      .since = "0.1",
      .help = "'auto' leaves the bias out in front of a batch_norm, which would cancel it.",
      .example = "with" },
    { 0 },
};

static const struct field batch_norm_fields[] = {
    { .key = "eps",
      .type = FIELD_REAL,
      .low = 0,
      .high = 1,
      .low_open = true,
      .fallback = "1e-5",
      .since = "0.1",
      .help = "Added to the variance.",
      .example = "1e-3" },
    { .key = "momentum",
      .type = FIELD_REAL,
      .low = 0,
      .high = 1,
      .fallback = "0.1",
      .since = "0.1",
      .help = "Weight of the batch in the running statistics.",
      .example = "0.01" },
    { 0 },
};

static const struct field layer_norm_fields[] = {
    { .key = "eps",
      .type = FIELD_REAL,
      .low = 0,
      .high = 1,
      .low_open = true,
      .fallback = "1e-5",
      .since = "0.1",
      .help = "Added to the variance.",
      .example = "1e-6" },
    { 0 },
};

#define POOL_ROWS                                                                                  \
    { .key = "size",                                                                               \
      .type = FIELD_INT,                                                                           \
      .low = 1,                                                                                    \
      .high = 15,                                                                                  \
      .fallback = "2",                                                                             \
      .since = "0.1",                                                                              \
      .help = "Side of the window.",                                                               \
      .example = "3" },                                                                            \
        { .key = "stride",                                                                         \
          .type = FIELD_INT,                                                                       \
          .low = 0,                                                                                \
          .high = 63,                                                                              \
          .fallback = "0",                                                                         \
          .since = "0.1",                                                                          \
          .help = "Step of the window; 0 means its size.",                                         \
          .example = "2" },                                                                        \
    {                                                                                              \
        .key = "pad", .type = FIELD_INT, .low = 0, .high = 7, .fallback = "0", .since = "0.1",     \
        .help = "Cells added on each side.", .example = "1"                                        \
    }

static const struct field max_pool_fields[] = { POOL_ROWS, { 0 } };

static const struct field avg_pool_fields[] = {
    POOL_ROWS,
    { .key = "count_padding",
      .type = FIELD_BOOL,
      .fallback = "false",
      .since = "0.1",
      .help = "Whether added cells count in the mean.",
      .example = "true" },
    { 0 },
};

static const struct field dropout_fields[] = {
    { .key = "rate",
      .type = FIELD_REAL,
      .required = true,
      .low = 0,
      .high = 0.99,
      .since = "0.1",
      .help = "Probability that a number is set to zero in training.",
      .example = "0.1" },
    { 0 },
};

static const struct field dimension = { .type = FIELD_INT, .low = -1, .high = 1 << 24 };
static const struct field layer_item = { .type = FIELD_CHOICE, .choices = layer_choices };
static const struct field layer_list = { .type = FIELD_LIST,
                                         .item = &layer_item,
                                         .nonempty = true };

static const struct field reshape_fields[] = {
    { .key = "shape",
      .type = FIELD_LIST,
      .item = &dimension,
      .required = true,
      .nonempty = true,
      .since = "0.1",
      .help = "Dimensions of one row; -1 at most once: what remains.",
      .example = "[4, 49]" },
    { 0 },
};

static const struct field permute_fields[] = {
    { .key = "order",
      .type = FIELD_LIST,
      .item = &dimension,
      .required = true,
      .nonempty = true,
      .since = "0.1",
      .help = "Which dimension of a row comes where, from 0, without the batch.",
      .example = "[2, 0, 1]" },
    { 0 },
};

static const struct field repeat_fields[] = {
    { .key = "times",
      .type = FIELD_INT,
      .required = true,
      .low = 1,
      .high = 1000,
      .since = "0.1",
      .help = "How often the layers follow each other, each time with weights of their own.",
      .example = "2" },
    { .key = "layers",
      .type = FIELD_LIST,
      .item = &layer_item,
      .required = true,
      .nonempty = true,
      .since = "0.1",
      .help = "The layers to repeat.",
      .example = "[{dense: {units: 64}}, relu]" },
    { 0 },
};

static const struct field residual_fields[] = {
    { .key = "layers",
      .type = FIELD_LIST,
      .item = &layer_item,
      .required = true,
      .nonempty = true,
      .since = "0.1",
      .help = "The branch whose output is added to the input.",
      .example = "[{conv: {filters: 64}}, batch_norm]" },
    { .key = "shortcut",
      .type = FIELD_LIST,
      .item = &layer_item,
      .since = "0.1",
      .help = "Layers on the other way; left out: the input as it is.",
      .example = "[{conv: {filters: 64, kernel: 1, stride: 2}}, batch_norm]" },
    { 0 },
};

static const struct field parallel_fields[] = {
    { .key = "branches",
      .type = FIELD_LIST,
      .item = &layer_list,
      .required = true,
      .nonempty = true,
      .since = "0.1",
      .help = "Lists of layers that read the same input; outputs are joined along the last "
              "dimension.",
      .example = "[[{conv: {filters: 8, kernel: 1}}], [{conv: {filters: 8}}]]" },
    { 0 },
};

const struct choice layer_choices[] = {
    { .name = "conv",
      .help = "2-D convolution.",
      .fields = conv_fields,
      .detail = LAYER(build_conv) },
    { .name = "dense",
      .help = "Fully connected layer over the last dimension.",
      .fields = dense_fields,
      .detail = LAYER(build_dense),
      .shorthand = "units" },
    { .name = "batch_norm",
      .help = "Batch normalisation over all but the last dimension.",
      .fields = batch_norm_fields,
      .detail = LAYER(build_batch_norm) },
    { .name = "layer_norm",
      .help = "Layer normalisation over the last dimension.",
      .fields = layer_norm_fields,
      .detail = LAYER(build_layer_norm) },
    { .name = "relu", .help = "max(x, 0).", .detail = LAYER(build_relu) },
    { .name = "gelu",
      .help = "Gaussian error linear unit (exact, by erf).",
      .detail = LAYER(build_gelu) },
    { .name = "silu", .help = "x * sigmoid(x).", .detail = LAYER(build_silu) },
    { .name = "tanh", .help = "Hyperbolic tangent.", .detail = LAYER(build_tanh) },
    { .name = "sigmoid", .help = "1 / (1 + exp(-x)).", .detail = LAYER(build_sigmoid) },
    { .name = "max_pool",
      .help = "Maximum over windows.",
      .fields = max_pool_fields,
      .detail = LAYER(build_max_pool),
      .shorthand = "size" },
    { .name = "avg_pool",
      .help = "Mean over windows.",
      .fields = avg_pool_fields,
      .detail = LAYER(build_avg_pool),
      .shorthand = "size" },
    { .name = "global_avg_pool",
      .help = "Mean over height and width.",
      .detail = LAYER(build_global_avg_pool) },
    { .name = "flatten",
      .help = "Joins all dimensions of a row into one.",
      .detail = LAYER(build_flatten) },
    { .name = "reshape",
      .help = "Gives a row another shape.",
      .fields = reshape_fields,
      .detail = LAYER(build_reshape),
      .shorthand = "shape" },
    { .name = "permute",
      .help = "Reorders the dimensions of a row.",
      .fields = permute_fields,
      .detail = LAYER(build_permute),
      .shorthand = "order" },
    { .name = "dropout",
      .help = "Sets numbers to zero at random in training.",
      .fields = dropout_fields,
      .detail = LAYER(build_dropout),
      .shorthand = "rate" },
    { .name = "repeat",
      .help = "Layers, several times in a row.",
      .fields = repeat_fields,
      .detail = LAYER(build_repeat) },
    { .name = "residual",
      .help = "Adds what layers compute to their input.",
      .fields = residual_fields,
      .detail = LAYER(build_residual),
      .shorthand = "layers" },
    { .name = "parallel",
      .help = "Branches side by side, joined.",
      .fields = parallel_fields,
      .detail = LAYER(build_parallel),
      .shorthand = "branches" },
    { 0 },
};
