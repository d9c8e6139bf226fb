/* Writing and reading of channels.json, and when which index.json is due. */
#include "registry/views.h"

#include "registry/checked.h"
#include "registry/commit.h"
#include "registry/oci.h"
#include "registry/snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Writing the snapshot costs more than an entry: readers put what is behind it on top. */
enum { VIEW_LIMIT = 64 << 20, SNAPSHOT_LATE = 512 };

static char *view_path(struct arena *arena, const struct registry *registry)
{
    return arena_format(arena, "%s/cache/channels.json", registry->dir);
}

static json_t *row_of(const struct model_line *model, const struct channel *channel)
{
    const struct move *now = channel_now(channel);
    const struct version *version = model_version(model, now->number);
    json_t *row = json_pack("{sI sI}", "number", (json_int_t)now->number, "seq",
                            (json_int_t)now->seq);
    json_set_digest(row, "digest", &version->digest);
    json_set_digest(row, "model_digest", &version->model_digest);
    json_set_digest(row, "entry", &now->entry);
    return row;
}

json_t *channels_view_of(const struct state *state)
{
    json_t *models = json_object();
    for (size_t m = 0; m < state->model_count; m++) {
        const struct model_line *model = &state->models[m];
        if (!model->channel_count) continue;
        json_t *rows = json_object();
        for (size_t c = 0; c < model->channel_count; c++)
            json_object_set_new(rows, model->channels[c].name, row_of(model, &model->channels[c]));
        json_object_set_new(models, model->name, rows);
    }
    json_t *json = json_pack("{ss so sI}", "pawl", "channels/1", "channels", models, "seq",
                             (json_int_t)state->head.seq);
    json_set_digest(json, "entry", &state->head.digest);
    json_set_digest(json, "id", &state->id);
    return json;
}

static bool usable(const struct registry *registry, struct channels_view *view,
                   const struct bytes *bytes)
{
    struct digest id;
    json_int_t seq = json_integer_value(json_object_get(view->json, "seq"));
    const char *entry = json_string_value(json_object_get(view->json, "entry"));
    view->head.seq = seq;
    return checked_holds(bytes, view->json) &&
           digest_parse(&id, json_string_value(json_object_get(view->json, "id"))) &&
           digest_equal(&id, &registry->id) && seq > 0 && digest_parse(&view->head.digest, entry);
}

enum code channels_view_read(const struct registry *registry, struct channels_view *view,
                             struct err *err)
{
    struct arena arena = { 0 };
    struct bytes bytes;
    const char *path = view_path(&arena, registry);
    memset(view, 0, sizeof *view);
    enum code code = fs_read_own(&arena, &bytes, path, VIEW_LIMIT, err);
    if (!code) code = json_parse(&view->json, bytes.at, bytes.len, path, err);
    if (!code && !usable(registry, view, &bytes))
        code = err_set(err, NOT_FOUND, "view '%s' is damaged or of another registry", path);
    if (code) channels_view_release(view);
    arena_release(&arena);
    return code ? NOT_FOUND : OK;
}

void channels_view_release(struct channels_view *view)
{
    json_decref(view->json);
    memset(view, 0, sizeof *view);
}

/* The value of a member of an object in canonical form whose strings need no escapes (names and
 * digests): what lies behind the object's brace. NULL when it has none of this name. */
static struct bytes member_of(struct bytes object, const char *name)
{
    const char *at = object.at, *end = object.at + object.len;
    size_t len = strlen(name);
    while (at < end && *at == '"') {
        const char *quote = memchr(at + 1, '"', (size_t)(end - at - 1)), *value;
        if (!quote || quote + 2 > end || quote[1] != ':') break;
        bool wanted = (size_t)(quote - at - 1) == len && memcmp(at + 1, name, len) == 0;
        int depth = 0;
        bool text = false;
        for (at = value = quote + 2; at < end; at++) {
            text ^= *at == '"';
            if (text) continue;
            if (depth == 0 && (*at == ',' || *at == '}')) break;
            depth += (*at == '{') - (*at == '}');
        }
        if (wanted) return (struct bytes){ .at = value, .len = (size_t)(at - value) };
        at++;
    }
    return (struct bytes){ 0 };
}

/* What lies behind the object's brace. */
static struct bytes inside(struct bytes object)
{
    bool is_object = object.len > 1 && *object.at == '{';
    return is_object ? (struct bytes){ .at = object.at + 1, .len = object.len - 1 }
                     : (struct bytes){ 0 };
}

/* The members behind `channels`, as a document: few bytes at the end of the file. */
static json_t *read_tail(struct arena *arena, const struct bytes *file)
{
    static const char mark[] = ",\"entry\":";
    json_t *tail = NULL;
    const char *at = NULL, *end = file->at + file->len;
    size_t least = file->len > 1024 ? file->len - 1024 : 0;
    for (const char *c = file->at + least; (c = memmem(c, (size_t)(end - c), mark, strlen(mark)));)
        at = c++;
    if (!at) return NULL;
    const char *text = arena_format(arena, "{%s", at + 1);
    return json_parse(&tail, text, strlen(text), "channels.json", NULL) ? NULL : tail;
}

