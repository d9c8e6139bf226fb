/* The model under perturbation, and beside each baseline row by row. */
#include "eval/html.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DIFFERENCES = 12 };

static const json_t *value_under(const struct page *page, const char *metric, int64_t k,
                                 const char *condition)
{
    size_t index;
    json_t *value;
    json_array_foreach(json_object_get(json_object_get(page->report, "quality"), "values"), index,
                       value)
    {
        if (strcmp(html_word(value, "metric"), metric) == 0 &&
            strcmp(html_word(value, "slice"), "all") == 0 &&
            strcmp(html_word(value, "subject"), "candidate") == 0 &&
            strcmp(html_word(value, "condition"), condition) == 0 &&
            json_integer_value(json_object_get(value, "k")) == k)
            return value;
    }
    return NULL;
}

void html_conditions(struct page *page)
{
    struct str *out = page->out;
    const struct scores *scores = page->scores;
    char text[NUMBER_TEXT];
    if (scores->condition_count < 2 || scores_subject(scores, 0, 1)->missing) return;
    str_add(out, "<section><h2>Under perturbation</h2><p class=\"note\">The same rows, changed "
                 "before the model saw them.</p><div class=\"scroll\"><table><thead><tr>"
                 "<th>rows</th>");
    for (size_t k = 0; k < scores->kind_count; k++)
        str_addf(out, "<th>%s</th>", scores->kinds[k].metric->name);
    str_add(out, "</tr></thead><tbody>");
    for (size_t c = 0; c < scores->condition_count; c++) {
        str_add(out, "<tr><td>");
        markup_text(out, scores->conditions[c]);
        str_add(out, "</td>");
        for (size_t k = 0; k < scores->kind_count; k++) {
            const struct score_kind *kind = &scores->kinds[k];
            const json_t *value = value_under(page, kind->metric->name, kind->k,
                                              scores->conditions[c]);
            str_addf(out, "<td>%s</td>",
                     value ? number_text(text, html_real(value, "value"), kind->metric->unit)
                           : "-");
        }
        str_add(out, "</tr>");
    }
    str_add(out, "</tbody></table></div></section>\n");
}

/* A row where the two differ, and by how much. */
struct difference {
    double loss; /* of the model against the baseline; larger is worse */
    int64_t row;
};

static int by_loss(const void *a, const void *b)
{
    const struct difference *x = a, *y = b;
    if (x->loss != y->loss) return x->loss > y->loss ? -1 : 1;
    return x->row < y->row ? -1 : 1;
}

/* Above 0 where the baseline did better: how sure the model was of its mistake, or how much larger
 * its error is. */
static double loss_of(const struct scores *scores, const struct subject *baseline, int64_t row)
{
    const struct subject *model = &scores->subjects[0];
    if (scores->task == TASK_CLASSIFICATION) {
        bool right = model->prediction[row] == scores->label[row];
        bool other = baseline->prediction[row] == scores->label[row];
        if (right || !other) return 0;
        return model->hard ? 1 : 1 + (double)model->confidence[row];
    }
    int kind = scores_kind(scores, metric_find("mae"), 0);
    if (kind < 0) return 0;
    double by = model->score[kind][row] - baseline->score[kind][row];
    return isnan(by) ? HUGE_VAL : by;
}

/* Both right, only the model, only the baseline, neither. */
static void agreement(struct page *page, const struct subject *baseline)
{
    const struct scores *scores = page->scores;
    long long counts[4] = { 0 };
    static const char *const words[] = { "both are right", "only the model is right",
                                         "only the baseline is right", "both are wrong" };
    for (int64_t i = 0; i < scores->n; i++) {
        bool right = scores->subjects[0].prediction[i] == scores->label[i];
        bool other = baseline->prediction[i] == scores->label[i];
        counts[right ? (other ? 0 : 1) : (other ? 2 : 3)]++;
    }
    str_add(page->out, "<div class=\"tiles\">");
    for (size_t i = 0; i < 4; i++)
        str_addf(page->out,
                 "<div class=\"tile\"><span>%s</span><b>%lld</b><span>%.2f&nbsp;%%"
                 "</span></div>",
                 words[i], counts[i], 100 * (double)counts[i] / (double)scores->n);
    str_add(page->out, "</div>\n");
}

static void show_baseline(struct page *page, const struct subject *baseline, int64_t row)
{
    const struct scores *scores = page->scores;
    str_add(page->out, "<br><span class=\"soft\">baseline: ");
    if (scores->task == TASK_CLASSIFICATION)
        markup_text(page->out, html_class(page, baseline->prediction[row]));
    else
        str_addf(page->out, "%.4g", (double)baseline->predicted[row * scores->width]);
    str_add(page->out, "</span></div>");
}

static void compare_with(struct page *page, const struct subject *baseline)
{
    struct str *out = page->out;
    const struct scores *scores = page->scores;
    struct difference worst[DIFFERENCES];
    size_t kept = 0;
    str_add(out, "<section><h2>Row by row beside ");
    markup_text(out, baseline->name);
    str_add(out, "</h2>");
    if (scores->task == TASK_CLASSIFICATION) agreement(page, baseline);
    /* the worst so far, in order: a list as long as what is shown */
    for (int64_t i = 0; i < scores->n; i++) {
        struct difference found = { loss_of(scores, baseline, i), i };
        if (!(found.loss > 0)) continue;
        if (kept == DIFFERENCES && by_loss(&found, &worst[kept - 1]) > 0) continue;
        if (kept < DIFFERENCES) kept++;
        worst[kept - 1] = found;
        for (size_t j = kept - 1; j > 0 && by_loss(&worst[j], &worst[j - 1]) < 0; j--) {
            struct difference swap = worst[j];
            worst[j] = worst[j - 1];
            worst[j - 1] = swap;
        }
    }
    if (kept) {
        str_add(out, "<p class=\"note\">Where the baseline did better.</p>");
        html_examples_open(page);
        for (size_t i = 0; i < kept; i++)
            if (html_example(page, worst[i].row)) show_baseline(page, baseline, worst[i].row);
        str_add(out, "</div>");
    } else {
        str_add(out, "<p class=\"note\">Nowhere did the baseline do better.</p>");
    }
    str_add(out, "</section>\n");
}

void html_compare(struct page *page)
{
    const struct scores *scores = page->scores;
    if ((unsigned)scores->task == TASK_TOKENS) return;
    for (size_t s = 1; s < scores->subject_count; s++) {
        const struct subject *baseline = scores_subject(scores, s, 0);
        if (!baseline->missing) compare_with(page, baseline);
    }
}
