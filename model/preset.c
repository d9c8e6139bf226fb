/* Presets: known architectures written out as layers, so that a stored model never needs this file.
 *
 * resnet18, resnet50: He, Zhang, Ren, Sun, "Deep residual learning" (2016), table 1; with `stem:
 * small` the 3x3 first convolution without pooling that is customary for 32-pixel images. resnet50
 * strides in its 3x3 convolutions ("v1.5": Goyal et al. 2017), as today's figures for it do. */
#include "model/layer.h"

#include <string.h>

static json_t *choice_of(const char *name, json_t *options)
{
    return json_pack("{s:o}", name, options ? options : json_object());
}

static void add(json_t *layers, const char *name, json_t *options)
{
    json_array_append_new(layers, choice_of(name, options));
}

static void add_conv(json_t *layers, json_int_t filters, json_int_t kernel, json_int_t stride)
{
    add(layers, "conv",
        json_pack("{s:I,s:I,s:I,s:s,s:i,s:i,s:s}", "filters", filters, "kernel", kernel, "stride",
                  stride, "padding", "same", "dilation", 1, "groups", 1, "bias", "auto"));
}

static void add_norm(json_t *layers)
{
    add(layers, "batch_norm", json_pack("{s:f,s:f}", "eps", 1e-5, "momentum", 0.1));
}

static void add_pool(json_t *layers, json_int_t size, json_int_t stride, json_int_t pad)
{
    add(layers, "max_pool", json_pack("{s:I,s:I,s:I}", "size", size, "stride", stride, "pad", pad));
}

static void add_dense(json_t *layers, json_int_t units)
{
    add(layers, "dense", json_pack("{s:I,s:s}", "units", units, "bias", "auto"));
}

static json_t *mlp(const struct node *options, int64_t outputs)
{
    json_t *layers = json_array();
    add(layers, "flatten", NULL);
    for (int64_t i = 0; i < node_int(options, "depth"); i++) {
        add_dense(layers, node_int(options, "width"));
        add(layers, "relu", NULL);
    }
    add_dense(layers, outputs);
    return layers;
}

static json_t *cnn_small(const struct node *options, int64_t outputs)
{
    json_t *layers = json_array();
    int64_t width = node_int(options, "width");
    for (int block = 0; block < 3; block++) {
        add_conv(layers, block ? 2 * width : width, 3, 1);
        add_norm(layers);
        add(layers, "relu", NULL);
        add_pool(layers, 2, 2, 0);
    }
    add(layers, "flatten", NULL);
    add_dense(layers, 4 * width);
    add(layers, "relu", NULL);
    add_dense(layers, outputs);
    return layers;
}

/* Two 3x3 convolutions around a shortcut; a 1x1 convolution on it where the shape changes. */
static void add_basic_block(json_t *layers, int64_t filters, int64_t stride, bool changes)
{
    json_t *branch = json_array(), *shortcut = json_array();
    add_conv(branch, filters, 3, stride);
    add_norm(branch);
    add(branch, "relu", NULL);
    add_conv(branch, filters, 3, 1);
    add_norm(branch);
    if (changes) {
        add_conv(shortcut, filters, 1, stride);
        add_norm(shortcut);
    }
    add(layers, "residual", json_pack("{s:o,s:o}", "layers", branch, "shortcut", shortcut));
    add(layers, "relu", NULL);
}

/* 1x1, 3x3 and 1x1 convolutions around a shortcut; the last one has four times the filters. */
static void add_bottleneck(json_t *layers, int64_t filters, int64_t stride, bool changes)
{
    json_t *branch = json_array(), *shortcut = json_array();
    add_conv(branch, filters, 1, 1);
    add_norm(branch);
    add(branch, "relu", NULL);
    add_conv(branch, filters, 3, stride);
    add_norm(branch);
    add(branch, "relu", NULL);
    add_conv(branch, 4 * filters, 1, 1);
    add_norm(branch);
    if (changes) {
        add_conv(shortcut, 4 * filters, 1, stride);
        add_norm(shortcut);
    }
    add(layers, "residual", json_pack("{s:o,s:o}", "layers", branch, "shortcut", shortcut));
    add(layers, "relu", NULL);
}

