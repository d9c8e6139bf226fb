/* list/1 as text, straight from the snapshot's rows: the same bytes as json_pretty gives for
 * registry_list, without an object in memory for each row. */
#include "registry/snapshot.h"

#include "registry/commit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A string in quotes; what must be escaped is rare and left to the library. */
static void add_quoted(struct str *out, const char *text)
{
    size_t len = strlen(text), plain = 0;
    while (plain < len && (unsigned char)text[plain] >= ' ' && text[plain] != '"' &&
           text[plain] != '\\')
        plain++;
    if (plain == len) {
        str_add_char(out, '"');
        str_add_len(out, text, len);
        str_add_char(out, '"');
        return;
    }
    json_t *json = json_string(text);
    char *dumped = json_dumps(json, JSON_ENCODE_ANY);
    str_add(out, dumped ? dumped : "\"\"");
    free(dumped);
    json_decref(json);
}

static void add_text(struct str *out, const char *before, const char *text)
{
    str_add(out, before);
    add_quoted(out, text);
}

static void add_digest(struct str *out, const char *before, const struct digest *digest)
{
    char text[DIGEST_TEXT];
    str_add(out, before);
    str_add_char(out, '"');
    str_add_len(out, digest_text(digest, text), DIGEST_TEXT - 1);
    str_add_char(out, '"');
}

static void add_number(struct str *out, const char *before, uint64_t number)
{
    char digits[24];
    size_t at = sizeof digits;
    str_add(out, before);
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    str_add_len(out, digits + at, sizeof digits - at);
}

/* The names of the channels that hold a version, as a list of a row. */
static void add_holders(struct str *out, const struct snapshot *s, const struct snap_model *model,
                        uint32_t number)
{
    bool held = false;
    str_add(out, ",\n      \"channels\": [");
    for (uint32_t c = 0; c < model->channel_count; c++) {
        const struct snap_channel *channel = &s->channels[model->first_channel + c];
        if (channel->number != number) continue;
        add_text(out, held ? ",\n        " : "\n        ", snapshot_text(s, channel->name));
        held = true;
    }
    str_add(out, held ? "\n      ]" : "]");
}

static void add_version(struct str *out, const struct snapshot *s, const struct snap_model *model,
                        const struct snap_version *row)
{
    add_text(out, "\n    {\n      \"actor\": ", snapshot_text(s, row->actor));
    add_holders(out, s, model, row->number);
    add_digest(out, ",\n      \"digest\": ", &row->digest);
    add_text(out, ",\n      \"model\": ", snapshot_text(s, model->name));
    add_digest(out, ",\n      \"model_digest\": ", &row->model_digest);
    add_number(out, ",\n      \"number\": ", row->number);
    add_number(out, ",\n      \"seq\": ", row->seq);
    add_text(out, ",\n      \"time\": ", snapshot_text(s, row->time));
    str_add(out, "\n    }");
}

static void add_channel(struct str *out, const struct snapshot *s, const struct snap_model *model,
                        const struct snap_channel *row)
{
    add_text(out, "\n    {\n      \"actor\": ", snapshot_text(s, row->actor));
    add_text(out, ",\n      \"channel\": ", snapshot_text(s, row->name));
    if (row->number && row->number <= model->version_count)
        add_digest(out, ",\n      \"digest\": ",
                   &s->versions[model->first_version + row->number - 1].digest);
    add_text(out, ",\n      \"model\": ", snapshot_text(s, model->name));
    add_number(out, ",\n      \"number\": ", row->number);
    add_text(out, ",\n      \"reason\": ", snapshot_text(s, row->reason));
    add_number(out, ",\n      \"seq\": ", row->seq);
    add_text(out, ",\n      \"time\": ", snapshot_text(s, row->time));
    str_add(out, "\n    }");
}

enum code registry_list_json(struct registry *registry, struct str *out, const char *name,
                             struct err *err)
{
    struct snapshot s;
    struct row_range span;
    bool begun = false;
    TRY(snapshot_open_span(registry, &s, &span, name, err));
    str_add(out, "{\n  \"channels\": [");
    for (uint32_t m = span.from; m < span.to; m++) {
        const struct snap_model *model = &s.models[m];
        for (uint32_t i = 0; i < model->channel_count; i++, begun = true) {
            if (begun) str_add_char(out, ',');
            add_channel(out, &s, model, &s.channels[model->first_channel + i]);
        }
    }
    str_add(out, begun ? "\n  ],\n  \"pawl\": \"list/1\",\n  \"versions\": ["
                       : "],\n  \"pawl\": \"list/1\",\n  \"versions\": [");
    begun = false;
    for (uint32_t m = span.from; m < span.to; m++) {
        const struct snap_model *model = &s.models[m];
        for (uint32_t i = 0; i < model->version_count; i++, begun = true) {
            if (begun) str_add_char(out, ',');
            add_version(out, &s, model, &s.versions[model->first_version + i]);
        }
    }
    str_add(out, begun ? "\n  ]\n}" : "]\n}");
    snapshot_close(&s);
    return OK;
}
