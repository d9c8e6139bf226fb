/* CSV import: tables against what they say, every refusal with its exact message and position. */
#include "base/fs.h"
#include "dataset/import.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

struct place {
    char dir[64], csv[96], out[96];
};

static void place_init(struct place *place, const char *text)
{
    struct err err;
    snprintf(place->dir, sizeof place->dir, "/tmp/pawl-test-XXXXXX");
    cr_assert(mkdtemp(place->dir));
    snprintf(place->csv, sizeof place->csv, "%s/t.csv", place->dir);
    snprintf(place->out, sizeof place->out, "%s/t.h5", place->dir);
    if (text) cr_assert_eq(fs_publish_view(place->csv, text, strlen(text), &err), OK);
}

static void place_release(const struct place *place)
{
    struct err err;
    cr_expect_eq(fs_remove_tree(place->dir, &err), OK);
}

static enum code import(const struct place *place, struct import_opts opts, struct err *err)
{
    const char *sources[] = { place->csv };
    memset(err, 0, sizeof *err);
    opts.sources = sources;
    opts.count = 1;
    opts.out = place->out;
    return import_csv(&opts, err);
}

Test(csv, quotes_line_ends_and_marks_are_read_as_rfc4180_has_them)
{
    static const char unix_text[] = "a,kind,b\n1,x,2\n3,\"y, \"\"z\"\"\nend\",-4e1\n5,x,.5\n";
    static const char dos_text[] = "a,kind,b\r\n1,x,2\r\n3,\"y, \"\"z\"\"\nend\",-4e1\r\n5,x,.5";
    static const char marked_text[] = "\xEF\xBB\xBF\"a\",\"kind\",\"b\"\n\"1\",\"x\",\"2\"\n"
                                      " 3 ,\"y, \"\"z\"\"\nend\",-40\n5,x,+0.5\n\n\n";
    static const char *const texts[] = { unix_text, dos_text, marked_text };

    static const float wanted[3][2] = { { 1, 2 }, { 3, -40 }, { 5, 0.5F } };
    static const int32_t labels[] = { 0, 1, 0 };
    for (size_t t = 0; t < sizeof texts / sizeof *texts; t++) {
        struct place place;
        struct err err;
        struct dataset dataset;
        float x[3][2];
        int32_t label[3];
        place_init(&place, texts[t]);
        cr_assert_eq(import(&place, (struct import_opts){ .target = "kind" }, &err), OK, "%zu: %s",
                     t, err.message);
        cr_assert_eq(dataset_open(&dataset, place.out, &err), OK, "%s", err.message);
        const struct split *train = dataset_split(&dataset, "train");
        cr_assert_eq(train->rows, 3);
        cr_assert_eq(dataset_read(&dataset, split_column(train, "x"), 0, 3, x, &err), OK);
        cr_assert_eq(dataset_read(&dataset, split_column(train, "label"), 0, 3, label, &err), OK);
        cr_expect(!memcmp(x, wanted, sizeof x) && !memcmp(label, labels, sizeof label), "%zu", t);
        cr_expect_eq(dataset.classes, 2);
        cr_expect_str_eq(dataset.class_names[1], "y, \"z\"\nend");
        cr_expect_str_eq(dataset.feature_names[1], "b");
        cr_expect(fabs(dataset.mean[0] - 3) < 1e-12 &&
                  fabs(dataset.deviation[0] - sqrt(8.0 / 3)) < 1e-12);
        dataset_close(&dataset);
        place_release(&place);
    }
}

Test(csv, integer_classes_sort_as_numbers_and_regression_keeps_numbers)
{
    struct place place;
    struct err err;
    struct dataset dataset;
    float y[3];
    place_init(&place, "x,k\n1,10\n2,9\n3,-1\n");
    cr_assert_eq(import(&place, (struct import_opts){ .target = "k" }, &err), OK, "%s",
                 err.message);
    cr_assert_eq(dataset_open(&dataset, place.out, &err), OK);
    cr_expect_str_eq(dataset.class_names[0], "-1");
    cr_expect_str_eq(dataset.class_names[2], "10");
    dataset_close(&dataset);
    struct import_opts opts = { .target = "k", .task = TASK_REGRESSION, .replace = true };
    cr_assert_eq(import(&place, opts, &err), OK, "%s", err.message);
    cr_assert_eq(dataset_open(&dataset, place.out, &err), OK, "%s", err.message);
    const struct split *train = dataset_split(&dataset, "train");
    const struct column *target = split_column(train, "target");
    cr_assert_eq(dataset_read(&dataset, target, 0, 3, y, &err), OK);
    cr_expect(y[0] == 10 && y[1] == 9 && y[2] == -1 && target->rank == 2 && target->dim[1] == 1);
    cr_expect(dataset.task == TASK_REGRESSION && dataset.classes == 0);
    dataset_close(&dataset);
    place_release(&place);
}

