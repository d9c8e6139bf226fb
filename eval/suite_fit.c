/* Whether a suite fits the data that it is applied to, with the place of everything that does
 * not. */
#include "eval/suite.h"

#include <math.h>
#include <string.h>

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

/* Ids of an index file that the exam has not. */
static void fit_rows(const struct node *node, const struct slice *slice, const struct exam *exam,
                     struct problems *problems)
{
    const int64_t *known = exam->dataset ? NULL : exam->predictions->id;
    int64_t at = 0;
    for (size_t i = 0; i < slice->row_count; i++) {
        int64_t id = slice->rows[i];
        while (known && at < exam->n && known[at] < id) at++;
        bool there = known ? at < exam->n && known[at] == id : id >= 0 && id < exam->n;
        if (there) continue;
        problem_add(problems, node->mark, "'%s' names row %lld, which '%s' has not", node->text,
                    (long long)id, exam->name);
        return;
    }
}

static void fit_column(const struct node *node, const struct exam *exam, struct problems *problems)
{
    enum exam_column has = exam_has(exam, node->text);
    if (has == EXAM_COLUMN) return;
    problem_add(problems, node->mark,
                has == EXAM_WIDE_COLUMN ? "column '%s' has more than one number a row"
                                        : "there is no column '%s'",
                node->text)
        ->allowed = exam_columns(problems->arena, exam);
}

static void fit_slice(const struct node *node, const struct slice *slice, const struct exam *exam,
                      struct problems *problems)
{
    const struct node *labels = node_at(node, "where.label"),
                      *column = node_at(node, "where.column"), *rows = node_at(node, "where.rows");
    for (const struct node *label = labels ? labels->first : NULL; label; label = label->next) {
        if (exam->task != TASK_CLASSIFICATION)
            problem_add(problems, label->mark, "'%s' has no labels: its task is %s", exam->name,
                        exam_task_text(exam->task));
        else if (node_int(label, NULL) >= exam->classes)
            problem_add(problems, label->mark, "label %lld is outside the classes 0 to %lld",
                        (long long)node_int(label, NULL), (long long)exam->classes - 1);
    }
    if (rows) fit_rows(rows, slice, exam, problems);
    if (column) fit_column(column, exam, problems);
}

/* Baselines that are made from training rows, or from the command line. */
static void fit_against(const struct node *node, const struct exam *exam, struct problems *problems)
{
    const char *text = against_text(problems->arena, node);
    if (!text) return;
    bool majority = strcmp(text, "majority") == 0, linear = strcmp(text, "linear") == 0;
    if (majority && exam->task != TASK_CLASSIFICATION)
        problem_add(problems, node_at(node_options(node, "against"), "ref")->mark,
                    "the baseline 'majority' is for classification");
    if ((majority || linear) && !exam->dataset)
        problem_add(problems, node_at(node_options(node, "against"), "ref")->mark,
                    "the baseline '%s' needs rows to learn from, predictions alone have none", text)
            ->hint = "give data: {file: ..., train_split: ...}, or another baseline";
}

static void fit_classes(const struct node *node, const struct metric *metric,
                        const struct exam *exam, struct problems *problems)
{
    const struct node *name = node_at(node, "metric");
    const struct node *k = node_at(node, "k"), *of_class = node_at(node, "class");
    int64_t count = k ? node_int(k, NULL) : METRIC_K;
    if (metric->takes_k && count >= exam->classes)
        problem_add(problems, k ? k->mark : name->mark,
                    "every row is among the first %lld of %lld classes", (long long)count,
                    (long long)exam->classes)
            ->hint = "state a smaller k";
    int64_t class = of_class ? node_int(of_class, NULL) : 1;
    if (metric->takes_class && class >= exam->classes)
        problem_add(problems, of_class ? of_class->mark : name->mark,
                    "class %lld is outside the classes 0 to %lld", (long long)class,
                    (long long)exam->classes - 1);
}

