/* The pieces of report.html (internal to eval/). */
#ifndef PAWL_EVAL_HTML_H
#define PAWL_EVAL_HTML_H

#include "eval/markup.h"
#include "eval/report_parts.h"

/* What the page is made from. */
struct page {
    struct str *out;
    struct arena *arena;
    const json_t *report;
    const struct scores *scores;
    const struct dataset *dataset;
    const struct split *split;
    void *row; /* room for one row of inputs, once it is needed */
};

/* The name of a slice, of a class by its name. */
void html_slice(struct page *page, const char *slice);
const char *html_class(const struct page *page, int64_t label);

/* Members of report objects: "" and NaN where there is none. */
const char *html_word(const json_t *json, const char *key);
double html_real(const json_t *json, const char *key);

/* The style sheet, in pieces that end with NULL. */
extern const char *const html_style[];

/* An interval as a picture: value, bounds and bar on a scale from `from` to `to`. NaN: not drawn;
 * `more`: the right side of the bar is above it. */
struct interval_picture {
    double value, low, high, bar, from, to;
    bool more, both;   /* both: right is from -bar to bar */
    const char *label; /* read aloud instead of the picture */
};
void html_interval(struct str *out, const struct interval_picture *picture);

/* Sections of the page. */
void html_gates(struct page *page);
void html_values(struct page *page);
void html_slices(struct page *page);
void html_confusion(struct page *page);
void html_reliability(struct page *page);
void html_system(struct page *page);
void html_inputs(struct page *page);
void html_conditions(struct page *page);
/* Reads rows of the dataset; what cannot be read is left out. */
void html_examples(struct page *page);
/* Each baseline beside the model, row by row. */
void html_compare(struct page *page);
/* Opens a list of examples, and one of them (its <div> is left open; false: it cannot be read). */
void html_examples_open(struct page *page);
bool html_example(struct page *page, int64_t row);

/* An image of u8 pixels [height, width, channels] (1 or 3 channels) as a PNG data URI. */
void html_png(struct str *out, const uint8_t *pixels, int height, int width, int channels);

/* The whole page. */
void report_html(struct page *page);

#endif