Test(csv, rows_with_missing_values_are_dropped_only_on_request_and_counted)
{
    struct place place;
    struct err err;
    struct dataset dataset;
    float x[2][2];
    place_init(&place, "a,b,k\n1,2,u\n,4,v\n5,NA,u\n7,8,\n9,10,v\n");
    struct import_opts opts = { .target = "k", .drop_missing = true };
    cr_assert_eq(import(&place, opts, &err), OK, "%s", err.message);
    cr_assert_eq(dataset_open(&dataset, place.out, &err), OK);
    const struct split *train = dataset_split(&dataset, "train");
    cr_assert_eq(train->rows, 2);
    cr_assert_eq(dataset_read(&dataset, split_column(train, "x"), 0, 2, x, &err), OK);
    cr_expect(x[0][0] == 1 && x[0][1] == 2 && x[1][0] == 9 && x[1][1] == 10);
    const json_t *columns = json_object_get(dataset_profile(&dataset, "train"), "columns");
    for (size_t i = 0; i < 2; i++)
        cr_expect_eq(json_integer_value(json_object_get(json_array_get(columns, i), "missing")), 1);
    dataset_close(&dataset);
    place_release(&place);
}

static const char *const two[] = { "u", "v" };
static const struct {
    const char *name, *text;
    struct import_opts opts;
    enum code code;
    const char *message, *hint; /* %s stands for the path */
    int line, column;
} refusals[] = {
    { "empty", "", { .target = "k" }, DAMAGED, "cannot import '%s': it is empty", "", 1, 1 },
    { "only line ends",
      "\n\n",
      { .target = "k" },
      DAMAGED,
      "cannot import '%s': it is empty",
      "",
      1,
      1 },
    { "header only",
      "a,k\n",
      { .target = "k" },
      DAMAGED,
      "cannot import '%s': no row follows the header",
      "",
      0,
      0 },
    { "text in a number column",
      "alpha,k\n1,u\nred,v\n",
      { .target = "k" },
      DAMAGED,
      "cannot import '%s': 'red' in column 'alpha' is not a number",
      "",
      3,
      1 },
    { "hexadecimal",
      "a,k\n0x10,u\n",
      { .target = "k" },
      DAMAGED,
      "cannot import '%s': '0x10' in column 'a' is not a number",
      "",
      2,
      1 },
    { "infinity",
      "k,a\nu,inf\n",
      { .target = "k" },
      DAMAGED,
      "cannot import '%s': 'inf' in column 'a' is not a number",
      "",
      2,
      3 },
    { "too large",
      "k,a\nu,1e39\n",
      { .target = "k" },
      DAMAGED,
      "cannot import '%s': '1e39' in column 'a' does not fit into f32",
      "",
      2,
      3 },
    { "short row",
      "a,b,k\n1,2,u\n1\n",
      { .target = "k" },
      DAMAGED,
      "cannot import '%s': the row ends before column 'b' (2 of 3)",
      "",
      3,
      1 },
    { "long row",
      "a,k\n1,u\n1,u,7\n",
      { .target = "k" },
      DAMAGED,
      "cannot import '%s': the row goes on behind its last column 'k'",
      "",
      3,
      5 },
    { "blank line inside",
      "a,k\n1,u\n\n2,v\n",
      { .target = "k" },
      DAMAGED,
      "cannot import '%s': the row ends before column 'k' (2 of 2)",
      "",
      3,
      1 },
    { "duplicate header",
      "a,b,a\n1,2,3\n",
      { .target = "b" },
      DAMAGED,
      "cannot import '%s': columns 1 and 3 are both named 'a'",
      "",
      1,
      5 },
    { "nameless column",
      "a,,k\n1,2,3\n",
      { .target = "k" },
      DAMAGED,
      "cannot import '%s': column 2 has no name",
      "",
      1,
      3 },
    { "mistyped target",
      "alpha,kind\n1,u\n",
      { .target = "knid" },
      USAGE,
      "cannot import '%s': no column is named 'knid'",
      "Did you mean 'kind'?",
      0,
      0 },
    { "other target",
      "alpha,kind\n1,u\n",
      { .target = "zzzzzz" },
      USAGE,
      "cannot import '%s': no column is named 'zzzzzz'",
      "The first column is 'alpha'.",
      0,
      0 },
    { "target alone",
      "k\n1\n",
      { .target = "k" },
      USAGE,
      "cannot import '%s': it has no column beside the target 'k'",
      "",
      0,
      0 },
    { "missing",
      "a,b,k\n1,2,u\n,4,v\nNA,NA,u\n",
      { .target = "k" },
      DAMAGED,
      "cannot import '%s': column 'a' has no value in 2 of 3 rows, and 1 more columns lack "
      "some",
      "Give `--drop-missing` to leave such rows out.",
      3,
      1 },
    { "all missing",
      "a,k\n,u\n",
      { .target = "k", .drop_missing = true },
      DAMAGED,
      "cannot import '%s': no row is without missing values",
      "",
      0,
      0 },
    { "fractions as classes",
      "a,k\n1,u\n2,2.5\n",
      { .target = "k" },
      USAGE,
      "cannot import '%s': '2.5' in the target 'k' is no class",
      "Give `--task regression` to learn numbers.",
      3,
      3 },
    { "text as regression",
      "a,k\n1,2\n2,u\n",
      { .target = "k", .task = TASK_REGRESSION },
      DAMAGED,
      "cannot import '%s': 'u' in column 'k' is not a number",
      "",
      3,
      3 },
    { "one class",
      "a,k\n1,u\n2,u\n",
      { .target = "k" },
      DAMAGED,
      "cannot import '%s': 1 classes in column 'k', expected 2 to 65536",
      "",
      0,
      0 },
    { "unknown class",
      "a,k\n1,u\n2,w\n",
      { .target = "k", .class_names = two, .class_count = 2 },
      DAMAGED,
      "cannot import '%s': 'w' in the target 'k' is not one of the 2 classes",
      "",
      3,
      3 },
    { "open quotes",
      "a,k\n1,\"u\n2,v\n",
      { .target = "k" },
      DAMAGED,
      "cannot import '%s': the quotes that open here never close",
      "",
      2,
      3 },
    { "text behind quotes",
      "a,k\n1,\"u\"x\n",
      { .target = "k" },
      DAMAGED,
      "cannot import '%s': text behind the closing quotes of a field",
      "",
      2,
      6 },
    { "quotes inside",
      "a,k\n1,u\"v\"\n",
      { .target = "k" },
      DAMAGED,
      "cannot import '%s': quotes inside an unquoted field",
      "",
      2,
      4 },
    { "carriage return",
      "a,k\n1,u\r2,v\n",
      { .target = "k" },
      DAMAGED,
      "cannot import '%s': a carriage return alone",
      "",
      2,
      4 },
    { "too many to validate",
      "a,k\n1,u\n2,v\n",
      { .target = "k", .validate = 2 },
      USAGE,
      "cannot take 2 rows for 'validate': 2 of 2 are left, and one must remain",
      "",
      0,
      0 },
    { "too many to test",
      "a,k\n1,u\n2,v\n3,u\n",
      { .target = "k", .validate = 1, .test = 2 },
      USAGE,
      "cannot take 2 rows for 'test': 2 of 3 are left, and one must remain",
      "",
      0,
      0 },
    { "no target given",
      "a,k\n1,u\n",
      { .target = NULL },
      USAGE,
      "cannot import '%s': no target column given",
      "",
      0,
      0 },
};

