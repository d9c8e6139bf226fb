/* Worst examples: the surest mistakes, or the largest errors, with what the model saw. */
#include "eval/html.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { EXAMPLES = 24, IMAGE_MOST = 512, FEATURES_SHOWN = 6 };

static void put_word(uint8_t *at, uint32_t word)
{
    for (int i = 0; i < 4; i++) at[i] = (uint8_t)(word >> (24 - 8 * i));
}

static void base64(struct str *out, const uint8_t *bytes, size_t len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < len; i += 3) {
        uint32_t word = (uint32_t)bytes[i] << 16;
        if (i + 1 < len) word |= (uint32_t)bytes[i + 1] << 8;
        if (i + 2 < len) word |= bytes[i + 2];
        str_add_char(out, digits[word >> 18]);
        str_add_char(out, digits[word >> 12 & 63]);
        str_add_char(out, i + 1 < len ? digits[word >> 6 & 63] : '=');
        str_add_char(out, i + 2 < len ? digits[word & 63] : '=');
    }
}

/* Length, type, data and CRC of one chunk (PNG, second edition, section 5.3). */
static void chunk(struct str *png, const char *type, const uint8_t *data, size_t len)
{
    uint8_t word[4];
    put_word(word, (uint32_t)len);
    str_add_len(png, word, 4);
    str_add_len(png, type, 4);
    str_add_len(png, data, len);
    uLong crc = crc32(0, (const Bytef *)type, 4);
    if (len) crc = crc32(crc, data, (uInt)len);
    put_word(word, (uint32_t)crc);
    str_add_len(png, word, 4);
}

