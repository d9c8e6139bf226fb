/* Predictions of other programs: read in any format and order to the same content, refused with row
 * and reason where they are not sound, and judged as the model itself would be. */
#include "tests/eval/stage.h"

#include "eval/predict.h"
#include "eval/report_schema.h"

static const char *put(struct stage *stage, const char *name, const char *text)
{
    struct err err;
    const char *path = stage_path(stage, name);
    cr_assert_eq(fs_publish_view(path, text, strlen(text), &err), OK);
    return path;
}

static void open_folder(struct stage *stage)
{
    *stage = (struct stage){ .dir = "/tmp/pawl-test-XXXXXX" };
    cr_assert(mkdtemp(stage->dir));
}

static void close_folder(struct stage *stage)
{
    struct err err;
    cr_expect_eq(fs_remove_tree(stage->dir, &err), OK);
    arena_release(&stage->arena);
}

struct file_row {
    const char *text, *message;
};

/* Files that are not sound, and what is said about them. */
static const struct file_row files[] = {
    { "", "'f' is empty" },
    { "id,label,prediction", NULL },
    { "label,prediction\n1,1\n", "'f' has no column 'id'" },
    { "id,label\n1,1\n", "'f' has neither 'prediction' nor 'p_0'" },
    { "id,prediction\n1,1\n", "'f' has neither 'label' nor 'target'" },
    { "id,id,label,prediction\n1,1,1,1\n", "'f' has the column 'id' twice" },
    { "id,,label,prediction\n1,1,1,1\n", "column 2 of 'f' has no name" },
    { "id,label,target,prediction\n1,1,1,1\n", "'f' has columns of classes and of targets" },
    { "id,label,prediction\n1,1,1\n1,0,0\n", "row 1 (line 3) of 'f' has the id 1, which row 0 "
                                             "(line 2) of 'f' has, too" },
    { "id,label,prediction\n,1,1\n", "row 0 (line 2) of 'f' has no id" },
    { "id,label,prediction\n1.5,1,1\n", "row 0 (line 2) of 'f' has an id that is no whole number" },
    { "id,label,prediction\n1e17,1,1\n",
      "row 0 (line 2) of 'f' has an id that is no whole number" },
    { "id,label,prediction\n1,1,1\n2,1\n",
      "row 1 (line 3) of 'f' ends before column 'prediction'" },
    { "id,label,prediction\n1,1,1,4\n",
      "row 0 (line 2) of 'f' goes on behind its last column 'prediction'" },
    { "id,label,prediction\n1,cat,1\n",
      "row 0 (line 2) of 'f' has 'cat' in column 'label', which is no number" },
    { "id,label,prediction\n1,0x1,1\n",
      "row 0 (line 2) of 'f' has '0x1' in column 'label', which is no number" },
    { "id,label,prediction,age\n1,1,1,old\n",
      "row 0 (line 2) of 'f' has 'old' in column 'age', which is no number" },
    { "id,label,prediction\n1,,1\n", "row 0 (line 2) of 'f' has no label" },
    { "id,label,prediction\n1,-1,1\n", "row 0 (line 2) of 'f' has label -1, classes are 0 to 1" },
    { "id,label,prediction\n1,0.5,1\n", "row 0 (line 2) of 'f' has label 0.5, classes are 0 to 1" },
    { "id,label,prediction\n1,1,-2\n",
      "row 0 (line 2) of 'f' has prediction -2, classes are 0 to 1" },
    { "id,label,p_0,p_1\n1,2,0.5,0.5\n", "row 0 (line 2) of 'f' has label 2, classes are 0 to 1" },
    { "id,label,p_0\n1,0,1\n", "'f' has one class only" },
    { "id,label,p_0,p_1\n1,1,0.5,0.6\n",
      "row 0 (line 2) of 'f' has probabilities that add up to 1.1, not 1" },
    { "id,label,p_0,p_1\n1,1,-0.5,1.5\n",
      "row 0 (line 2) of 'f' has the probability -0.5 for class 0" },
    { "id,label,p_0,p_1\n1,1,91,9\n", "row 0 (line 2) of 'f' has the probability 91 for class 0" },
    { "id,label,p_0,p_1,prediction\n1,1,0.9,0.1,1\n",
      "row 0 (line 2) of 'f' predicts class 1, but class 0 has a larger probability" },
    { "id,target,prediction\n1,,1\n", "row 0 (line 2) of 'f' has no target" },
    { "id,target,prediction\n1,1e60,1\n", "row 0 (line 2) of 'f' has a target beyond f32" },
    { "id,target_0,target_1,prediction_0\n1,1,1,1\n", "'f' has 2 targets and 1 predictions a row" },
    { "id,nll\n1,2\n", "'f' has 'nll', but no column 'tokens'" },
    { "id,nll,tokens\n1,-2,3\n", "row 0 (line 2) of 'f' has -2 in column 'nll'" },
    { "id,nll,tokens\n1,2,-3\n", "row 0 (line 2) of 'f' has -3 in column 'tokens'" },
    { "id,nll,tokens,correct\n1,2,3,4\n", "row 0 (line 2) of 'f' has 4 in column 'correct'" },
    { "{\"id\":1,\"label\":1,\"prediction\":1}\n{\"id\":2,\"label\":1}\n",
      "row 1 (line 2) of 'f' has no 'prediction', which line 1 has" },
    { "{\"id\":1,\"label\":1,\"prediction\":1}\n{\"id\":2,\"label\":1,\"prediction\":1,\"x\":1}\n",
      "row 1 (line 2) of 'f' has 'x', which line 1 has not" },
    { "{\"id\":1,\"label\":1,\"prediction\":[1]}\n",
      "row 0 (line 1) of 'f' has no number at 'prediction'" },
    { "{\"id\":1,\"label\":1,\"prediction\":\"cat\"}\n",
      "row 0 (line 1) of 'f' has 'cat' in column 'prediction', which is no number" },
    { "{\"id\":1,\"label\":1,\"prediction\":1}\n{\"id\":2,\"label\":1,\"predi",
      "line 2 of 'f' is no JSON object: " },
    { "{\"id\":1,\"label\":1,\"prediction\":1}\n[1]\n", "line 2 of 'f' is no JSON object" },
};

