/* Pages of a registry: the frame, the index, and the lists that several pages have. */
#include "registry/html.h"

#include "base/utf8.h"
#include "eval/html.h"
#include "registry/html_internal.h"

#include <stdlib.h>
#include <string.h>

#define GENERATOR "<meta name=\"generator\" content=\"pawl registry html\">"

/* Rows that are a table on wide screens and a stack on narrow ones. */
static const char site_style[] =
    ".row{display:grid;gap:.1rem .9rem;padding:.5rem 0;border-top:1px solid var(--line);"
    "font-size:.9rem}\n"
    ".row>*{min-width:0;overflow-wrap:anywhere}\n"
    ".row.entry{grid-template-columns:4.5rem 11.5rem 6.5rem minmax(0,1fr)}\n"
    ".row.channel{grid-template-columns:minmax(0,1fr) 9rem 11.5rem minmax(0,1.4fr)}\n"
    ".row.model{grid-template-columns:minmax(0,1fr) 7rem minmax(0,1.4fr)}\n"
    ".row.file{grid-template-columns:minmax(0,1fr) 6rem 12rem}\n"
    "a{color:var(--model);text-decoration:none}a:hover,a:focus{text-decoration:underline}\n"
    "nav{margin:0 0 .8rem;font-size:.9rem}\n"
    ".tag.pass{color:var(--pass);border-color:var(--pass)}"
    ".tag.fail{color:var(--fail);border-color:var(--fail)}"
    ".tag.inconclusive{color:var(--open);border-color:var(--open)}\n"
    "h2 .tag{vertical-align:2px}\n"
    "details>summary{cursor:pointer;margin:.6rem 0 .2rem;color:var(--soft);font-size:.9rem}\n"
    ".tag{overflow-wrap:anywhere;white-space:normal}\n"
    "main{overflow-wrap:anywhere}\n"
    ".head.site{display:block;border-left-color:var(--model)}\n"
    "section h3{margin:.9rem 0 .3rem}\n"
    "@media(max-width:720px){\n"
    "dl{grid-template-columns:7rem minmax(0,1fr)}dd{margin:0}\n"
    ".row.entry{grid-template-columns:2.2rem auto minmax(0,1fr)}\n"
    ".row.channel,.row.model,.row.file{grid-template-columns:auto minmax(0,1fr)}\n"
    ".row.entry>:last-child,.row.channel>:last-child,.row.model>:last-child,"
    ".row.file>:first-child{grid-column:1/-1}\n"
    "}\n"
    "@media print{details>*{display:block}a{color:inherit}section{break-inside:auto}"
    ".row{break-inside:avoid}}\n";

void html_put(struct site *site, const char *text)
{
    char *copy = arena_copy(&site->arena, text);
    utf8_make_printable(copy);
    str_add(&site->page, "<bdi>");
    markup_text(&site->page, copy);
    str_add(&site->page, "</bdi>");
}

void html_member(struct site *site, const json_t *json, const char *key)
{
    html_put(site, member_text(json, key));
}

void html_digest(struct site *site, const char *digest)
{
    str_add(&site->page, "<code title=\"");
    markup_text(&site->page, digest);
    str_add(&site->page, "\">");
    markup_text(&site->page, arena_copy_len(&site->arena, digest, strnlen(digest, 19)));
    str_add(&site->page, "</code>");
}

void html_begin(struct site *site, const char *title)
{
    struct str *page = &site->page;
    str_clear(page);
    str_add(page, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">" GENERATOR
                  "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><meta "
                  "name=\"color-scheme\" content=\"light dark\"><title>");
    markup_text(page, title);
    str_add(page, "</title><style>\n");
    for (size_t i = 0; html_style[i]; i++) str_add(page, html_style[i]);
    str_add(page, site_style);
    str_add(page, "</style></head><body><main>\n");
}

enum code html_end(struct site *site, const char *name, struct err *err)
{
    str_add(&site->page, "</main></body></html>\n");
    enum code code = fs_publish_view(path_join(&site->arena, site->out, name), site->page.at,
                                     site->page.len, err);
    arena_release(&site->arena);
    site->pages++;
    return code;
}

