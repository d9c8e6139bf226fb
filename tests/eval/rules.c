/* Every rule that compares: with a share of the baseline, between slices, with earlier versions,
 * over clusters, and at later looks. Each gate is decided, replayed to the same bytes and
 * explained. */
#include "tests/eval/stage.h"

#include "eval/report_schema.h"

#define FACTS(look)                                                                                \
    "{\"id\": \"sha256:12\", \"seal\": 3, \"look\": " look                                         \
    ", \"exposures\": 2, \"seals\": 1, \"bars\": 1, \"model\": \"m\", \"number\": 1}"
#define GATE(text)   "goals: [{id: g, " text "}]\n"
#define SLICES(text) "slices: [" text "]\n"
/* rows 0, 2, 4, ... of column g cannot be told by a threshold; halves can */
#define HALVES SLICES("{name: low, where: {column: g, below_quantile: 0.5}}")

struct rule_row {
    const char *name, *text, *history, *registry;
    enum code code;
    const char *verdict, *reason, *explains;
};

/* The candidate is right in 90 % of 1500 rows in either half; stage->other in fewer. */
static const struct rule_row rows[] = {
    { "share of the baseline", GATE("metric: accuracy, against: linear, not_worse_by: 2%"), NULL,
      NULL, OK, "pass", "bound", "2 % of the baseline: the model less 0.98 times the baseline" },
    { "better by a share", GATE("metric: accuracy, against: linear, better_by: 300%"), NULL, NULL,
      GATE_FAILED, "fail", "bound", "the model less 4 times the baseline" },
    { "gain too good to be true", GATE("metric: accuracy, against: linear, gain_at_most: 0.9"),
      NULL, NULL, OK, "pass", "bound", "upper bound <= 0.9" },
    { "an anchor that is not given",
      GATE("metric: accuracy, not_worse_by: 0, against: {anchor: "
           "sha256:0000000000000000000000000000000000000000000000000000000000000000}"),
      NULL, NULL, CONFIG, NULL, NULL, NULL },
    { "gap to the rest", HALVES GATE("metric: accuracy, gap: [low, rest], at_most: 0.1"), NULL,
      NULL, OK, "pass", "bound", "in low, " },
    { "gap that is there",
      SLICES("{name: first, where: {label: [0, 1, 2]}}, {name: hard, where: {label: [2]}}")
          GATE("metric: accuracy, gap: [hard, rest], at_most: 0.0001, decide: point"),
      NULL, NULL, GATE_FAILED, "fail", "point", " in hard, " },
    { "gap of slices with common rows",
      SLICES(
          "{name: a, where: {label: [0, 1, 2, 3, 4]}}, {name: b, where: {label: [1, 2, 3, 4, 5]}}")
          GATE("metric: accuracy, gap: [a, b], at_most: 0.2"),
      NULL, NULL, OK, "pass", "bound", " in b" },
    { "gap with an empty side",
      SLICES("{name: none, where: {column: g, below: -1}}")
          GATE("metric: accuracy, gap: [none, rest], at_most: 0.1"),
      NULL, NULL, GATE_FAILED, "fail", "empty_slice", NULL },
    { "gap below min_examples",
      HALVES GATE("metric: accuracy, gap: [low, rest], at_most: 0.1, min_examples: 2000"), NULL,
      NULL, INCONCLUSIVE, "inconclusive", "below_min_examples", NULL },
    { "steady trend", GATE("metric: accuracy, trend: -0.05, over: m@prod, last: 6"),
      "[0.85, 0.86, 0.84, 0.85, 0.86]", NULL, OK, "pass", "bound", "oldest first: 0.85" },
    { "falling trend", GATE("metric: accuracy, trend: -0.001, over: m@prod, last: 6"),
      "[9.9, 7.9, 5.9, 3.95, 2.0]", NULL, GATE_FAILED, "fail", "bound", "versions  6" },
    { "only the last versions", GATE("metric: accuracy, trend: -0.05, over: m@prod, last: 5"),
      "[99, 55, 0.89, 0.9, 0.89, 0.9]", NULL, OK, "pass", "bound", "versions  5" },
    { "a short history", GATE("metric: accuracy, trend: -0.05, over: m@prod"), "[0.9]", NULL,
      INCONCLUSIVE, "inconclusive", "no_history", NULL },
    { "no history", GATE("metric: accuracy, trend: -0.05, over: m@prod"), NULL, NULL, INCONCLUSIVE,
      "inconclusive", "no_history", NULL },
    { "no history, first passes", "first: pass\n" GATE("metric: accuracy, trend: 0, over: m@prod"),
      NULL, NULL, OK, "pass", "no_history", NULL },
    { "first look", GATE("metric: accuracy, at_least: 0.8"), NULL, FACTS("1"), OK, "pass", "bound",
      "alpha     0.025: the suite's 0.05 halved 1 time, for look 1" },
    { "too many looks", GATE("metric: accuracy, at_least: 0.885"), NULL, FACTS("5"), INCONCLUSIVE,
      "inconclusive", "interval_covers_bar", "look 5" },
    { "clusters", "cluster: c\n" GATE("metric: accuracy, at_least: 0.8"), NULL, NULL, CONFIG, NULL,
      NULL, NULL },
    { "every row a cluster", "cluster: g\n" GATE("metric: accuracy, at_least: 0.8"), NULL, NULL, OK,
      "pass", "bound", "in 1500 clusters of 'g'" },
    { "clusters that are few", "cluster: label\n" GATE("metric: accuracy, at_least: 0.8"), NULL,
      NULL, INCONCLUSIVE, "inconclusive", "too_few_clusters", NULL },
};

