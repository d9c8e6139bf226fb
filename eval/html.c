/* The report as a page: verdict on top, then gates, numbers, pictures, examples, inputs.
 *
 * One file without scripts or anything from outside; everything comes from report.json, except the
 * examples' pictures, which are read from the dataset once more. */
#include "eval/html.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *html_word(const json_t *json, const char *key)
{
    const char *text = json_string_value(json_object_get(json, key));
    return text ? text : "";
}

double html_real(const json_t *json, const char *key)
{
    const json_t *value = json_object_get(json, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

const char *html_class(const struct page *page, int64_t label)
{
    const json_t *data = json_object_get(json_object_get(page->report, "inputs"), "data");
    const json_t *names = json_object_get(data, "class_names");
    const char *name = json_string_value(json_array_get(names, (size_t)label));
    return name ? name : arena_format(page->arena, "%lld", (long long)label);
}

void html_slice(struct page *page, const char *slice)
{
    if (strncmp(slice, "label=", 6) != 0) {
        markup_text(page->out, slice);
        return;
    }
    const char *name = html_class(page, strtoll(slice + 6, NULL, 10));
    markup_text(page->out, name);
    if (strcmp(name, slice + 6) != 0) str_addf(page->out, " <small>%s</small>", slice + 6);
}

static double percent(double at, const struct interval_picture *picture)
{
    double share = (at - picture->from) / (picture->to - picture->from);
    return 100 * (share < 0 ? 0 : share > 1 ? 1 : share);
}

void html_interval(struct str *out, const struct interval_picture *picture)
{
    bool bounded = isfinite(picture->low) && isfinite(picture->high);
    str_addf(out, "<svg width=\"100%%\" height=\"22\" role=\"img\" aria-label=\"%s\">",
             picture->label ? picture->label : "");
    if (isfinite(picture->bar)) {
        double bar = percent(picture->bar, picture), from = picture->more ? bar : 0;
        if (picture->both) from = percent(-picture->bar, picture);
        str_addf(out, "<rect class=\"right\" x=\"%.2f%%\" y=\"2\" width=\"%.2f%%\" height=\"18\"/>",
                 from, picture->more ? 100 - from : bar - from);
    }
    str_add(out, "<line class=\"axis\" x1=\"0\" x2=\"100%\" y1=\"11\" y2=\"11\"/>");
    if (bounded)
        str_addf(out, "<line class=\"span\" x1=\"%.2f%%\" x2=\"%.2f%%\" y1=\"11\" y2=\"11\"/>",
                 percent(picture->low, picture), percent(picture->high, picture));
    if (isfinite(picture->bar)) {
        double bar = percent(picture->bar, picture);
        str_addf(out, "<line class=\"bar\" x1=\"%.2f%%\" x2=\"%.2f%%\" y1=\"1\" y2=\"21\"/>", bar,
                 bar);
        if (picture->both) {
            bar = percent(-picture->bar, picture);
            str_addf(out, "<line class=\"bar\" x1=\"%.2f%%\" x2=\"%.2f%%\" y1=\"1\" y2=\"21\"/>",
                     bar, bar);
        }
    }
    if (isfinite(picture->value))
        str_addf(out, "<circle class=\"dot\" cx=\"%.2f%%\" cy=\"11\" r=\"4.5\"/>",
                 percent(picture->value, picture));
    str_add(out, "</svg>");
}

static const char *mark_of(const char *verdict)
{
    switch (*verdict) {
    case 'p':
        return "<svg viewBox=\"0 0 16 16\" aria-hidden=\"true\"><path d=\"M2 8.5l4 4 8-9\" "
               "fill=\"none\" stroke=\"currentColor\" stroke-width=\"2.4\"/></svg>";
    case 'f':
        return "<svg viewBox=\"0 0 16 16\" aria-hidden=\"true\"><path d=\"M3 3l10 10M13 3L3 13\" "
               "fill=\"none\" stroke=\"currentColor\" stroke-width=\"2.4\"/></svg>";
    default:
        return "<svg viewBox=\"0 0 16 16\" aria-hidden=\"true\"><path d=\"M1 8c3-6 5 6 7 0s4-6 7 "
               "0\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"2.2\"/></svg>";
    }
}

static void head(struct page *page)
{
    struct str *out = page->out;
    const json_t *inputs = json_object_get(page->report, "inputs");
    const json_t *verdict = json_object_get(page->report, "verdict");
    const json_t *data = json_object_get(inputs, "data"), *model = json_object_get(inputs, "model");
    const char *result = html_word(verdict, "result");
    static const char *const words[] = { "pass", "fail", "inconclusive" };
    str_addf(out,
             "<header class=\"head %s\"><svg class=\"seal mark %s\" viewBox=\"0 0 16 16\" "
             "aria-hidden=\"true\"><circle cx=\"8\" cy=\"8\" r=\"7\" fill=\"none\" "
             "stroke=\"currentColor\" stroke-width=\"1.2\"/><g transform=\"translate(3.6 3.6) "
             "scale(.55)\">",
             result, result);
    const char *mark = strchr(mark_of(result), '>') + 1;
    str_add_len(out, mark, strlen(mark) - strlen("</svg>"));
    str_add(out, "</g></svg><h1>");
    markup_text(out, html_word(json_object_get(inputs, "suite"), "name"));
    str_addf(out, "</h1><div><p class=\"verdict\">%s", result);
    for (size_t w = 0; w < 3; w++) {
        size_t count = json_array_size(json_object_get(verdict, words[w]));
        str_addf(out, "%s%zu %s%s", w ? ", " : " <span class=\"soft\">(", count, words[w],
                 w == 2 ? ")</span>" : "");
    }
    str_add(out, "</p><p class=\"soft\">");
    markup_text(out, html_word(model, "name"));
    str_addf(out, " on %lld rows of split ",
             (long long)json_integer_value(json_object_get(data, "rows")));
    markup_text(out, html_word(data, "split"));
    str_addf(out, "; intervals are %g&nbsp;%%%s</p>",
             100 * html_real(json_object_get(page->report, "quality"), "interval"),
             json_is_null(json_object_get(inputs, "registry")) ? "; unsealed" : "");
    struct str exposure = { 0 };
    exposure_text(&exposure, page->report);
    if (exposure.len) str_addf(out, "<p class=\"soft\">%s</p>", str_text(&exposure));
    str_release(&exposure);
    str_add(out, "</div></header>\n");
}

/* "0.91 to 0.93"; nothing where there are no bounds. */
static void add_interval(struct str *out, const char *tag, const json_t *value,
                         const struct metric *metric)
{
    char low[NUMBER_TEXT], high[NUMBER_TEXT];
    double from = html_real(value, "low"), to = html_real(value, "high");
    if (isnan(from) && isnan(to)) return;
    str_addf(out, "<%s>%s to %s</%s>", tag, number_text(low, from, metric->unit),
             number_text(high, to, metric->unit), tag);
}

/* The candidate's whole-split values, large. */
static void tiles(struct page *page)
{
    const json_t *values = json_object_get(json_object_get(page->report, "quality"), "values");
    size_t index;
    json_t *value;
    str_add(page->out, "<div class=\"tiles\">");
    json_array_foreach(values, index, value)
    {
        if (strcmp(html_word(value, "slice"), "all") != 0 ||
            strcmp(html_word(value, "subject"), "candidate") != 0 ||
            strcmp(html_word(value, "condition"), "clean") != 0)
            continue;
        const struct metric *metric = metric_find(html_word(value, "metric"));
        char text[NUMBER_TEXT];
        str_addf(page->out, "<div class=\"tile\"><span>%s", metric->name);
        if (json_object_get(value, "k")) str_addf(page->out, " (k = %g)", html_real(value, "k"));
        str_addf(page->out, "</span><b>%s</b>",
                 number_text(text, html_real(value, "value"), metric->unit));
        add_interval(page->out, "span", value, metric);
        str_add(page->out, "</div>");
    }
    str_add(page->out, "</div>\n");
}

/* A scale that shows value, bounds and bar with some room around. */
static void scale_of(struct interval_picture *picture)
{
    double from = INFINITY, to = -INFINITY;
    const double ends[] = { picture->value, picture->low, picture->high, picture->bar,
                            picture->both ? -picture->bar : NAN };
    for (size_t i = 0; i < 5; i++) {
        if (!isfinite(ends[i])) continue;
        if (ends[i] < from) from = ends[i];
        if (ends[i] > to) to = ends[i];
    }
    double room = 0.18 * (to - from);
    if (!(room > 0)) room = isfinite(to) && to != 0 ? 0.1 * fabs(to) : 1;
    picture->from = from - room;
    picture->to = to + room;
}

static void gate_numbers(struct str *out, const json_t *gate, const struct metric *metric)
{
    char text[NUMBER_TEXT];
    const char *gain = *html_word(gate, "against") ? "<span class=\"soft\">gain</span> "
                       : *html_word(gate, "over")  ? "<span class=\"soft\">slope</span> "
                                                   : "";
    str_addf(out, "<div class=\"num\">%s<b>%s</b>", gain,
             number_text(text, html_real(gate, "value"), metric->unit));
    add_interval(out, "small", gate, metric);
    str_addf(out, "<small>n = %.0f, ", html_real(gate, "n"));
    markup_text(out, html_word(gate, "method"));
    str_add(out, "</small></div>");
}

/* Words under a gate's title, each with what it is about. */
static void gate_about(struct page *page, const json_t *gate, const struct metric *metric)
{
    struct str *out = page->out;
    static const struct {
        const char *key, *word;
    } words[] = { { "against", "against" }, { "over", "over" }, { "perturb", "under" } };
    char bar[NUMBER_TEXT];
    const json_t *gap = json_object_get(gate, "gap");
    if (gap) {
        str_add(out, "between ");
        markup_text(out, json_string_value(json_array_get(gap, 0)));
        str_add(out, " and ");
        markup_text(out, json_string_value(json_array_get(gap, 1)));
        str_add(out, "; ");
    } else if (strcmp(html_word(gate, "slice"), "all") != 0) {
        str_add(out, "on ");
        html_slice(page, html_word(gate, "slice"));
        str_add(out, "; ");
    }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (!*html_word(gate, words[i].key)) continue;
        str_addf(out, "%s ", words[i].word);
        markup_text(out, html_word(gate, words[i].key));
        str_add(out, "; ");
    }
    bool moved = html_real(gate, "bar") != fabs(html_real(gate, "decided_at"));
    if (moved && !json_is_true(json_object_get(gate, "relative")))
        str_addf(out, "decided at %s; ",
                 number_text(bar, html_real(gate, "decided_at"), metric->unit));
}

static void gate_demand(struct page *page, const json_t *gate, const struct metric *metric)
{
    struct str *out = page->out;
    char bar[NUMBER_TEXT];
    static const char *const options[][2] = { { "k", "k =" },
                                              { "class", "class" },
                                              { "q", "q =" } };
    str_addf(out, "<div class=\"what\"><h3>%s", metric->name);
    for (size_t i = 0; i < 3; i++)
        if (json_object_get(gate, options[i][0]))
            str_addf(out, " (%s %g)", options[i][1], html_real(gate, options[i][0]));
    str_add_char(out, ' ');
    for (const char *c = html_word(gate, "rule"); *c; c++) str_add_char(out, *c == '_' ? ' ' : *c);
    if (json_is_true(json_object_get(gate, "relative")))
        str_addf(out, " %.4g&nbsp;%%", 100 * html_real(gate, "bar"));
    else
        str_addf(out, " %s", number_text(bar, html_real(gate, "bar"), metric->unit));
    if (json_is_true(json_object_get(gate, "goal")))
        str_add(out, "<span class=\"tag\">goal</span>");
    if (!json_is_true(json_object_get(gate, "counts")))
        str_add(out, "<span class=\"tag\">not counted</span>");
    if (strcmp(html_word(gate, "decide"), "point") == 0)
        str_add(out, "<span class=\"tag\">decided by the point value</span>");
    str_add(out, "</h3><p class=\"soft\">");
    gate_about(page, gate, metric);
    markup_text(out, html_word(gate, "why"));
    str_add(out, *html_word(gate, "why") ? " <code>" : "<code>");
    markup_text(out, html_word(gate, "id"));
    str_add(out, "</code></p></div>");
}

static void gate_card(struct page *page, const json_t *gate)
{
    struct str *out = page->out, label = { 0 };
    const struct metric *metric = metric_find(html_word(gate, "metric"));
    const char *verdict = html_word(gate, "verdict"), *rule = html_word(gate, "rule");
    bool both = strcmp(rule, "gap") == 0;
    bool more = !both && strcmp(rule, "at_most") != 0 && strcmp(rule, "gain_at_most") != 0;
    struct interval_picture picture = { .value = html_real(gate, "value"),
                                        .low = html_real(gate, "low"),
                                        .high = html_real(gate, "high"),
                                        .bar = html_real(gate, "decided_at"),
                                        .more = more,
                                        .both = both };
    str_addf(&label, "value %.4g, interval %.4g to %.4g, bar %.4g", picture.value, picture.low,
             picture.high, picture.bar);
    picture.label = str_text(&label);
    scale_of(&picture);
    str_addf(out, "<article class=\"gate\"><div class=\"mark %s\">%s%s</div>", verdict,
             mark_of(verdict), verdict);
    gate_demand(page, gate, metric);
    str_add(out, "<div class=\"pic\">");
    html_interval(out, &picture);
    str_add(out, "</div>");
    gate_numbers(out, gate, metric);
    if (*verdict != 'p' || strcmp(html_word(gate, "reason"), "bound") != 0) {
        str_add(out, "<p class=\"because\">");
        gate_reason(out, gate);
        str_add(out, "</p>");
    }
    str_add(out, "</article>\n");
    str_release(&label);
}

void html_gates(struct page *page)
{
    static const char *const order[] = { "fail", "inconclusive", "pass" };
    static const char *const parts[] = { "quality", "measured" };
    str_add(page->out,
            "<section><h2>Gates</h2><p class=\"note\">The line is the interval, the dot "
            "the value, the dashed line the bar; the tinted side is right. A gate passes "
            "when its whole interval lies there.</p>");
    for (size_t v = 0; v < 3; v++) {
        for (size_t p = 0; p < 2; p++) {
            size_t index;
            json_t *gate;
            const json_t *gates = json_object_get(json_object_get(page->report, parts[p]), "gates");
            json_array_foreach(gates, index, gate)
            {
                if (strcmp(html_word(gate, "verdict"), order[v]) == 0) gate_card(page, gate);
            }
        }
    }
    str_add(page->out, "</section>\n");
}

void report_html(struct page *page)
{
    struct str *out = page->out;
    const json_t *inputs = json_object_get(page->report, "inputs");
    bool classes = page->scores->task == TASK_CLASSIFICATION;
    str_add(out, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta "
                 "name=\"viewport\" content=\"width=device-width,initial-scale=1\"><meta "
                 "name=\"color-scheme\" content=\"light dark\"><title>");
    markup_text(out, html_word(json_object_get(inputs, "suite"), "name"));
    str_add(out, ": ");
    str_add(out, html_word(json_object_get(page->report, "verdict"), "result"));
    str_add(out, "</title><style>\n");
    for (size_t i = 0; html_style[i]; i++) str_add(out, html_style[i]);
    str_add(out, "</style></head><body><main>\n");
    head(page);
    tiles(page);
    html_gates(page);
    html_values(page);
    html_slices(page);
    if (classes) {
        str_add(out, "<div class=\"two\">\n");
        html_confusion(page);
        if (!page->scores->subjects[0].hard) html_reliability(page);
        str_add(out, "</div>\n");
    }
    html_conditions(page);
    html_compare(page);
    html_examples(page);
    html_system(page);
    html_inputs(page);
    str_add(out, "</main></body></html>\n");
}