/* "fashion@7", with a link to its place where it is a version. */
static void put_subject(struct site *site, const char *subject)
{
    const char *at = strchr(subject, '@');
    bool version = at && strspn(at + 1, "0123456789") == strlen(at + 1);
    if (version)
        str_addf(&site->page, "<a href=\"model-%.*s.html#v%s\">", (int)(at - subject), subject,
                 at + 1);
    html_put(site, strncmp(subject, "sha256:", 7) == 0
                       ? arena_copy_len(&site->arena, subject, strnlen(subject, 19))
                       : subject);
    if (version) str_add(&site->page, "</a>");
}

static void put_entry(struct site *site, const json_t *entry)
{
    struct str *page = &site->page;
    const char *verdict = member_text(entry, "verdict"), *channel = member_text(entry, "channel");
    str_addf(page, "<div class=\"row entry\"><span class=\"soft\">%lld</span><span class=\"soft\">",
             (long long)json_integer_value(json_object_get(entry, "seq")));
    html_member(site, entry, "time");
    str_add(page, "</span><b>");
    html_member(site, entry, "kind");
    str_add(page, "</b><span>");
    put_subject(site, member_text(entry, "subject"));
    if (*channel) {
        str_add(page, " → ");
        html_put(site, channel);
    }
    if (*verdict) {
        str_add(page, " <span class=\"tag ");
        markup_text(page, verdict);
        str_add(page, "\">");
        html_put(site, verdict);
        str_add(page, "</span>");
    }
    str_add(page, " <span class=\"soft\">by ");
    html_member(site, entry, "actor");
    if (*member_text(entry, "reason")) {
        str_add(page, ": ");
        html_member(site, entry, "reason");
    }
    str_add(page, "</span></span></div>\n");
}

static bool about(const json_t *entry, const char *model)
{
    const char *subject = member_text(entry, "subject");
    size_t len = model ? strlen(model) : 0;
    return !model || (strncmp(subject, model, len) == 0 && subject[len] == '@');
}

void html_history(struct site *site, const char *model)
{
    size_t shown = 0, left = 0;
    str_add(&site->page, "<section id=\"history\"><h2>History</h2><p class=\"note\">What was done, "
                         "the newest first.</p>\n");
    for (size_t i = json_array_size(site->entries); i-- > 0;) {
        const json_t *entry = json_array_get(site->entries, i);
        if (!about(entry, model)) continue;
        if (shown < HTML_ENTRIES)
            put_entry(site, entry);
        else
            left++;
        shown++;
    }
    if (left) str_addf(&site->page, "<p class=\"note\">and %zu older entries</p>\n", left);
    if (!shown) str_add(&site->page, "<p>nothing yet</p>\n");
    str_add(&site->page, "</section>\n");
}

static void put_channel(struct site *site, const struct model_line *model,
                        const struct channel *channel)
{
    const struct move *now = channel_now(channel);
    struct str *page = &site->page;
    str_addf(page, "<div class=\"row channel\"><b>%s@%s</b><a href=\"model-%s.html#v%lld\">",
             model->name, channel->name, model->name, (long long)now->number);
    str_addf(page, "%s@%lld</a><span class=\"soft\">", model->name, (long long)now->number);
    html_put(site, now->time);
    str_addf(page, "</span><span class=\"soft\">entry %lld by ", (long long)now->seq);
    html_put(site, now->actor);
    if (*now->reason) {
        str_add(page, ": ");
        html_put(site, now->reason);
    }
    str_add(page, "</span></div>\n");
}

void html_channels(struct site *site, const struct model_line *model)
{
    const struct state *state = &site->registry->state;
    size_t shown = 0;
    str_add(&site->page, "<section id=\"channels\"><h2>Channels</h2><p class=\"note\">Which "
                         "version each one holds, since when and why.</p>\n");
    for (size_t m = 0; m < state->model_count; m++) {
        const struct model_line *line = &state->models[m];
        for (size_t c = 0; (!model || line == model) && c < line->channel_count; c++, shown++)
            put_channel(site, line, &line->channels[c]);
    }
    if (!shown) str_add(&site->page, "<p>none was moved yet</p>\n");
    str_add(&site->page, "</section>\n");
}