Test(csv, refusals_name_file_line_column_and_the_columns_name)
{
    for (size_t r = 0; r < sizeof refusals / sizeof *refusals; r++) {
        struct place place;
        struct err err;
        struct arena arena = { 0 };
        place_init(&place, refusals[r].text);
        cr_expect_eq(import(&place, refusals[r].opts, &err), refusals[r].code, "%s: %s",
                     refusals[r].name, code_text(err.code));
        const char *mark = strstr(refusals[r].message, "%s"), *wanted = refusals[r].message;
        if (mark)
            wanted = arena_format(&arena, "%.*s%s%s", (int)(mark - wanted), wanted, place.csv,
                                  mark + 2);
        cr_expect_str_eq(err.message, wanted, "%s: '%s'", refusals[r].name, err.message);
        cr_expect_str_eq(err.hint, refusals[r].hint, "%s: '%s'", refusals[r].name, err.hint);
        cr_expect(err.line == refusals[r].line && err.column == refusals[r].column, "%s: %d:%d",
                  refusals[r].name, err.line, err.column);
        cr_expect_str_eq(err.file, refusals[r].line ? place.csv : "", "%s", refusals[r].name);
        cr_expect_not(fs_exists(place.out), "%s leaves a file", refusals[r].name);
        arena_release(&arena);
        place_release(&place);
    }
}

Test(csv, the_table_that_comes_with_pawl_is_its_own_import)
{
    struct place place;
    struct err err;
    struct dataset made, shipped;
    int64_t counts[3], all[3] = { 0 };
    place_init(&place, NULL);
    snprintf(place.csv, sizeof place.csv, "%s/configs/data/wine.csv", PAWL_SOURCE_DIR);
    struct import_opts opts = { .target = "cultivar", .validate = 30, .test = 40, .seed = 1 };
    cr_assert_eq(import(&place, opts, &err), OK, "%s", err.message);
    cr_assert_eq(dataset_open(&made, place.out, &err), OK, "%s", err.message);
    cr_assert_eq(dataset_open(&shipped, PAWL_SOURCE_DIR "/configs/data/wine.h5", &err), OK, "%s",
                 err.message);
    cr_assert_eq(made.split_count, 3);
    for (size_t i = 0; i < 3; i++) {
        const struct split *split = dataset_split(&shipped, made.splits[i].name);
        cr_assert(split && digest_equal(&made.splits[i].digest, &split->digest));
        cr_assert_eq(dataset_class_counts(&shipped, split, counts, &err), OK);
        for (int c = 0; c < 3; c++) all[c] += counts[c];
    }
    cr_expect(all[0] == 59 && all[1] == 71 && all[2] == 48, "the source's class distribution");
    cr_expect_eq(dataset_check(&made, NULL, &err), OK, "%s", err.message);
    dataset_close(&shipped);
    dataset_close(&made);
    place_release(&place);
}
