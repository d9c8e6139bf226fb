/* Confusion matrix and reliability curve as SVG. */
#include "eval/html.h"

#include "eval/metric_score.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CELL = 34, LABEL_WIDTH = 84, MATRIX_CLASSES = 24, PAIRS_SHOWN = 12 };

static const json_t *counts_of(const struct page *page)
{
    const json_t *confusion = json_object_get(json_object_get(page->report, "quality"),
                                              "confusion");
    return json_object_get(confusion, "candidate");
}

static long long number_at(const json_t *triple, size_t index)
{
    return (long long)json_integer_value(json_array_get(triple, index));
}

/* A name shortened to what fits. */
static const char *short_name(struct page *page, int64_t label, size_t most)
{
    const char *name = html_class(page, label);
    if (strlen(name) <= most) return name;
    size_t keep = most - 1;
    while (keep > 1 && ((unsigned char)name[keep] & 0xC0) == 0x80) keep--;
    return arena_format(page->arena, "%.*s…", (int)keep, name);
}

static void matrix(struct page *page, const json_t *counts, const long long *rows)
{
    struct str *out = page->out;
    int64_t k = page->scores->classes;
    size_t longest = 0;
    for (int64_t c = 0; c < k; c++) {
        size_t len = strlen(short_name(page, c, 9));
        if (len > longest) longest = len;
    }
    int width = LABEL_WIDTH + (int)k * CELL + 2, top = 14 + 5 * (int)longest;
    str_addf(out,
             "<svg viewBox=\"0 0 %d %d\" style=\"width:%dpx\" role=\"img\" "
             "aria-label=\"confusion matrix\">",
             width, top + (int)k * CELL + 4, width * 5 / 4);
    for (int64_t c = 0; c < k; c++) {
        int at = (int)c * CELL + CELL / 2;
        str_addf(out, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">", LABEL_WIDTH - 6,
                 top + at + 4);
        markup_text(out, short_name(page, c, 13));
        str_addf(out, "</text><text transform=\"translate(%d %d) rotate(-50)\">", LABEL_WIDTH + at,
                 top - 6);
        markup_text(out, short_name(page, c, 9));
        str_add(out, "</text>");
        str_addf(out,
                 "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"none\" "
                 "class=\"axis\"/>",
                 LABEL_WIDTH, top + (int)c * CELL, (int)k * CELL, CELL);
    }
    size_t index;
    json_t *triple;
    json_array_foreach(counts, index, triple)
    {
        long long label = number_at(triple, 0), guess = number_at(triple, 1),
                  count = number_at(triple, 2);
        double share = (double)count / (double)rows[label];
        int x = LABEL_WIDTH + (int)guess * CELL, y = top + (int)label * CELL;
        str_addf(out,
                 "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"3\" "
                 "fill=\"rgba(var(--heat),%.3f)\"/><text class=\"strong\" x=\"%d\" y=\"%d\" "
                 "text-anchor=\"middle\"%s>%lld</text>",
                 x + 1, y + 1, CELL - 2, CELL - 2, 0.06 + 0.5 * share, x + CELL / 2,
                 y + CELL / 2 + 4, label == guess ? " font-weight=\"650\"" : "", count);
    }
    str_add(out, "</svg>");
}

struct pair {
    long long label, guess, count;
};

static int by_count(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;
    if (x->count != y->count) return x->count > y->count ? -1 : 1;
    return x->label != y->label ? (x->label < y->label ? -1 : 1) : x->guess < y->guess ? -1 : 1;
}

/* The commonest mistakes, in words. */
static void mistakes(struct page *page, const json_t *counts, const long long *rows)
{
    struct str *out = page->out;
    size_t index, count = 0;
    json_t *triple;
    struct pair *pairs = ARENA_ARRAY(page->arena, json_array_size(counts) + 1, struct pair);
    json_array_foreach(counts, index, triple)
    {
        if (number_at(triple, 0) == number_at(triple, 1)) continue;
        pairs[count++] = (struct pair){ number_at(triple, 0), number_at(triple, 1),
                                        number_at(triple, 2) };
    }
    qsort(pairs, count, sizeof *pairs, by_count);
    bool large = page->scores->classes > MATRIX_CLASSES;
    size_t shown = large ? PAIRS_SHOWN : 3;
    if (count == 0) return;
    str_add(out, "<p class=\"note\">Commonest mistakes: ");
    for (size_t i = 0; i < count && i < shown; i++) {
        if (i) str_add(out, "; ");
        markup_text(out, html_class(page, pairs[i].label));
        str_add(out, " taken for ");
        markup_text(out, html_class(page, pairs[i].guess));
        str_addf(out, " (%lld of %lld)", pairs[i].count, rows[pairs[i].label]);
    }
    str_add(out, ".</p>");
}