/* Stem, four stages with these numbers of blocks, mean and classifier. */
static json_t *residual_network(const struct node *options, int64_t outputs, const int blocks[4],
                                bool bottleneck)
{
    json_t *layers = json_array();
    bool small = strcmp(node_text(options, "stem"), "small") == 0;
    add_conv(layers, 64, small ? 3 : 7, small ? 1 : 2);
    add_norm(layers);
    add(layers, "relu", NULL);
    if (!small) add_pool(layers, 3, 2, 1);
    for (int stage = 0; stage < 4; stage++)
        for (int block = 0; block < blocks[stage]; block++) {
            int64_t filters = (int64_t)64 << stage, stride = stage && block == 0 ? 2 : 1;
            if (bottleneck)
                add_bottleneck(layers, filters, stride, block == 0);
            else
                add_basic_block(layers, filters, stride, stage && block == 0);
        }
    add(layers, "global_avg_pool", NULL);
    add_dense(layers, outputs);
    return layers;
}

static json_t *resnet18(const struct node *options, int64_t outputs)
{
    return residual_network(options, outputs, (const int[]){ 2, 2, 2, 2 }, false);
}

static json_t *resnet50(const struct node *options, int64_t outputs)
{
    return residual_network(options, outputs, (const int[]){ 3, 4, 6, 3 }, true);
}

static const struct field mlp_fields[] = {
    { .key = "width",
      .type = FIELD_INT,
      .low = 1,
      .high = 1 << 20,
      .fallback = "64",
      .since = "0.1",
      .help = "Units of each hidden layer.",
      .example = "1024" },
    { .key = "depth",
      .type = FIELD_INT,
      .low = 0,
      .high = 100,
      .fallback = "2",
      .since = "0.1",
      .help = "Number of hidden layers.",
      .example = "2" },
    { 0 },
};

static const struct field cnn_fields[] = {
    { .key = "width",
      .type = FIELD_INT,
      .low = 1,
      .high = 4096,
      .fallback = "32",
      .since = "0.1",
      .help = "Filters of the first block; later blocks have twice as many.",
      .example = "32" },
    { 0 },
};

static const char *const stem_words[] = { "small", "large", NULL };

#define STEM(word)                                                                                 \
    {                                                                                              \
        .key = "stem", .type = FIELD_WORD, .words = stem_words, .fallback = word, .since = "0.1",  \
        .help = "'small' for images of about 32 pixels, 'large' for 224.", .example = "large"      \
    }

static const struct field resnet18_fields[] = { STEM("small"), { 0 } };
static const struct field resnet50_fields[] = { STEM("large"), { 0 } };

struct preset {
    json_t *(*write)(const struct node *options, int64_t outputs);
};

#define PRESET(function) (&(const struct preset){ .write = (function) })

const struct choice preset_choices[] = {
    { .name = "mlp",
      .help = "Dense layers with ReLU.",
      .fields = mlp_fields,
      .detail = PRESET(mlp) },
    { .name = "cnn-small",
      .help = "Three blocks of conv, batch_norm, relu, max_pool, then two "
              "dense layers.",
      .fields = cnn_fields,
      .detail = PRESET(cnn_small) },
    { .name = "resnet18",
      .help = "ResNet-18 (He et al. 2016).",
      .fields = resnet18_fields,
      .detail = PRESET(resnet18) },
    { .name = "resnet50",
      .help = "ResNet-50 v1.5 (He et al. 2016, strides in the 3x3 convolutions).",
      .fields = resnet50_fields,
      .detail = PRESET(resnet50) },
    { 0 },
};

json_t *preset_layers(const char *name, const struct node *options, int64_t outputs)
{
    const struct preset *preset = choice_find(preset_choices, name)->detail;
    return preset->write(options, outputs);
}