Test(predictions, unsound_files_are_damage_with_row_and_reason)
{
    struct stage stage;
    open_folder(&stage);
    size_t refused = 0;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct predictions predictions;
        struct err err = { 0 };
        enum code code = predictions_read(&predictions, put(&stage, "f", files[i].text), NULL,
                                          &err);
        if (!files[i].message) {
            cr_expect_eq(code, OK, "%zu: %s", i, err.message);
            cr_expect_eq(predictions.n, 0, "%zu", i);
            predictions_release(&predictions);
            continue;
        }
        const char *message = shown(&stage, err.message);
        cr_expect_eq(code, DAMAGED, "row %zu: %d", i, code);
        cr_expect(strncmp(message, files[i].message, strlen(files[i].message)) == 0,
                  "row %zu:\n  got  %s\n  want %s", i, message, files[i].message);
        refused++;
    }
    printf("refused prediction files: %zu\n", refused);
    close_folder(&stage);
}

static void write_h5(struct stage *stage, const char *name)
{
    struct h5 h5;
    struct err err;
    const int64_t id[] = { 3, 1, 2 };
    const int32_t label[] = { 0, 1, 1 };
    const float share[] = { 0.75F, 0.25F, 0.5F, 0.5F, 0.125F, 0.875F };
    const double age[] = { 30, 10, 20 };
    const uint64_t dim[] = { 3, 2 };
    cr_assert_eq(h5_create(&h5, stage_path(stage, name), &err), OK);
    cr_assert_eq(h5_write(&h5, "/id", H5_I64, 1, dim, id, &err), OK);
    cr_assert_eq(h5_write(&h5, "/label", H5_I32, 1, dim, label, &err), OK);
    cr_assert_eq(h5_write(&h5, "/probability", H5_F32, 2, dim, share, &err), OK);
    cr_assert_eq(h5_write(&h5, "/age", H5_F64, 1, dim, age, &err), OK);
    cr_assert_eq(h5_publish(&h5, &err), OK);
}

