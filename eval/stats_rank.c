/* The area under the ROC curve and each row's part in its variance.
 *
 * For a positive row the part is the share of negatives that it beats, less the area, divided by
 * the number of positives; for a negative row likewise. Parts of several classes, models or slices
 * add up, and the sum of their squares is the variance of the sum: one mechanism for one model, two
 * models on the same rows, the mean over classes, and gaps. */
#include "base/err.h"
#include "eval/stats.h"

#include <math.h>

static bool is_positive(const struct rank_rows *rows, int64_t place)
{
    return rows->label[rows->order[place]] == rows->positive;
}

static float score_at(const struct rank_rows *rows, int64_t place)
{
    return rows->score[rows->order[place] * rows->stride];
}

/* Walks through the rows by falling score, ties together. With an area, adds each row's part. */
static double walk(double *part, const struct rank_rows *rows, const double total[2], double area,
                   double weight)
{
    double above[2] = { 0, 0 }, beaten = 0; /* negatives, positives seen so far */
    bool few = total[0] < 2 || total[1] < 2;
    double scale[2];
    for (int kind = 0; kind < 2; kind++)
        scale[kind] = few ? weight / total[kind]
                          : weight / sqrt(total[kind] * (total[kind] - 1)); /* sqrt(m/(m-1)) / m */
    for (int64_t at = 0, end; at < rows->n; at = end) {
        double tied[2] = { 0, 0 };
        for (end = at; end < rows->n && score_at(rows, end) == score_at(rows, at); end++)
            tied[is_positive(rows, end)]++;
        /* What a positive here beats, and what beats a negative here. */
        double below = total[0] - above[0] - tied[0] + 0.5 * tied[0],
               over = above[1] + 0.5 * tied[1];
        beaten += tied[1] * below;
        for (int64_t i = at; part && i < end; i++) {
            bool positive = is_positive(rows, i);
            double share = positive ? below / total[0] : over / total[1];
            part[rows->order[i]] += scale[positive] * (share - area);
        }
        above[0] += tied[0];
        above[1] += tied[1];
    }
    return beaten / (total[0] * total[1]);
}

double stats_auc(double *part, const struct rank_rows *rows, double weight)
{
    double total[2] = { 0, 0 };
    for (int64_t i = 0; i < rows->n; i++) total[is_positive(rows, i)]++;
    if (total[0] == 0 || total[1] == 0) return NAN;
    double area = walk(NULL, rows, total, 0, weight);
    if (part) walk(part, rows, total, area, weight);
    return area;
}