enum code channels_view_look(const struct registry *registry, struct head *head, json_t **row,
                             const char *model, const char *channel)
{
    struct arena arena = { 0 };
    struct bytes file;
    struct channels_view view = { 0 };
    if (row) *row = NULL;
    enum code code = fs_read_own(&arena, &file, view_path(&arena, registry), VIEW_LIMIT, NULL);
    if (!code) {
        view.json = read_tail(&arena, &file);
        code = view.json && usable(registry, &view, &file) ? OK : NOT_FOUND;
        *head = view.head;
    }
    if (!code && model) {
        struct bytes rows = inside(member_of(inside(file), "channels"));
        struct bytes found = member_of(inside(member_of(rows, model)), channel);
        if (found.len) json_parse(row, found.at, found.len, "channels.json", NULL);
    }
    json_decref(view.json);
    arena_release(&arena);
    return code ? NOT_FOUND : OK;
}

static bool changed_since(const struct model_line *model, int64_t seq)
{
    if (model->versions[model->version_count - 1].seq > seq) return true;
    if (model->evidence_seq > seq) return true;
    for (size_t c = 0; c < model->channel_count; c++)
        if (channel_now(&model->channels[c])->seq > seq) return true;
    return false;
}

static void add_row(struct str *out, const struct model_line *model, const struct channel *channel)
{
    const struct move *now = channel_now(channel);
    const struct version *version = model_version(model, now->number);
    char text[DIGEST_TEXT], numbers[64];
    str_add_char(out, '"'); /* piece by piece: formats cost more than all the rest of a promotion */
    str_add(out, channel->name);
    str_add(out, "\":{\"digest\":\"");
    str_add_len(out, digest_text(&version->digest, text), DIGEST_TEXT - 1);
    str_add(out, "\",\"entry\":\"");
    str_add_len(out, digest_text(&now->entry, text), DIGEST_TEXT - 1);
    str_add(out, "\",\"model_digest\":\"");
    str_add_len(out, digest_text(&version->model_digest, text), DIGEST_TEXT - 1);
    snprintf(numbers, sizeof numbers, "\",\"number\":%lld,\"seq\":%lld}", (long long)now->number,
             (long long)now->seq);
    str_add(out, numbers);
}

static int by_channel_name(const void *a, const void *b)
{
    const struct channel *const *left = a, *const *right = b;
    return strcmp((*left)->name, (*right)->name);
}

static void add_rows(struct str *out, struct arena *arena, const struct model_line *model)
{
    const struct channel **sorted = ARENA_ARRAY(arena, model->channel_count,
                                                const struct channel *);
    for (size_t c = 0; c < model->channel_count; c++) sorted[c] = &model->channels[c];
    qsort(sorted, model->channel_count, sizeof *sorted, by_channel_name);
    for (size_t c = 0; c < model->channel_count; c++) {
        if (c) str_add_char(out, ',');
        add_row(out, model, sorted[c]);
    }
}

/* The file of channels_view_of, written straight down: every promotion writes all rows. Names and
 * digests need no escapes, models are sorted. */
void channels_view_text(struct str *out, const struct state *state)
{
    struct arena arena = { 0 };
    char texts[3][DIGEST_TEXT];
    bool begun = false;
    str_add(out, "{\"channels\":{");
    for (size_t m = 0; m < state->model_count; m++) {
        const struct model_line *model = &state->models[m];
        if (!model->channel_count) continue;
        str_addf(out, "%s\"%s\":{", begun ? "," : "", model->name);
        add_rows(out, &arena, model);
        str_add_char(out, '}');
        begun = true;
    }
    str_addf(out, "},\"entry\":\"%s\",\"id\":\"%s\",\"pawl\":\"channels/1\",",
             digest_text(&state->head.digest, texts[0]), digest_text(&state->id, texts[1]));
    char tail[64];
    int len = snprintf(tail, sizeof tail, "\"seq\":%lld}\n", (long long)state->head.seq);
    struct sha256 sha;
    struct digest self;
    sha256_begin(&sha); /* of the file without `self` */
    sha256_add(&sha, out->at, out->len);
    sha256_add(&sha, tail, (size_t)len);
    sha256_end(&sha, &self);
    str_addf(out, "\"self\":\"%s\",%s", digest_text(&self, texts[2]), tail);
    arena_release(&arena);
}

static enum code write_once(const struct registry *registry, int64_t since, struct err *err)
{
    const struct state *state = &registry->state;
    for (size_t m = 0; m < state->model_count; m++)
        if (changed_since(&state->models[m], since))
            TRY(oci_index_write(registry, &state->models[m], err));
    struct arena arena = { 0 };
    struct str text = { 0 };
    channels_view_text(&text, state);
    enum code code = fs_publish_view(view_path(&arena, registry), text.at, text.len, err);
    str_release(&text);
    arena_release(&arena);
    return code;
}

static enum code write_until_equal(struct registry *registry, int64_t since, struct err *err)
{
    int64_t written;
    do {
        written = registry->state.head.seq;
        TRY(write_once(registry, since, err));
        TRY(registry_read_on(registry, err)); /* the view is the one just written */
    } while (registry->state.head.seq != written);
    return OK;
}

enum code views_rebuild(struct registry *registry, struct err *err)
{
    TRY(write_until_equal(registry, 0, err));
    return snapshot_write(registry, 0, err);
}

enum code views_write(struct registry *registry, struct err *err)
{
    struct head head;
    int64_t since = channels_view_look(registry, &head, NULL, NULL, NULL) ? 0 : head.seq;
    TRY(write_until_equal(registry, since, err));
    return snapshot_write(registry, SNAPSHOT_LATE, err);
}
