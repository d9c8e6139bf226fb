/* Sections of report.html that are tables: values by subject, slices, measurements, inputs. */
#include "eval/html.h"

#include <math.h>
#include <string.h>

static const json_t *values_of(const struct page *page)
{
    return json_object_get(json_object_get(page->report, "quality"), "values");
}

/* A value of the rows as they are. */
static bool is_of(const json_t *value, const char *slice, const char *subject)
{
    return strcmp(html_word(value, "slice"), slice) == 0 &&
           strcmp(html_word(value, "subject"), subject) == 0 &&
           strcmp(html_word(value, "condition"), "clean") == 0;
}

static const json_t *value_like(const struct page *page, const json_t *like, const char *subject)
{
    size_t index;
    json_t *value;
    json_array_foreach(values_of(page), index, value)
    {
        if (is_of(value, html_word(like, "slice"), subject) &&
            strcmp(html_word(value, "metric"), html_word(like, "metric")) == 0 &&
            json_integer_value(json_object_get(value, "k")) ==
                json_integer_value(json_object_get(like, "k")))
            return value;
    }
    return NULL;
}

static void value_cell(struct str *out, const json_t *value, const struct metric *metric)
{
    char text[NUMBER_TEXT], low[NUMBER_TEXT], high[NUMBER_TEXT];
    if (!value) {
        str_add(out, "<td>-</td>");
        return;
    }
    str_addf(out, "<td>%s", number_text(text, html_real(value, "value"), metric->unit));
    if (isfinite(html_real(value, "low")) && html_real(value, "low") < html_real(value, "high"))
        str_addf(out, "<small>%s to %s</small>",
                 number_text(low, html_real(value, "low"), metric->unit),
                 number_text(high, html_real(value, "high"), metric->unit));
    str_add(out, "</td>");
}

void html_values(struct page *page)
{
    struct str *out = page->out;
    const struct scores *scores = page->scores;
    if (scores->subject_count < 2) return;
    str_add(out, "<section><h2>Beside the baselines</h2><p class=\"note\">All on the same "
                 "rows.</p><div class=\"scroll\"><table><thead><tr><th>metric</th>");
    for (size_t s = 0; s < scores->subject_count; s++) {
        if (scores->subjects[s].missing) continue;
        str_add(out, "<th>");
        markup_text(out, scores->subjects[s].name);
        str_add(out, "</th>");
    }
    str_add(out, "</tr></thead><tbody>");
    size_t index;
    json_t *value;
    json_array_foreach(values_of(page), index, value)
    {
        if (!is_of(value, "all", "candidate")) continue;
        const struct metric *metric = metric_find(html_word(value, "metric"));
        str_addf(out, "<tr><td>%s", metric->name);
        if (json_object_get(value, "k")) str_addf(out, " (k = %g)", html_real(value, "k"));
        str_add(out, "</td>");
        for (size_t s = 0; s < scores->subject_count; s++)
            if (!scores->subjects[s].missing)
                value_cell(out, value_like(page, value, scores->subjects[s].name), metric);
        str_add(out, "</tr>");
    }
    str_add(out, "</tbody></table></div></section>\n");
}

/* The metric that slices are shown in: accuracy, or the first of the task. */
static const char *slice_metric(const struct page *page)
{
    return page->scores->task == TASK_CLASSIFICATION ? "accuracy" : "mae";
}

static bool is_slice_row(const struct page *page, const json_t *value)
{
    return strcmp(html_word(value, "metric"), slice_metric(page)) == 0 &&
           is_of(value, html_word(value, "slice"), "candidate");
}

/* One scale for all slices. */
static void slices_scale(const struct page *page, double *from, double *to)
{
    *from = INFINITY;
    *to = -INFINITY;
    size_t index;
    json_t *value;
    json_array_foreach(values_of(page), index, value)
    {
        if (!is_slice_row(page, value)) continue;
        const char *const ends[] = { "value", "low", "high" };
        for (size_t e = 0; e < 3; e++) {
            double at = html_real(value, ends[e]);
            if (at < *from) *from = at;
            if (at > *to) *to = at;
        }
    }
    double room = *to > *from ? 0.04 * (*to - *from) : 0.5;
    *from -= room;
    *to += room;
}

enum { SLICES_SHOWN = 60 };