Test(predictions, every_format_and_order_is_the_same_content)
{
    struct stage stage;
    open_folder(&stage);
    put(&stage, "a",
        "id,label,p_0,p_1,age\n1,1,0.5,0.5,10\n2,1,0.125,0.875,20\n3,0,0.75,0.25,30\n");
    put(&stage, "b",
        "age,p_1,p_0,label,id\r\n30,0.25,0.75,0,3\r\n20,0.875,0.125,1,2\r\n"
        "10,0.5,0.5,1,1");
    put(&stage, "c",
        "{\"id\":2,\"label\":1,\"p_0\":0.125,\"p_1\":0.875,\"age\":20}\n\n"
        "{\"age\":10,\"label\":1,\"p_0\":0.5,\"p_1\":0.5,\"id\":1}\n"
        "{\"id\":3,\"label\":0,\"p_0\":0.75,\"p_1\":0.25,\"age\":30}");
    write_h5(&stage, "d");
    struct digest first;
    for (const char *name = "a"; *name <= 'd'; name = name[0] == 'a'   ? "b"
                                                      : name[0] == 'b' ? "c"
                                                      : name[0] == 'c' ? "d"
                                                                       : "e") {
        struct predictions p;
        struct err err = { 0 };
        cr_assert_eq(predictions_read(&p, stage_path(&stage, name), NULL, &err), OK, "%s: %s", name,
                     err.message);
        cr_expect_eq(p.n, 3);
        cr_expect_eq(p.classes, 2);
        cr_expect_eq(p.id[2], 3);
        cr_expect_eq(p.prediction[0], 0); /* the first of equal ones */
        cr_expect_eq(p.prediction[1], 1);
        cr_expect_float_eq(p.probability[4], 0.75F, 0);
        cr_expect_eq(predictions_column(&p, "age")[1], 20);
        cr_expect_null(predictions_column(&p, "label"));
        if (*name == 'a') first = p.digest;
        cr_expect(digest_equal(&p.digest, &first), "%s", name);
        predictions_release(&p);
    }
    close_folder(&stage);
}

static const char judged[] = "goals:\n"
                             "  - {id: q, metric: accuracy, at_least: 0.8}\n"
                             "  - {id: third, metric: top_k, k: 3, at_least: 0.5}\n"
                             "guards:\n"
                             "  - {id: gain, metric: accuracy, against: baseline, better_by: 0}\n"
                             "  - {id: loss, metric: log_loss, at_most: 1.2}\n"
                             "  - {id: f1, metric: macro_f1, at_least: 0.7}\n"
                             "  - {id: part, metric: accuracy, slice: early, at_least: 0.7}\n"
                             "slices: [{name: early, where: {column: g, below: 700}}]\n";