void html_png(struct str *out, const uint8_t *pixels, int height, int width, int channels)
{
    static const uint8_t signature[] = { 0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n' };
    struct arena arena = { 0 };
    struct str png = { 0 };
    uint8_t header[13] = { 0 };
    put_word(header, (uint32_t)width);
    put_word(header + 4, (uint32_t)height);
    header[8] = 8;
    header[9] = channels == 3 ? 2 : 0; /* colour or grey */
    size_t row = (size_t)width * (size_t)channels, size = (row + 1) * (size_t)height;
    uint8_t *raw = arena_take(&arena, size); /* each row begins with filter 0 */
    for (int y = 0; y < height; y++)
        memcpy(raw + (size_t)y * (row + 1) + 1, pixels + (size_t)y * row, row);
    uLongf packed = compressBound((uLong)size);
    uint8_t *data = arena_take(&arena, packed);
    REQUIRE(compress2(data, &packed, raw, (uLong)size, 9) == Z_OK);
    str_add_len(&png, signature, sizeof signature);
    chunk(&png, "IHDR", header, sizeof header);
    chunk(&png, "IDAT", data, packed);
    chunk(&png, "IEND", (const uint8_t *)"", 0);
    str_add(out, "data:image/png;base64,");
    base64(out, (const uint8_t *)png.at, png.len);
    str_release(&png);
    arena_release(&arena);
}

struct worst {
    double badness;
    int64_t row;
};

static int by_badness(const void *a, const void *b)
{
    const struct worst *x = a, *y = b;
    if (x->badness != y->badness) return x->badness > y->badness ? -1 : 1;
    return x->row < y->row ? -1 : 1;
}

/* How bad a row is: confidence of a wrong answer, or the error; below 0: not shown. */
static double badness_of(const struct scores *scores, int64_t row)
{
    const struct subject *subject = &scores->subjects[0];
    if (scores->task == TASK_CLASSIFICATION) {
        if (subject->hard && subject->prediction[row] != scores->label[row]) return 0;
        if (subject->prediction[row] < 0) return 2;
        return subject->prediction[row] == scores->label[row] ? -1
                                                              : (double)subject->confidence[row];
    }
    if (subject->nll)
        return subject->nll[row] / (subject->tokens[row] > 0 ? subject->tokens[row] : 1);
    int kind = scores_kind(scores, metric_find("mae"), 0);
    double error = subject->score[kind][row];
    return isnan(error) ? HUGE_VAL : error;
}

static size_t find_worst(struct page *page, struct worst worst[EXAMPLES])
{
    const struct scores *scores = page->scores;
    struct worst *all = ARENA_ARRAY(page->arena, scores->n, struct worst);
    size_t count = 0;
    for (int64_t row = 0; row < scores->n; row++) {
        double badness = badness_of(scores, row);
        if (badness >= 0) all[count++] = (struct worst){ badness, row };
    }
    qsort(all, count, sizeof *all, by_badness);
    if (count > EXAMPLES) count = EXAMPLES;
    memcpy(worst, all, count * sizeof *all);
    return count;
}

static bool is_image(const struct column *input)
{
    return input->type == H5_U8 && input->rank == 4 && input->dim[1] <= IMAGE_MOST &&
           input->dim[2] <= IMAGE_MOST && (input->dim[3] == 1 || input->dim[3] == 3);
}

static void show_features(struct page *page, const struct column *input, const void *row)
{
    const float *values = row;
    size_t count = (size_t)(input->row_bytes / sizeof(float));
    if (input->type != H5_F32) return;
    str_add(page->out, "<small>");
    for (size_t f = 0; f < count && f < FEATURES_SHOWN; f++) {
        if (f) str_add(page->out, ", ");
        markup_text(page->out,
                    page->dataset->feature_names ? page->dataset->feature_names[f] : "x");
        str_addf(page->out, " %.4g", (double)values[f]);
    }
    str_add(page->out, count > FEATURES_SHOWN ? ", …</small><br>" : "</small><br>");
}

static void show_answer(struct page *page, int64_t row)
{
    struct str *out = page->out;
    const struct scores *scores = page->scores;
    const struct subject *subject = &scores->subjects[0];
    if (subject->nll) {
        str_addf(out, "<b>%.4g</b> nats in <b>%.0f</b> tokens", subject->nll[row],
                 subject->tokens[row]);
    } else if (scores->task == TASK_REGRESSION) {
        str_addf(out, "<b>%.4g</b> <span class=\"soft\">wanted %.4g</span>",
                 (double)subject->predicted[row * scores->width],
                 (double)scores->target[row * scores->width]);
    } else if (subject->prediction[row] < 0) {
        str_add(out, "<b>no finite output</b>");
    } else {
        str_add(out, "<b>");
        markup_text(out, html_class(page, subject->prediction[row]));
        if (!subject->hard) str_addf(out, " %.1f&nbsp;%%", 100 * (double)subject->confidence[row]);
        str_add(out, "</b><br><span class=\"soft\">is ");
        markup_text(out, html_class(page, scores->label[row]));
        str_add(out, "</span>");
    }
    str_addf(out, "<br><small>row %lld</small>", (long long)scores->id[row]);
}

/* The column of inputs that examples are shown by; NULL: predictions alone. */
static const struct column *input_of(const struct page *page)
{
    return page->split ? split_column(page->split, page->dataset->input) : NULL;
}

void html_examples_open(struct page *page)
{
    const struct column *input = input_of(page);
    str_addf(page->out, "<div class=\"examples%s\">", input && is_image(input) ? "" : " rows");
}

bool html_example(struct page *page, int64_t row)
{
    struct str *out = page->out;
    struct err ignored;
    const struct column *input = input_of(page);
    if (input && !page->row) page->row = arena_take(page->arena, (size_t)input->row_bytes);
    if (input && dataset_read(page->dataset, input, (uint64_t)row, 1, page->row, &ignored))
        return false;
    str_add(out, "<div class=\"example\">");
    if (input && is_image(input)) {
        str_add(out, "<img alt=\"\" src=\"");
        html_png(out, page->row, (int)input->dim[1], (int)input->dim[2], (int)input->dim[3]);
        str_add(out, "\">");
    } else if (input) {
        show_features(page, input, page->row);
    }
    show_answer(page, row);
    return true;
}

void html_examples(struct page *page)
{
    struct worst worst[EXAMPLES];
    size_t count = find_worst(page, worst);
    if (count == 0) return;
    bool classes = page->scores->task == TASK_CLASSIFICATION;
    str_addf(page->out, "<section><h2>Worst examples</h2><p class=\"note\">%s</p>",
             classes ? "Mistakes that the model was surest of." : "Rows with the largest errors.");
    html_examples_open(page);
    for (size_t i = 0; i < count; i++)
        if (html_example(page, worst[i].row)) str_add(page->out, "</div>");
    str_add(page->out, "</div></section>\n");
}
