/* Whether a suite fits the data that it is applied to, with the place of everything that does
 * not. */
#include "eval/suite.h"

#include <math.h>
#include <string.h>

static bool is_scalar_column(const struct column *column)
{
    uint64_t numbers = 1;
    for (int d = 1; d < column->rank; d++) numbers *= column->dim[d];
    return numbers == 1;
}

static bool is_feature(const struct dataset *dataset, const char *name)
{
    for (size_t i = 0; dataset->feature_names && i < dataset->constants; i++)
        if (strcmp(dataset->feature_names[i], name) == 0) return true;
    return false;
}

static const struct split *find_split(const struct document *document, const char *key,
                                      const struct dataset *dataset, struct problems *problems)
{
    const struct node *node = node_at(document->root, key);
    const struct split *split = dataset_split(dataset, node->text);
    if (split) return split;
    struct str names = { 0 };
    for (size_t i = 0; i < dataset->split_count; i++)
        str_addf(&names, "%s%s", i ? ", " : "splits: ", dataset->splits[i].name);
    problem_add(problems, node->mark, "'%s' has no split '%s'", dataset->path, node->text)
        ->allowed = arena_copy(problems->arena, str_text(&names));
    str_release(&names);
    return NULL;
}

static void fit_slice(const struct node *node, const struct dataset *dataset,
                      const struct split *split, struct problems *problems)
{
    const struct node *labels = node_at(node, "where.label"),
                      *column = node_at(node, "where.column");
    for (const struct node *label = labels ? labels->first : NULL; label; label = label->next) {
        if (dataset->task != TASK_CLASSIFICATION)
            problem_add(problems, label->mark, "'%s' has no labels: its task is regression",
                        dataset->path);
        else if (node_int(label, NULL) >= dataset->classes)
            problem_add(problems, label->mark, "label %lld is outside the classes 0 to %lld",
                        (long long)node_int(label, NULL), (long long)dataset->classes - 1);
    }
    if (!column) return;
    const struct column *found = split_column(split, column->text);
    if (found ? is_scalar_column(found) : is_feature(dataset, column->text)) return;
    struct str names = { 0 };
    for (size_t i = 0; i < split->column_count; i++)
        if (is_scalar_column(&split->columns[i]))
            str_addf(&names, "%s%s", names.len ? ", " : "columns: ", split->columns[i].name);
    for (size_t i = 0; dataset->feature_names && i < dataset->constants; i++)
        str_addf(&names, "%s%s", names.len ? ", " : "columns: ", dataset->feature_names[i]);
    problem_add(problems, column->mark,
                found ? "column '%s' has more than one number a row" : "there is no column '%s'",
                column->text)
        ->allowed = arena_copy(problems->arena, str_text(&names));
    str_release(&names);
}

static void fit_gate(const struct node *node, const struct dataset *dataset,
                     struct problems *problems)
{
    static const char *const tasks[] = {
        [TASK_CLASSIFICATION] = "classification", [TASK_REGRESSION] = "regression"
    };
    const struct node *name = node_at(node, "metric");
    const struct metric *metric = metric_find(name->text);
    if (!(metric->fits & 1u << dataset->task)) {
        problem_add(problems, name->mark, "metric '%s' does not fit the task of '%s': %s",
                    metric->name, dataset->path, tasks[dataset->task])
            ->allowed = arena_format(problems->arena, "metrics for it: %s",
                                     metric_names(problems->arena, dataset->task));
    }
    if (dataset->task == TASK_REGRESSION && strcmp(node_choice(node, "slice"), "every") == 0)
        problem_add(problems, node_options(node, "slice")->key_mark,
                    "'%s' has no labels: its task is regression", dataset->path);
    const struct node *against = node_at(node, "against");
    if (against && dataset->task == TASK_REGRESSION && strcmp(against->text, "majority") == 0)
        problem_add(problems, against->mark, "the baseline 'majority' is for classification");
    if (!metric->takes_k || dataset->task != TASK_CLASSIFICATION) return;
    const struct node *k = node_at(node, "k");
    int64_t count = k ? node_int(k, NULL) : METRIC_K;
    if (count >= dataset->classes)
        problem_add(problems, k ? k->mark : name->mark,
                    "every row is among the first %lld of %lld classes", (long long)count,
                    (long long)dataset->classes)
            ->hint = "state a smaller k";
}

enum code suite_fit(const struct suite *suite, const struct document *document,
                    const struct dataset *dataset, struct problems *problems, struct err *err)
{
    int before = problems->count;
    const struct split *split = find_split(document, "data.split", dataset, problems);
    bool trained = false;
    for (size_t b = 0; b < suite->baseline_count; b++)
        trained = trained || strcmp(suite->baselines[b], "majority") == 0 ||
                  strcmp(suite->baselines[b], "linear") == 0;
    if (trained) find_split(document, "data.train_split", dataset, problems);
    const struct node *slices = node_at(document->root, "slices");
    for (const struct node *s = slices ? slices->first : NULL; split && s; s = s->next)
        fit_slice(s, dataset, split, problems);
    static const char *const lists[] = { "goals", "guards" };
    for (size_t i = 0; i < 2; i++) {
        const struct node *list = node_at(document->root, lists[i]);
        for (const struct node *g = list ? list->first : NULL; g; g = g->next)
            fit_gate(g, dataset, problems);
    }
    if (problems->count == before) return OK;
    problems_sort(problems);
    return err_set(err, CONFIG, "'%s' does not fit '%s': %d problem%s", document->path,
                   dataset->path, problems->count - before,
                   problems->count - before == 1 ? "" : "s");
}