/* The same suite with a model, and with what `predict` wrote of that model. */
Test(predictions, what_predict_writes_is_judged_like_the_model)
{
    struct stage stage;
    stage_open(&stage, 2000, 1200, 0.9, TASK_CLASSIFICATION);
    struct err err = { 0 };
    const char *mine = stage_path(&stage, "mine.h5"), *theirs = stage_path(&stage, "theirs.h5");
    cr_assert_eq(
        predict(mine, &stage.weights, &stage.dataset, &(struct predict_opts){ 0 }, NULL, &err), OK,
        "%s", err.message);
    cr_assert_eq(
        predict(theirs, &stage.other, &stage.dataset, &(struct predict_opts){ 0 }, NULL, &err), OK,
        "%s", err.message);
    struct predictions p, other;
    struct predictions_opts how = { .dataset = &stage.dataset };
    cr_assert_eq(predictions_read(&p, mine, &how, &err), OK, "%s", err.message);
    cr_assert_eq(predictions_read(&other, theirs, &how, &err), OK, "%s", err.message);
    struct eval_result model, file;
    for (int pass = 0; pass < 2; pass++) {
        struct document document;
        struct problems problems;
        struct eval_baseline baseline = { .name = "baseline" };
        if (pass)
            baseline.predictions = &other;
        else
            baseline.weights = &stage.other;
        cr_assert_eq(stage_suite(&stage, &document, &problems, judged, &err), OK, "%s",
                     err.message);
        struct eval_inputs inputs = { .document = &document,
                                      .problems = &problems,
                                      .dataset = &stage.dataset,
                                      .model = "m",
                                      .weights = pass ? NULL : &stage.weights,
                                      .predictions = pass ? &p : NULL,
                                      .baselines = &baseline,
                                      .baseline_count = 1,
                                      .threads = 2 };
        enum code code = eval_run(&inputs, stage_path(&stage, pass ? "b" : "a"),
                                  pass ? &file : &model, &err);
        cr_assert_eq(code, OK, "%d: %s", pass, err.message);
    }
    const json_t *a = json_object_get(json_object_get(model.json, "quality"), "gates");
    const json_t *b = json_object_get(json_object_get(file.json, "quality"), "gates");
    cr_assert_eq(json_array_size(a), 6);
    for (size_t i = 0; i < json_array_size(a); i++) {
        const json_t *x = json_array_get(a, i), *y = json_array_get(b, i);
        double value = json_number_value(json_object_get(x, "value"));
        cr_expect_str_eq(stage_word(x, "verdict"), stage_word(y, "verdict"));
        cr_expect_float_eq(value, json_number_value(json_object_get(y, "value")), 1e-6, "%s",
                           stage_word(x, "id"));
    }
    struct eval_result again;
    cr_expect_eq(
        gate_replay(stage_path(&stage, "b"), &(struct replay_opts){ .threads = 1 }, &again, &err),
        OK, "%s", err.message);
    eval_result_release(&again);
    eval_result_release(&model);
    eval_result_release(&file);
    predictions_release(&p);
    predictions_release(&other);
    stage_close(&stage);
}

/* A candidate and a baseline that bring their own rows: every seventh and every third row is wrong.
 */
static void write_alone(struct stage *stage, const char *name, int wrong, bool shares, int rows)
{
    struct str text = { 0 };
    str_add(&text, shares ? "id,label,p_0,p_1,p_2,age,site\n" : "id,label,prediction,age,site\n");
    for (int i = rows - 1; i >= 0; i--) {
        int label = i % 3, guess = i % wrong == 0 ? (label + 1) % 3 : label;
        str_addf(&text, "%d,%d,", i, label);
        for (int c = 0; shares && c < 3; c++) str_addf(&text, "%s,", c == guess ? "0.8" : "0.1");
        if (!shares) str_addf(&text, "%d,", guess);
        str_addf(&text, "%d,%d\n", i % 90, i / 10);
    }
    put(stage, name, str_text(&text));
    str_release(&text);
}

struct alone_row {
    const char *name, *gates;
    bool shares;
    enum code code;
    const char *verdict, *reason; /* of gate g */
};