static void fit_gate(const struct node *node, const struct exam *exam, struct problems *problems)
{
    const struct node *name = node_at(node, "metric");
    const struct metric *metric = metric_find(name->text);
    if (!(metric->fits & 1u << exam->task)) {
        problem_add(problems, name->mark, "metric '%s' does not fit the task of '%s': %s",
                    metric->name, exam->name, exam_task_text(exam->task))
            ->allowed = arena_format(problems->arena, "metrics for it: %s",
                                     metric_names(problems->arena, exam->task));
    }
    if (exam->task != TASK_CLASSIFICATION && strcmp(node_choice(node, "slice"), "every") == 0)
        problem_add(problems, node_options(node, "slice")->key_mark,
                    "'%s' has no labels: its task is %s", exam->name, exam_task_text(exam->task));
    fit_against(node, exam, problems);
    if (exam->task == TASK_CLASSIFICATION) fit_classes(node, metric, exam, problems);
}

static void fit_perturb(const struct node *node, const struct exam *exam, struct problems *problems)
{
    const struct choice *choice = choice_find(perturb_choices, node_choice(node, "with"));
    const struct node *with = node_at(node, "with");
    const struct column *input = exam->split ? split_column(exam->split, exam->dataset->input)
                                             : NULL;
    if (!exam->dataset || exam->predictions || !input) return; /* no model is run */
    if (perturb_fits_column(choice->detail, input)) return;
    problem_add(problems, with->mark, "'%s' does not change rows like those of '%s'", choice->name,
                exam->name)
        ->allowed = input->rank == 2 ? "for tables: feature_noise, missing, fgsm, pgd"
                                     : "for images: gaussian_noise, blur, brightness, contrast, "
                                       "occlusion, shift, fgsm, pgd";
}

static enum code summed_up(const struct document *document, const char *name, int before,
                           struct problems *problems, struct err *err)
{
    int count = problems->count - before;
    if (count == 0) return OK;
    problems_sort(problems);
    return err_set(err, CONFIG, "'%s' does not fit '%s': %d problem%s", document->path, name, count,
                   count == 1 ? "" : "s");
}

enum code suite_exam(struct exam *exam, const struct suite *suite, const struct document *document,
                     const struct dataset *dataset, struct problems *problems, struct err *err)
{
    int before = problems->count;
    const struct split *split = find_split(document, "data.split", dataset, problems);
    bool trained = false;
    for (size_t b = 0; b < suite->baseline_count; b++)
        trained = trained || strcmp(suite->baselines[b], "majority") == 0 ||
                  strcmp(suite->baselines[b], "linear") == 0;
    if (trained) find_split(document, "data.train_split", dataset, problems);
    exam_of_dataset(exam, dataset, split);
    return summed_up(document, dataset->path, before, problems, err);
}

enum code suite_fit(const struct suite *suite, const struct document *document,
                    const struct exam *exam, struct problems *problems, struct err *err)
{
    int before = problems->count;
    const struct node *root = document->root;
    const struct node *slices = node_at(root, "slices"), *perturbs = node_at(root, "perturb");
    size_t at = 0;
    for (const struct node *s = slices ? slices->first : NULL; s; s = s->next)
        fit_slice(s, &suite->slices[at++], exam, problems);
    for (const struct node *p = perturbs ? perturbs->first : NULL; p; p = p->next)
        fit_perturb(p, exam, problems);
    if (node_has(root, "cluster")) fit_column(node_at(root, "cluster"), exam, problems);
    static const char *const lists[] = { "goals", "guards" };
    for (size_t i = 0; i < 2; i++) {
        const struct node *list = node_at(root, lists[i]);
        for (const struct node *g = list ? list->first : NULL; g; g = g->next)
            fit_gate(g, exam, problems);
    }
    return summed_up(document, exam->name, before, problems, err);
}

const char *suite_baseline_ref(struct arena *arena, const struct document *document,
                               const char *name)
{
    static const char *const lists[] = { "goals", "guards" };
    for (size_t i = 0; i < 2; i++) {
        const struct node *list = node_at(document->root, lists[i]);
        for (const struct node *g = list ? list->first : NULL; g; g = g->next) {
            const char *text = against_text(arena, g);
            if (!text || strcmp(text, name) != 0 || text_starts(text, "anchor:")) continue;
            return node_path(arena, node_options(g, "against"), "ref");
        }
    }
    return name;
}
