/* pawl data: import, look at and verify datasets. */
#include "cli/groups.h"
#include "cli/shared.h"
#include "dataset/dataset.h"
#include "dataset/import.h"

#include <stdio.h>
#include <string.h>

#define IMPORT_OPTIONS                                                                             \
    { "out", OPTION_TEXT, "FILE", "The dataset to write, e.g. fashion-mnist.h5." },                \
        { "validate", OPTION_INT, "N", "Takes N training rows as the split 'validate'." },         \
        { "seed", OPTION_INT, "N", "Which rows those are; default 1." },                           \
        { "classes", OPTION_TEXT, "A,B,...", "Names of the classes, in the labels' order." },      \
        { "licence", OPTION_TEXT, "TEXT", "The data's licence, kept with it." },                   \
    {                                                                                              \
        "replace", OPTION_FLAG, NULL, "Replaces a dataset with other content."                     \
    }

static const struct option idx_options[] = { IMPORT_OPTIONS, { 0 } };

static const struct option csv_options[] = {
    IMPORT_OPTIONS,
    { "target", OPTION_TEXT, "COL", "The column to predict." },
    { "task", OPTION_TEXT, "NAME", "classification (default) or regression." },
    { "test", OPTION_INT, "N", "Takes N rows as the split 'test'." },
    { "drop-missing", OPTION_FLAG, NULL, "Leaves rows with a missing value out." },
    { 0 },
};

static const struct option no_options[] = { { 0 } };

/* Splits "a,b,c" into names (arena). */
static const char *const *class_names(const struct invocation *in, size_t *count)
{
    const char *text = text_of(in, "classes");
    *count = 0;
    if (!text) return NULL;
    const char **names = ARENA_ARRAY(in->arena, strlen(text) + 1, const char *);
    for (;;) {
        size_t len = strcspn(text, ",");
        names[(*count)++] = arena_copy_len(in->arena, text, len);
        if (!text[len]) return names;
        text += len + 1;
    }
}

static enum code show(const struct invocation *in, const char *path, bool unchanged,
                      struct err *err)
{
    struct dataset dataset;
    TRY(dataset_open(&dataset, path, err));
    if (in->json) {
        json_t *info = dataset_describe_json(&dataset);
        print_json(in, info);
        json_decref(info);
    } else {
        struct str text = { 0 };
        dataset_describe(&dataset, &text);
        if (unchanged) puts("unchanged: the same dataset was there already");
        fputs(str_text(&text), stdout);
        str_release(&text);
    }
    dataset_close(&dataset);
    return OK;
}

static enum code read_import(const struct invocation *in, struct import_opts *opts, bool *unchanged,
                             struct err *err)
{
    *opts = (struct import_opts){ .sources = in->args,
                                  .count = (size_t)in->arg_count,
                                  .validate = (uint64_t)int_of(in, "validate", 0),
                                  .seed = (uint64_t)int_of(in, "seed", 1),
                                  .licence = text_of(in, "licence"),
                                  .replace = given(in, "replace"),
                                  .unchanged = unchanged };
    opts->class_names = class_names(in, &opts->class_count);
    return need_text(in, &opts->out, "out", err);
}

static enum code run_import_idx(struct invocation *in, struct err *err)
{
    struct import_opts opts;
    bool unchanged = false;
    TRY(read_import(in, &opts, &unchanged, err));
    TRY(import_idx(&opts, err));
    return show(in, opts.out, unchanged, err);
}

static enum code run_import_csv(struct invocation *in, struct err *err)
{
    struct import_opts opts;
    bool unchanged = false;
    TRY(read_import(in, &opts, &unchanged, err));
    opts.test = (uint64_t)int_of(in, "test", 0);
    opts.drop_missing = given(in, "drop-missing");
    const char *task = text_of(in, "task");
    if (task && strcmp(task, "classification") != 0 && strcmp(task, "regression") != 0)
        return err_set(err, USAGE, "unknown task '%s': classification or regression", task);
    opts.task = task && strcmp(task, "regression") == 0 ? TASK_REGRESSION : TASK_CLASSIFICATION;
    TRY(need_text(in, &opts.target, "target", err));
    TRY(import_csv(&opts, err));
    return show(in, opts.out, unchanged, err);
}

static enum code run_info(struct invocation *in, struct err *err)
{
    return show(in, in->args[0], false, err);
}

static enum code run_check(struct invocation *in, struct err *err)
{
    struct dataset dataset;
    uint64_t bytes = 0;
    TRY(dataset_open(&dataset, in->args[0], err));
    enum code code = dataset_check(&dataset, &bytes, err);
    if (!code) {
        json_t *result = json_pack("{s:s,s:s,s:I,s:b}", "pawl", "check/1", "file", in->args[0],
                                   "bytes", (json_int_t)bytes, "sound", 1);
        if (!print_json(in, result))
            printf("%s: sound, %llu bytes hashed\n", in->args[0], (unsigned long long)bytes);
        json_decref(result);
    }
    dataset_close(&dataset);
    return code;
}

const struct command data_commands[] = {
    { .name = "data import idx",
      .args = "SOURCE... --out FILE",
      .least = 1,
      .most = -1,
      .help = "Makes a dataset from IDX files (MNIST and its kin), plain or gzip.",
      .detail = "SOURCE is a folder that holds the files, or the files themselves.",
      .example = "pawl data import idx /usr/share/datasets/fashion-mnist --out fashion-mnist.h5 "
                 "--validate 5000",
      .options = idx_options,
      .run = run_import_idx },
    { .name = "data import csv",
      .args = "FILE --target COL --out FILE",
      .least = 1,
      .most = 1,
      .help = "Makes a dataset from a table with a header line.",
      .example = "pawl data import csv wine.csv --target class --out wine.h5 --validate 30 "
                 "--test 40",
      .options = csv_options,
      .run = run_import_csv },
    { .name = "data info",
      .args = "FILE",
      .least = 1,
      .most = 1,
      .help = "Shows what a dataset holds.",
      .example = "pawl data info fashion-mnist.h5",
      .options = no_options,
      .run = run_info },
    { .name = "data check",
      .args = "FILE",
      .least = 1,
      .most = 1,
      .help = "Verifies every byte of a dataset against its manifest.",
      .example = "pawl data check fashion-mnist.h5",
      .options = no_options,
      .run = run_check },
    { 0 },
};