#define GATE(text) "goals: [{id: g, " text "}]\n"
static const struct alone_row alone[] = {
    { "accuracy", GATE("metric: accuracy, at_least: 0.8"), true, OK, "pass", "bound" },
    { "of classes", GATE("metric: accuracy, at_least: 0.8"), false, OK, "pass", "bound" },
    { "f1 of classes", GATE("metric: macro_f1, at_least: 0.8"), false, OK, "pass", "bound" },
    { "loss of classes", GATE("metric: log_loss, at_most: 1"), false, GATE_FAILED, "fail",
      "missing_metric" },
    { "calibration of classes", GATE("metric: ece, at_most: 1"), false, GATE_FAILED, "fail",
      "missing_metric" },
    { "better than the baseline", GATE("metric: accuracy, against: baseline, better_by: 0.1"), true,
      OK, "pass", "bound" },
    { "a bar too high", GATE("metric: accuracy, at_least: 0.9"), true, GATE_FAILED, "fail",
      "bound" },
    { "a slice of a further column",
      GATE("metric: accuracy, slice: old, at_least: 0.7") "slices: [{name: old, where: {column: "
                                                          "age, above_quantile: 0.5}}]\n",
      true, OK, "pass", "bound" },
    { "rows of a file",
      GATE("metric: accuracy, slice: hard, at_most: 0.5") "slices: [{name: hard, where: {rows: "
                                                          "ids.txt}}]\n",
      true, CONFIG, NULL, NULL },
    { "rows of a file, the right way",
      GATE("metric: accuracy, slice: hard, at_least: 0.5") "slices: [{name: hard, where: {rows: "
                                                           "ids.txt}}]\n",
      true, GATE_FAILED, "fail", "bound" },
    { "latency", GATE("metric: latency_p50, at_most: 1s"), true, GATE_FAILED, "fail",
      "missing_metric" },
    { "a perturbation",
      GATE("metric: accuracy, perturb: noisy, at_least: 0.1") "perturb: [{name: noisy, with: "
                                                              "{gaussian_noise: 0.1}}]\n",
      true, GATE_FAILED, "fail", "no_condition" },
};

static enum code eval_alone(struct stage *stage, const struct alone_row *row, const char *out,
                            struct eval_result *result, struct err *err)
{
    const struct kind *const kinds[] = { &suite_kind, NULL };
    struct problems problems = { .arena = &stage->arena };
    struct document document;
    struct predictions p, other;
    put(stage, "suite.yaml",
        arena_format(&stage->arena, "pawl: suite/1\nname: alone\n%s", row->gates));
    cr_assert_eq(document_load(&document, &stage->arena, stage_path(stage, "suite.yaml"), kinds,
                               NULL, &problems, err),
                 OK, "%s: %s", row->name, problems.first ? problems.first->message : err->message);
    cr_assert_eq(
        predictions_read(&p, stage_path(stage, row->shares ? "p.csv" : "h.csv"), NULL, err), OK,
        "%s", err->message);
    cr_assert_eq(predictions_read(&other, stage_path(stage, "o.csv"), NULL, err), OK);
    struct eval_baseline baseline = { .name = "baseline", .predictions = &other };
    struct eval_inputs inputs = { .document = &document,
                                  .problems = &problems,
                                  .model = "p.csv",
                                  .predictions = &p,
                                  .baselines = &baseline,
                                  .baseline_count = 1,
                                  .threads = 2 };
    enum code code = eval_run(&inputs, stage_path(stage, out), result, err);
    predictions_release(&p);
    predictions_release(&other);
    return code;
}

Test(predictions, a_file_that_stands_alone_is_judged_by_its_own_rows)
{
    struct stage stage;
    open_folder(&stage);
    write_alone(&stage, "p.csv", 7, true, 3000);
    write_alone(&stage, "h.csv", 7, false, 3000);
    write_alone(&stage, "o.csv", 3, true, 3000);
    put(&stage, "ids.txt", "# what is always wrong\n7\n14\n 21 # remark\n\n28\n35\n42\n49\n");
    for (size_t i = 0; i < sizeof alone / sizeof *alone; i++) {
        struct eval_result result, again;
        struct err err = { 0 };
        const char *out = arena_format(&stage.arena, "r%zu", i);
        enum code code = eval_alone(&stage, &alone[i], out, &result, &err);
        cr_expect_eq(code, alone[i].code, "%s: %d %s", alone[i].name, code, err.message);
        if (code != alone[i].code || !alone[i].verdict) continue;
        const char *part = strstr(alone[i].gates, "latency") ? "measured" : "quality";
        struct str why = { 0 };
        cr_expect(report_conforms(result.json, &why), "%s: %s", alone[i].name, str_text(&why));
        str_release(&why);
        const json_t *gate = stage_gate(&result, part, "g");
        cr_expect_str_eq(stage_word(gate, "verdict"), alone[i].verdict, "%s", alone[i].name);
        cr_expect_str_eq(stage_word(gate, "reason"), alone[i].reason, "%s: %s", alone[i].name,
                         stage_word(gate, "reason"));
        cr_expect_eq(gate_replay(stage_path(&stage, out), &(struct replay_opts){ .threads = 1 },
                                 &again, &err),
                     code, "%s: %s", alone[i].name, err.message);
        eval_result_release(&again);
        eval_result_release(&result);
    }
    close_folder(&stage);
}