void html_confusion(struct page *page)
{
    struct str *out = page->out;
    const json_t *counts = counts_of(page);
    long long *rows = ARENA_ARRAY(page->arena, page->scores->classes, long long);
    size_t index;
    json_t *triple;
    json_array_foreach(counts, index, triple) rows[number_at(triple, 0)] += number_at(triple, 2);
    str_add(out, "<section><h2>Confusion</h2><p class=\"note\">Rows are labels, columns are "
                 "predictions.</p>");
    if (page->scores->classes <= MATRIX_CLASSES) matrix(page, counts, rows);
    mistakes(page, counts, rows);
    str_add(out, "</section>\n");
}

enum { PLOT = 260, PLOT_LEFT = 34, PLOT_TOP = 8, HISTOGRAM = 46 };

static double plot_x(double share)
{
    return PLOT_LEFT + share * PLOT;
}

static double plot_y(double share)
{
    return PLOT_TOP + (1 - share) * PLOT;
}

static void plot_frame(struct str *out)
{
    for (int tick = 0; tick <= 4; tick++) {
        double share = tick / 4.0;
        str_addf(out,
                 "<line class=\"axis\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>"
                 "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%g</text>"
                 "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%g</text>",
                 plot_x(0), plot_x(1), plot_y(share), plot_y(share), plot_x(0) - 5,
                 plot_y(share) + 4, share, plot_x(share), PLOT_TOP + PLOT + HISTOGRAM + 18, share);
    }
    str_addf(out, "<line class=\"bar\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>",
             plot_x(0), plot_y(0), plot_x(1), plot_y(1));
}

void html_reliability(struct page *page)
{
    struct str *out = page->out;
    const json_t *bins = json_object_get(
        json_object_get(json_object_get(page->report, "quality"), "reliability"), "candidate");
    size_t index;
    json_t *bin;
    double most = 1;
    json_array_foreach(bins, index, bin) most = fmax(most, html_real(bin, "n"));
    str_add(out, "<section><h2>Reliability</h2><p class=\"note\">Accuracy against confidence in 15 "
                 "bins; on the dashed line the model knows what it knows. Below: rows in each "
                 "bin.</p>");
    int height = PLOT_TOP + PLOT + HISTOGRAM + 24, width = PLOT_LEFT + PLOT + 8;
    str_addf(out,
             "<svg viewBox=\"0 0 %d %d\" style=\"width:%dpx\" role=\"img\" "
             "aria-label=\"reliability curve\">",
             width, height, width * 5 / 4);
    plot_frame(out);
    str_add(out, "<polyline fill=\"none\" class=\"span\" style=\"stroke-width:2\" points=\"");
    json_array_foreach(bins, index, bin)
        str_addf(out, "%.1f,%.1f ", plot_x(html_real(bin, "confidence")),
                 plot_y(html_real(bin, "accuracy")));
    str_add(out, "\"/>");
    json_array_foreach(bins, index, bin)
    {
        double n = html_real(bin, "n"), share = n / most;
        double left = plot_x(html_real(bin, "bin") / ECE_BINS), wide = (double)PLOT / ECE_BINS;
        str_addf(out,
                 "<circle class=\"dot\" cx=\"%.1f\" cy=\"%.1f\" r=\"4\"><title>%g rows: "
                 "confidence %.3f, accuracy %.3f</title></circle>",
                 plot_x(html_real(bin, "confidence")), plot_y(html_real(bin, "accuracy")), n,
                 html_real(bin, "confidence"), html_real(bin, "accuracy"));
        str_addf(out,
                 "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" "
                 "fill=\"rgba(var(--heat),.45)\"/>",
                 left + 0.8, PLOT_TOP + PLOT + HISTOGRAM - share * (HISTOGRAM - 8), wide - 1.6,
                 share * (HISTOGRAM - 8));
    }
    str_add(out, "</svg></section>\n");
}