void html_slices(struct page *page)
{
    struct str *out = page->out;
    double from, to;
    size_t index, rows = 0;
    json_t *value;
    slices_scale(page, &from, &to);
    json_array_foreach(values_of(page), index, value) rows += is_slice_row(page, value);
    if (rows < 2) return;
    str_addf(
        out,
        "<section><h2>Slices</h2><p class=\"note\">%s with its interval, on one scale from %.4g "
        "to %.4g; the dashed line is the whole split.</p>",
        slice_metric(page), from, to);
    double whole = NAN;
    size_t shown = 0;
    json_array_foreach(values_of(page), index, value)
    {
        if (!is_slice_row(page, value) || shown++ >= SLICES_SHOWN) continue;
        const char *slice = html_word(value, "slice");
        struct str label = { 0 };
        char text[NUMBER_TEXT], low[NUMBER_TEXT], high[NUMBER_TEXT];
        if (strcmp(slice, "all") == 0) whole = html_real(value, "value");
        struct interval_picture picture = { .value = html_real(value, "value"),
                                            .low = html_real(value, "low"),
                                            .high = html_real(value, "high"),
                                            .bar = whole,
                                            .from = from,
                                            .to = to,
                                            .more = page->scores->task == TASK_CLASSIFICATION };
        str_addf(&label, "%.4g, interval %.4g to %.4g", picture.value, picture.low, picture.high);
        picture.label = str_text(&label);
        str_add(out, "<div class=\"slice\"><div>");
        html_slice(page, slice);
        str_add(out, "</div><div class=\"pic\">");
        html_interval(out, &picture);
        str_addf(
            out, "</div><div class=\"num\"><b>%s</b> <small>%s to %s, n = %.0f</small></div></div>",
            number_text(text, picture.value, UNIT_NONE), number_text(low, picture.low, UNIT_NONE),
            number_text(high, picture.high, UNIT_NONE), html_real(value, "n"));
        str_release(&label);
    }
    if (rows > SLICES_SHOWN)
        str_addf(out, "<p class=\"note\">%zu more slices are in report.json.</p>",
                 rows - SLICES_SHOWN);
    str_add(out, "</section>\n");
}

void html_system(struct page *page)
{
    struct str *out = page->out;
    const json_t *measured = json_object_get(page->report, "measured");
    if (json_is_null(json_object_get(measured, "machine"))) return; /* no model was run */
    str_add(out, "<section><h2>Measured</h2><p class=\"note\">On ");
    markup_text(out, html_word(measured, "machine"));
    str_add(out, ", device ");
    markup_text(out, html_word(measured, "device"));
    str_add(out, ".</p><div class=\"scroll\"><table><thead><tr><th>metric</th><th>value</th>"
                 "<th>samples</th></tr></thead><tbody>");
    size_t index;
    json_t *item;
    json_array_foreach(json_object_get(measured, "system"), index, item)
    {
        const struct metric *metric = metric_find(html_word(item, "metric"));
        str_addf(out, "<tr><td>%s", metric->name);
        if (json_object_get(item, "batch")) str_addf(out, " (batch %g)", html_real(item, "batch"));
        str_add(out, "</td>");
        value_cell(out, item, metric);
        str_addf(out, "<td>%g</td></tr>", html_real(item, "n"));
    }
    str_add(out, "</tbody></table></div></section>\n");
}

static void fact(struct str *out, const char *name, const char *text, const char *digest)
{
    str_addf(out, "<dt>%s</dt><dd>", name);
    markup_text(out, text);
    if (digest && *digest) {
        str_add(out, *text ? "<br><code>" : "<code>");
        markup_text(out, digest);
        str_add(out, "</code>");
    }
    str_add(out, "</dd>");
}

void html_inputs(struct page *page)
{
    struct str *out = page->out;
    const json_t *inputs = json_object_get(page->report, "inputs");
    const json_t *model = json_object_get(inputs, "model"), *data = json_object_get(inputs, "data");
    const json_t *digests = json_object_get(page->report, "digests");
    str_add(out, "<section><h2>Inputs and digests</h2><p class=\"note\">Run <code>pawl gate "
                 "DIRECTORY</code> to decide again from scores.h5; every byte must come out the "
                 "same.</p><dl>");
    fact(out, "model", html_word(model, "name"), html_word(model, "digest"));
    fact(out, "suite", html_word(json_object_get(inputs, "suite"), "name"),
         html_word(inputs, "suite_digest"));
    fact(out, "data",
         arena_format(page->arena, "split %s, %lld rows", html_word(data, "split"),
                      (long long)json_integer_value(json_object_get(data, "rows"))),
         html_word(data, "digest"));
    size_t index;
    json_t *baseline;
    json_array_foreach(json_object_get(inputs, "baselines"), index, baseline)
    {
        bool missing = json_is_true(json_object_get(baseline, "missing"));
        const char *digest = html_word(baseline, "digest");
        if (!*digest) digest = html_word(baseline, "train_split");
        fact(out, "baseline",
             arena_format(page->arena, "%s%s%s%s", html_word(baseline, "name"),
                          strcmp(html_word(baseline, "name"), html_word(baseline, "ref")) ? " = "
                                                                                          : "",
                          strcmp(html_word(baseline, "name"), html_word(baseline, "ref"))
                              ? html_word(baseline, "ref")
                              : "",
                          missing ? " (there is none yet)" : ""),
             digest);
    }
    fact(out, "seal",
         json_is_null(json_object_get(inputs, "registry"))
             ? "unsealed: not evaluated through a registry"
             : "sealed in a registry before it was scored",
         NULL);
    fact(out, "methods",
         arena_format(page->arena, "%s, %lld resamples, pawl %s", html_word(inputs, "methods"),
                      (long long)json_integer_value(
                          json_object_get(json_object_get(page->report, "quality"), "resamples")),
                      html_word(inputs, "pawl")),
         NULL);
    static const char *const parts[] = { "inputs", "quality", "measured", "verdict", "report" };
    for (size_t i = 0; i < 5; i++) fact(out, parts[i], "", html_word(digests, parts[i]));
    str_add(out, "</dl></section>\n");
}