struct join_row {
    const char *name, *text, *message;
};

static const struct join_row joins[] = {
    { "all", "0,0,0\n1,1,1\n2,2,2\n3,3,3\n", NULL },
    { "one is missing", "0,0,0\n1,1,1\n3,3,3\n",
      "predictions 'f' has nothing for row 2 of 't.h5'" },
    { "the last is missing", "0,0,0\n1,1,1\n2,2,2\n",
      "predictions 'f' has nothing for row 3 of 't.h5'" },
    { "one too many", "0,0,0\n1,1,1\n2,2,2\n3,3,3\n4,0,0\n",
      "predictions 'f' has row 4, which 't.h5' has not" },
    { "a strange id", "-1,0,0\n0,0,0\n1,1,1\n2,2,2\n3,3,3\n",
      "predictions 'f' has row -1, which 't.h5' has not" },
    { "another label", "0,0,0\n1,1,1\n2,1,2\n3,3,3\n",
      "predictions 'f' has label 1 in row 2, 't.h5' has 2" },
};

/* The split has four rows, whose labels follow from the stage: 0, 1, 2, 3 after the training
 * rows. */
Test(predictions, join_by_id_and_must_agree_with_the_data)
{
    struct stage stage;
    stage_open(&stage, 40, 4, 1.0, TASK_CLASSIFICATION);
    const struct split *split = dataset_split(&stage.dataset, "test");
    int32_t label[4];
    struct err err = { 0 };
    cr_assert_eq(dataset_read(&stage.dataset, split_column(split, "label"), 0, 4, label, &err), OK);
    for (size_t i = 0; i < sizeof joins / sizeof *joins; i++) {
        struct str text = { 0 };
        str_add(&text, "id,label,prediction\n");
        int id, at, guess, used = 0;
        for (const char *c = joins[i].text; sscanf(c, "%d,%d,%d\n%n", &id, &at, &guess, &used) == 3;
             c += used)
            str_addf(&text, "%d,%d,%d\n", id,
                     id == at && id < 4 && id >= 0 ? label[id]
                     : id == 2                     ? (label[2] + 5) % 6
                                                   : at,
                     guess);
        struct predictions p;
        struct exam exam;
        struct predictions_opts how = { .dataset = &stage.dataset };
        cr_assert_eq(predictions_read(&p, put(&stage, "f", str_text(&text)), &how, &err), OK,
                     "%s: %s", joins[i].name, err.message);
        exam_of_dataset(&exam, &stage.dataset, split);
        enum code code = exam_join(&exam, &p, "predictions", &err);
        cr_expect_eq(code, joins[i].message ? DAMAGED : OK, "%s", joins[i].name);
        const char *message = shown(&stage, err.message);
        if (joins[i].message && strstr(joins[i].name, "label"))
            cr_expect(strncmp(message, "predictions 'f' has label ", 26) == 0, "%s", message);
        else if (joins[i].message)
            cr_expect_str_eq(message, joins[i].message, "%s: %s", joins[i].name, message);
        predictions_release(&p);
        str_release(&text);
    }
    stage_close(&stage);
}