static json_t *parsed(const char *text)
{
    json_t *json = NULL;
    struct err err;
    cr_assert_eq(json_parse(&json, text, strlen(text), "facts", &err), OK, "%s", err.message);
    return json;
}

/* {g: [{version, value}, ...]} of a list of values. */
static json_t *history_of(const char *values)
{
    json_t *list = json_array(), *item;
    struct arena arena = { 0 };
    json_t *wrapped = parsed(arena_format(&arena, "{\"list\": %s}", values));
    size_t index;
    json_array_foreach(json_object_get(wrapped, "list"), index, item)
        json_array_append_new(list, json_pack("{s:s,s:O}", "version", "m@1", "value", item));
    json_decref(wrapped);
    arena_release(&arena);
    return json_pack("{s:o}", "g", list);
}

static void replay(struct stage *stage, const struct rule_row *row, const char *out)
{
    struct str explained = { 0 };
    struct eval_result again;
    struct err err = { 0 };
    struct replay_opts opts = { .explain = "g", .explained = &explained, .threads = 1 };
    cr_expect_eq(gate_replay(stage_path(stage, out), &opts, &again, &err), row->code, "%s: %s",
                 row->name, err.message);
    if (row->explains)
        cr_expect(explained.at && strstr(explained.at, row->explains), "%s:\n%s", row->name,
                  str_text(&explained));
    str_release(&explained);
    eval_result_release(&again);
}

Test(rules, decide_replay_and_explain)
{
    struct stage stage;
    stage_open(&stage, 3000, 1500, 0.9, TASK_CLASSIFICATION);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct rule_row *row = &rows[i];
        struct eval_result result;
        struct err err = { 0 };
        const char *out = arena_format(&stage.arena, "r%zu", i);
        struct eval_inputs inputs = { .history = row->history ? history_of(row->history) : NULL,
                                      .registry = row->registry ? parsed(row->registry) : NULL };
        enum code code = stage_eval(&stage, row->text, out, inputs, &result, &err);
        json_decref(inputs.history);
        json_decref(inputs.registry);
        cr_expect_eq(code, row->code, "%s: %d %s", row->name, code, err.message);
        if (code != row->code || !row->verdict) {
            eval_result_release(&result);
            continue;
        }
        const json_t *gate = stage_gate(&result, "quality", "g");
        struct str why = { 0 };
        cr_expect(report_conforms(result.json, &why), "%s: %s", row->name, str_text(&why));
        str_release(&why);
        cr_expect_str_eq(stage_word(gate, "verdict"), row->verdict, "%s: %s", row->name,
                         stage_word(gate, "verdict"));
        cr_expect_str_eq(stage_word(gate, "reason"), row->reason, "%s: %s", row->name,
                         stage_word(gate, "reason"));
        replay(&stage, row, out);
        eval_result_release(&result);
    }
    stage_close(&stage);
}

/* k looks at alpha / 2^k each add up to less than alpha, however many there are. */
Test(rules, looks_share_one_alpha)
{
    double sum = 0;
    for (int64_t look = 1; look < 40; look++) sum += decision_alpha(0.05, look);
    cr_expect(sum < 0.05 && sum > 0.0499, "%.17g", sum);
    cr_expect_eq(decision_alpha(0.05, 0), 0.05);
    cr_expect_eq(decision_alpha(0.05, 1), 0.025);
    cr_expect(decision_alpha(0.05, 100000) > 0);
}