static void put_models(struct site *site)
{
    const struct state *state = &site->registry->state;
    struct str *page = &site->page;
    str_add(page, "<section id=\"models\"><h2>Models</h2>\n");
    for (size_t m = 0; m < state->model_count; m++) {
        const struct model_line *model = &state->models[m];
        const struct version *newest = &model->versions[model->version_count - 1];
        str_addf(page,
                 "<div class=\"row model\"><b><a href=\"model-%s.html\">%s</a></b>"
                 "<span>%zu version%s</span><span class=\"soft\">newest %s@%zu, ",
                 model->name, model->name, model->version_count,
                 model->version_count == 1 ? "" : "s", model->name, model->version_count);
        html_put(site, newest->time);
        str_add(page, " by ");
        html_put(site, newest->actor);
        str_add(page, "</span></div>\n");
    }
    if (!state->model_count) str_add(page, "<p>none yet</p>\n");
    str_add(page, "</section>\n");
}

static enum code index_page(struct site *site, struct err *err)
{
    const struct state *state = &site->registry->state;
    struct str *page = &site->page;
    char id[DIGEST_TEXT], head[DIGEST_TEXT];
    size_t versions = 0, channels = 0;
    for (size_t m = 0; m < state->model_count; m++) {
        versions += state->models[m].version_count;
        channels += state->models[m].channel_count;
    }
    html_begin(site, "Registry");
    str_add(page, "<div class=\"head site\"><h1>Registry ");
    html_put(site, path_base(site->registry->dir));
    str_add(page, "</h1><p class=\"soft\">id ");
    html_digest(site, digest_text(&state->id, id));
    str_addf(page, ", head %lld ", (long long)state->head.seq);
    html_digest(site, digest_text(&state->head.digest, head));
    str_add(page, state->open ? ", integrity only: it has no keys</p></div>\n" : "</p></div>\n");
    str_addf(page,
             "<div class=\"tiles\"><div class=\"tile\"><b>%zu</b><span>models</span></div>"
             "<div class=\"tile\"><b>%zu</b><span>versions</span></div>"
             "<div class=\"tile\"><b>%zu</b><span>channels</span></div>"
             "<div class=\"tile\"><b>%zu</b><span>reports</span></div></div>\n",
             state->model_count, versions, channels, state->report_count);
    put_models(site);
    html_channels(site, NULL);
    html_history(site, NULL);
    return html_end(site, "index.html", err);
}

/* Pages of another kind are not written over, and nothing is written into a registry. */
static enum code check_place(const char *out, struct err *err)
{
    struct arena arena = { 0 };
    struct bytes bytes = { 0 };
    const char *index = path_join(&arena, out, "index.html");
    enum code code = OK;
    if (fs_exists(path_join(&arena, out, "registry.json")) ||
        fs_exists(path_join(&arena, out, "oci-layout"))) {
        code = err_set(err, CONFLICT, "cannot write pages into '%s': it is a registry's", out);
    } else if (fs_exists(index)) {
        code = fs_read(&arena, &bytes, index, 64 << 20, err);
        if (!code && !memmem(bytes.at, bytes.len, GENERATOR, strlen(GENERATOR)))
            code = err_set(err, CONFLICT, "cannot write pages into '%s': it has others", out);
    }
    if (code == CONFLICT) err_hint(err, "Name another folder with --out.");
    arena_release(&arena);
    return code;
}

enum code registry_html(struct registry *registry, int64_t *pages, const char *out, struct err *err)
{
    struct site site = { .registry = registry, .out = out };
    struct arena arena = { 0 };
    json_t *history = NULL;
    enum code code = check_place(out, err);
    if (!code) code = registry_history(registry, &history, NULL, NULL, err);
    if (!code) code = fs_mkdirs(path_join(&arena, out, "documents"), err);
    site.entries = json_object_get(history, "entries");
    for (size_t m = 0; !code && m < registry->state.model_count; m++)
        code = html_model(&site, &registry->state.models[m], err);
    if (!code) code = index_page(&site, err);
    *pages = site.pages;
    json_decref(history);
    str_release(&site.page);
    arena_release(&site.arena);
    arena_release(&arena);
    return code;
}
