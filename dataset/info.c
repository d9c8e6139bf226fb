/* What `data info` shows: a few lines for people, the manifest without its hash tree for programs.
 *
 * Nothing is computed here: every number comes from the manifest that dataset_open checked. */
#include "dataset/dataset.h"

#include "dataset/manifest.h"

static const char *task_text(const struct dataset *dataset)
{
    return dataset->task == TASK_CLASSIFICATION ? "classification" : "regression";
}

static void add_columns(const struct dataset *dataset, const struct split *split, struct str *out)
{
    char digest[DIGEST_TEXT];
    str_addf(out, "%-10s %9llu rows  %.19s\n", split->name, (unsigned long long)split->rows,
             digest_text(&split->digest, digest));
    for (size_t c = 0; c < split->column_count; c++) {
        const struct column *column = &split->columns[c];
        str_addf(out, "  %-8s %s [%s", column->name, manifest_type_name(column->type), "N");
        for (int i = 1; i < column->rank; i++)
            str_addf(out, ", %llu", (unsigned long long)column->dim[i]);
        str_add(out, "]\n");
    }
    const json_t *counts = json_object_get(dataset_profile(dataset, split->name), "classes");
    for (size_t i = 0; i < json_array_size(counts) && i < 20; i++)
        str_addf(out, "%s%s %lld", i ? ", " : "  classes  ", dataset->class_names[i],
                 (long long)json_integer_value(json_array_get(counts, i)));
    if (json_array_size(counts) > 20) str_add(out, ", ...");
    if (json_array_size(counts)) str_add_char(out, '\n');
}

void dataset_describe(const struct dataset *dataset, struct str *out)
{
    char digest[DIGEST_TEXT];
    const char *licence = json_string_value(json_object_get(dataset->manifest, "licence"));
    str_addf(out, "%s: %s, %llu bytes\n", dataset->path, task_text(dataset),
             (unsigned long long)dataset->bytes);
    str_addf(out, "manifest   %s\n", digest_text(&dataset->digest, digest));
    str_addf(out, "licence    %s\n", licence ? licence : "unknown");
    const json_t *sources = json_object_get(dataset->manifest, "sources");
    for (size_t i = 0; i < json_array_size(sources); i++) {
        const json_t *source = json_array_get(sources, i);
        const char *name = json_string_value(json_object_get(source, "name"));
        const char *of = json_string_value(json_object_get(source, "digest"));
        str_addf(out, "source     %s %.19s\n", name ? name : "?", of ? of : "?");
    }
    for (size_t i = 0; i < dataset->constants && i < 20; i++)
        str_addf(out, "%-10s %s mean %.6g, deviation %.6g\n", i ? "" : dataset->input,
                 dataset->feature_names ? dataset->feature_names[i] : "channel", dataset->mean[i],
                 dataset->deviation[i]);
    if (dataset->constants > 20) str_addf(out, "%-10s ...\n", "");
    for (size_t s = 0; s < dataset->split_count; s++)
        add_columns(dataset, &dataset->splits[s], out);
}

json_t *dataset_describe_json(const struct dataset *dataset)
{
    json_t *info = json_deep_copy(dataset->manifest);
    REQUIRE(info);
    json_object_set_new(info, "pawl", json_string("info/1"));
    json_object_set_new(info, "path", json_string(dataset->path));
    json_object_del(json_object_get(info, "file"), "blocks");
    return info;
}
