/* A model's page: its channels, each version with its files, reports and documents, its history. */
#include "registry/html_internal.h"

#include "base/units.h"
#include "eval/markup.h"
#include "registry/commit.h"

#include <string.h>

static void put_size(struct site *site, uint64_t size)
{
    char text[UNITS_TEXT];
    markup_text(&site->page, units_bytes_text(text, (double)size));
}

/* Copies a document under a name that follows from its content; NULL where it is too large. What is
 * shown in place is what browsers show as text. */
static enum code copy_document(struct site *site, const char **link, const struct oci_layer *part,
                               struct err *err)
{
    char text[DIGEST_TEXT];
    struct bytes bytes;
    *link = NULL;
    if (part->size > HTML_DOCUMENT || strcmp(part->name, "scores.h5") == 0) return OK;
    digest_text(&part->digest, text);
    *link = arena_format(&site->arena, "documents/%.16s.%s", text + strlen("sha256:"), part->name);
    const char *path = path_join(&site->arena, site->out, *link);
    if (fs_exists(path)) return OK;
    TRY(store_read(&site->registry->store, &site->arena, &bytes, &part->digest, HTML_DOCUMENT,
                   err));
    return fs_publish_view(path, bytes.at, bytes.len, err);
}

static enum code put_document(struct site *site, const struct document_row *row, struct err *err)
{
    struct str *page = &site->page;
    for (int p = 0; p < row->part_count; p++) {
        const char *link;
        char digest[DIGEST_TEXT];
        const struct oci_layer *part = &row->parts[p];
        TRY(copy_document(site, &link, part, err));
        str_add(page, "<div class=\"row file\"><span>");
        if (link) {
            str_add(page, "<a href=\"");
            markup_text(page, link);
            str_add(page, "\">");
        }
        html_put(site, part->name);
        if (link) str_add(page, "</a>");
        str_addf(page, " <span class=\"soft\">%s%s</span></span><span>", document_name(row->type),
                 row->is_signed ? ", signed" : "");
        put_size(site, part->size);
        str_add(page, "</span>");
        html_digest(site, digest_text(&part->digest, digest));
        str_add(page, "</div>\n");
    }
    return OK;
}

static enum code put_documents(struct site *site, const struct version *version, struct err *err)
{
    struct document_row *rows;
    size_t count;
    TRY(documents_read(&site->arena, &rows, &count, site->registry, &version->evidence, err));
    str_add(&site->page, "<h3>Documents</h3>\n");
    for (size_t i = 0; i < count; i++) TRY(put_document(site, &rows[i], err));
    if (!count) str_add(&site->page, "<p class=\"soft\">none</p>\n");
    return OK;
}

static enum code put_files(struct site *site, const struct version *version, struct err *err)
{
    struct oci_version files;
    char digest[DIGEST_TEXT];
    TRY(oci_read(site->registry, &files, &version->digest, err));
    str_add(&site->page, "<details><summary>Files</summary>\n");
    for (int i = 0; i < files.layer_count; i++) {
        str_addf(&site->page, "<div class=\"row file\"><span>%s</span><span>",
                 files.layers[i].name);
        put_size(site, files.layers[i].size);
        str_add(&site->page, "</span>");
        html_digest(site, digest_text(&files.layers[i].digest, digest));
        str_add(&site->page, "</div>\n");
    }
    str_add(&site->page, "</details>\n");
    return OK;
}

static void put_reports(struct site *site, const struct version *version)
{
    const struct state *state = &site->registry->state;
    struct str *page = &site->page;
    char digest[DIGEST_TEXT];
    for (size_t i = 0; i < state->report_count; i++) {
        const struct report_note *report = &state->reports[i];
        if (!digest_equal(&report->model_digest, &version->model_digest)) continue;
        str_addf(page, "<p>Report <span class=\"tag %s\">%s</span> entry %lld, suite ",
                 report->verdict, report->verdict, (long long)report->seq);
        html_digest(site, digest_text(&report->suite, digest));
        if (report->seal)
            str_addf(page, ", sealed before in entry %lld</p>\n", (long long)report->seal);
        else
            str_add(page, ", <span class=\"soft\">not sealed before</span></p>\n");
    }
}

