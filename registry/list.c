/* What the registry holds, straight from the snapshot's rows: as a document and as lines. */
#include "registry/snapshot.h"

#include "registry/commit.h"

#include <stdio.h>
#include <string.h>

json_t *snapshot_version_json(const struct snapshot *s, const struct snap_version *version)
{
    const struct snap_model *model = &s->models[version->model];
    json_t *channels = json_array();
    for (uint32_t c = 0; c < model->channel_count; c++) {
        const struct snap_channel *channel = &s->channels[model->first_channel + c];
        if (channel->number == version->number)
            json_array_append_new(channels, json_string(snapshot_text(s, channel->name)));
    }
    json_t *json = json_pack("{ss sI sI ss ss so}", "model", snapshot_text(s, model->name),
                             "number", (json_int_t)version->number, "seq", (json_int_t)version->seq,
                             "actor", snapshot_text(s, version->actor), "time",
                             snapshot_text(s, version->time), "channels", channels);
    json_set_digest(json, "digest", &version->digest);
    json_set_digest(json, "model_digest", &version->model_digest);
    return json;
}

json_t *snapshot_channel_json(const struct snapshot *s, const struct snap_channel *channel)
{
    const struct snap_model *model = &s->models[channel->model];
    json_t *json = json_pack(
        "{ss ss sI sI ss ss ss}", "model", snapshot_text(s, model->name), "channel",
        snapshot_text(s, channel->name), "number", (json_int_t)channel->number, "seq",
        (json_int_t)channel->seq, "actor", snapshot_text(s, channel->actor), "reason",
        snapshot_text(s, channel->reason), "time", snapshot_text(s, channel->time));
    if (channel->number && channel->number <= model->version_count)
        json_set_digest(json, "digest",
                        &s->versions[model->first_version + channel->number - 1].digest);
    return json;
}

enum code snapshot_open_span(struct registry *registry, struct snapshot *s, struct row_range *span,
                             const char *name, struct err *err)
{
    const struct model_line *only;
    TRY(snapshot_open(registry, s, err));
    *span = (struct row_range){ .to = s->model_count };
    const struct snap_model *model = name ? snapshot_model(s, name) : NULL;
    if (model) {
        span->from = (uint32_t)(model - s->models);
        span->to = span->from + 1;
    }
    if (!name || model) return OK;
    snapshot_close(s);
    TRY(registry_refresh(registry, err));
    return state_find_model(&registry->state, &only, name, err); /* with the nearest name */
}

enum code registry_list(struct registry *registry, json_t **list, const char *name, struct err *err)
{
    struct snapshot s;
    struct row_range span;
    *list = NULL;
    TRY(snapshot_open_span(registry, &s, &span, name, err));
    json_t *versions = json_array(), *channels = json_array();
    for (uint32_t m = span.from; m < span.to; m++) {
        const struct snap_model *model = &s.models[m];
        for (uint32_t i = 0; i < model->version_count; i++)
            json_array_append_new(versions,
                                  snapshot_version_json(&s, &s.versions[model->first_version + i]));
        for (uint32_t i = 0; i < model->channel_count; i++)
            json_array_append_new(channels,
                                  snapshot_channel_json(&s, &s.channels[model->first_channel + i]));
    }
    *list = json_pack("{ss so so}", "pawl", "list/1", "versions", versions, "channels", channels);
    snapshot_close(&s);
    return OK;
}

enum { SHORT_DIGEST = 19, WIDEST = 40 };

/* The width of the first column: NAME@NUMBER, or NAME@CHANNEL. */
static int width_of(const struct snapshot *s, struct row_range span, bool channels)
{
    size_t widest = 0;
    for (uint32_t m = span.from; m < span.to; m++) {
        const struct snap_model *model = &s->models[m];
        size_t name = strlen(snapshot_text(s, model->name)) + 1;
        size_t width = name + (size_t)snprintf(NULL, 0, "%u", model->version_count);
        for (uint32_t c = 0; channels && c < model->channel_count; c++) {
            const struct snap_channel *channel = &s->channels[model->first_channel + c];
            width = name + strlen(snapshot_text(s, channel->name));
            if (width > widest) widest = width;
        }
        if (!channels && model->version_count && width > widest) widest = width;
    }
    return widest < WIDEST ? (int)widest : WIDEST;
}

static void add_first(struct str *out, int width, const char *model, const char *tail)
{
    size_t before = out->len;
    str_addf(out, "%s@%s", model, tail);
    int left = width - (int)(out->len - before);
    if (left > 0) str_addf(out, "%*s", left, "");
}

static void add_versions(struct str *out, const struct snapshot *s, const struct snap_model *model,
                         int width)
{
    for (uint32_t i = 0; i < model->version_count; i++) {
        const struct snap_version *row = &s->versions[model->first_version + i];
        char digest[DIGEST_TEXT], number[16];
        bool held = false;
        snprintf(number, sizeof number, "%u", row->number);
        add_first(out, width, snapshot_text(s, model->name), number);
        digest_text(&row->digest, digest);
        str_addf(out, "  %.*s  %s  by %s", SHORT_DIGEST, digest, snapshot_text(s, row->time),
                 snapshot_text(s, row->actor));
        for (uint32_t c = 0; c < model->channel_count; c++) {
            const struct snap_channel *channel = &s->channels[model->first_channel + c];
            if (channel->number != row->number) continue;
            str_addf(out, "%s%s", held ? ", " : "  in ", snapshot_text(s, channel->name));
            held = true;
        }
        str_add(out, row->flags & SNAP_RETIRED ? "  retired\n" : "\n");
    }
}

enum code registry_list_text(struct registry *registry, struct str *out, const char *name,
                             struct err *err)
{
    struct snapshot s;
    struct row_range span;
    TRY(snapshot_open_span(registry, &s, &span, name, err));
    int width = width_of(&s, span, false);
    for (uint32_t m = span.from; m < span.to; m++) add_versions(out, &s, &s.models[m], width);
    if (!out->len) str_add(out, "no versions\n");
    width = width_of(&s, span, true);
    bool begun = false;
    for (uint32_t m = span.from; m < span.to; m++) {
        const struct snap_model *model = &s.models[m];
        for (uint32_t c = 0; c < model->channel_count; c++) {
            const struct snap_channel *row = &s.channels[model->first_channel + c];
            if (!begun) str_add_char(out, '\n');
            begun = true;
            add_first(out, width, snapshot_text(&s, model->name), snapshot_text(&s, row->name));
            str_addf(out, " -> %s@%u  %s  by %s: %s\n", snapshot_text(&s, model->name), row->number,
                     snapshot_text(&s, row->time), snapshot_text(&s, row->actor),
                     snapshot_text(&s, row->reason));
        }
    }
    snapshot_close(&s);
    return OK;
}
