/* Writing and reading of channels.json, and when which index.json is due. */
#include "registry/views.h"

#include "registry/checked.h"
#include "registry/commit.h"
#include "registry/oci.h"
#include "registry/snapshot.h"

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
    enum code code = fs_read(&arena, &bytes, path, VIEW_LIMIT, err);
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

const json_t *channels_view_row(const struct channels_view *view, const char *model,
                                const char *channel)
{
    const json_t *models = json_object_get(view->json, "channels");
    return json_object_get(json_object_get(models, model), channel);
}

static bool changed_since(const struct model_line *model, int64_t seq)
{
    if (model->versions[model->version_count - 1].seq > seq) return true;
    for (size_t c = 0; c < model->channel_count; c++)
        if (channel_now(&model->channels[c])->seq > seq) return true;
    return false;
}

static enum code write_once(const struct registry *registry, int64_t since, struct err *err)
{
    const struct state *state = &registry->state;
    for (size_t m = 0; m < state->model_count; m++)
        if (changed_since(&state->models[m], since))
            TRY(oci_index_write(registry, &state->models[m], err));
    struct arena arena = { 0 };
    json_t *json = channels_view_of(state);
    struct bytes bytes = checked_render(&arena, json);
    enum code code = fs_publish_view(view_path(&arena, registry), bytes.at, bytes.len, err);
    json_decref(json);
    arena_release(&arena);
    return code;
}

static enum code write_until_equal(struct registry *registry, int64_t since, struct err *err)
{
    int64_t written;
    do {
        written = registry->state.head.seq;
        TRY(write_once(registry, since, err));
        TRY(registry_refresh(registry, err));
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
    struct channels_view view;
    int64_t since = 0;
    if (channels_view_read(registry, &view, NULL) == OK) {
        since = view.head.seq;
        channels_view_release(&view);
    }
    TRY(write_until_equal(registry, since, err));
    return snapshot_write(registry, SNAPSHOT_LATE, err);
}