static void put_facts(struct site *site, const json_t *facts)
{
    static const struct {
        const char *name, *object, *key;
    } rows[] = {
        { "run", NULL, "name" },
        { "configuration", NULL, "config_digest" },
        { "data", "data", "digest" },
        { "data file", "data", "path" },
        { "program", NULL, "build" },
        { "started", NULL, "started" },
        { "device", "device", "name" },
        { "precision", "device", "precision" },
        { "imported from", NULL, "source" },
    };
    str_add(&site->page, "<dl>\n");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const json_t *object = rows[i].object ? json_object_get(facts, rows[i].object) : facts;
        if (!*member_text(object, rows[i].key)) continue;
        str_addf(&site->page, "<dt>%s</dt><dd>", rows[i].name);
        html_member(site, object, rows[i].key);
        str_add(&site->page, "</dd>\n");
    }
    str_add(&site->page, "</dl>\n");
}

static void put_title(struct site *site, const struct model_line *model,
                      const struct version *version)
{
    struct str *page = &site->page;
    str_addf(page, "<section id=\"v%lld\"><h2>%s@%lld", (long long)version->number, model->name,
             (long long)version->number);
    for (size_t c = 0; c < model->channel_count; c++)
        if (channel_now(&model->channels[c])->number == version->number)
            str_addf(page, "<span class=\"tag\">%s</span>", model->channels[c].name);
    str_add(page, "</h2><p class=\"note\">");
    html_put(site, version->time);
    str_add(page, " by ");
    html_put(site, version->actor);
    str_addf(page, ", entry %lld</p>\n", (long long)version->seq);
}

static enum code put_version(struct site *site, const struct model_line *model,
                             const struct version *version, struct err *err)
{
    struct entry entry;
    char digest[DIGEST_TEXT];
    TRY(journal_read(&site->registry->journal, &entry, version->seq, err));
    put_title(site, model, version);
    if (*entry.reason) {
        str_add(&site->page, "<p>");
        html_put(site, entry.reason);
        str_add(&site->page, "</p>\n");
    }
    put_reports(site, version);
    str_add(&site->page, "<p class=\"soft\">version <code>");
    str_add(&site->page, digest_text(&version->digest, digest));
    str_add(&site->page, "</code><br>model <code>");
    str_add(&site->page, digest_text(&version->model_digest, digest));
    str_add(&site->page, "</code></p>\n");
    put_facts(site, json_object_get(entry.body, "facts"));
    entry_release(&entry);
    TRY(put_documents(site, version, err));
    TRY(put_files(site, version, err));
    str_add(&site->page, "</section>\n");
    return OK;
}

enum code html_model(struct site *site, const struct model_line *model, struct err *err)
{
    size_t shown = 0;
    html_begin(site, model->name);
    str_addf(&site->page,
             "<nav><a href=\"index.html\">All models</a></nav>\n"
             "<div class=\"head site\"><h1>%s</h1>",
             model->name);
    str_addf(&site->page, "<p class=\"soft\">%zu version%s</p></div>\n", model->version_count,
             model->version_count == 1 ? "" : "s");
    html_channels(site, model);
    for (size_t i = model->version_count; i-- > 0 && shown < HTML_VERSIONS; shown++)
        TRY(put_version(site, model, &model->versions[i], err));
    if (shown < model->version_count)
        str_addf(&site->page, "<section><p class=\"note\">and %zu older versions</p></section>\n",
                 model->version_count - shown);
    html_history(site, model->name);
    return html_end(site, arena_format(&site->arena, "model-%s.html", model->name), err);
}
