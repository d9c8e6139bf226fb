/* From entries to rows. Texts are interned, because few different ones are said often. */
#include "registry/snapshot_internal.h"

#include <stdio.h>
#include <string.h>

enum { FACTS_EACH = 96, FACT_TEXT = 200, KEY_TEXT = 120, REPORT_LIMIT = 64 << 20 };

static void *grown(struct arena *arena, void *array, uint32_t count, size_t size)
{
    if (count & (count - 1)) return array;
    void *more = arena_array(arena, count ? (size_t)count * 2 : 1, size);
    if (count) memcpy(more, array, count * size);
    return more;
}

static uint32_t hash_of(const char *text)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (; *text; text++) hash = (hash ^ (uint8_t)*text) * 16777619u;
    return hash;
}

static void put_slot(struct gathering *g, uint32_t offset)
{
    uint32_t at = hash_of(g->texts + offset) & (g->slot_size - 1);
    while (g->slots[at]) at = (at + 1) & (g->slot_size - 1);
    g->slots[at] = offset;
}

static void grow_slots(struct gathering *g)
{
    const uint32_t *old = g->slots;
    uint32_t size = g->slot_size;
    g->slot_size = size ? size * 2 : 1024;
    g->slots = ARENA_ARRAY(&g->arena, g->slot_size, uint32_t);
    for (uint32_t i = 0; i < size; i++)
        if (old[i]) put_slot(g, old[i]);
}

static uint32_t append_text(struct gathering *g, const char *text)
{
    size_t len = strlen(text) + 1;
    while (g->text_size + len > g->text_room) {
        uint32_t room = g->text_room ? g->text_room * 2 : 1 << 16;
        char *more = arena_take(&g->arena, room);
        if (g->text_size) memcpy(more, g->texts, g->text_size);
        g->texts = more;
        g->text_room = room;
    }
    uint32_t at = g->text_size;
    memcpy(g->texts + at, text, len);
    g->text_size += (uint32_t)len;
    return at;
}

static uint32_t intern(struct gathering *g, const char *text)
{
    if (!text || !*text) return 0;
    uint32_t at = hash_of(text) & (g->slot_size - 1);
    for (; g->slots[at]; at = (at + 1) & (g->slot_size - 1))
        if (strcmp(g->texts + g->slots[at], text) == 0) return g->slots[at];
    if (++g->slot_count * 2 > g->slot_size) grow_slots(g);
    uint32_t offset = append_text(g, text);
    put_slot(g, offset);
    return offset;
}

static struct gather_model *model_of(struct gathering *g, const char *name, bool make)
{
    uint32_t low = 0, high = g->model_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = strcmp(name, g->texts + g->models[middle].name);
        if (order == 0) return &g->models[middle];
        if (order > 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (!make) return NULL;
    g->models = grown(&g->arena, g->models, g->model_count, sizeof *g->models);
    memmove(&g->models[low + 1], &g->models[low], (g->model_count - low) * sizeof *g->models);
    g->model_count++;
    g->models[low] = (struct gather_model){ .name = intern(g, name) };
    return &g->models[low];
}

static struct gather_version *version_of(struct gather_model *model, int64_t number)
{
    bool there = model && number >= 1 && number <= (int64_t)model->version_count;
    return there ? &model->versions[number - 1] : NULL;
}

/* The facts of a version as an array of its own with room for one more. */
static struct snap_fact *own_facts(struct gathering *g, struct gather_version *version)
{
    uint32_t count = version->row.fact_count;
    if (count >= version->room) {
        struct snap_fact *more = ARENA_ARRAY(&g->arena, count + 8, struct snap_fact);
        if (count) memcpy(more, version->facts, count * sizeof *more);
        version->facts = version->own = more;
        version->room = count + 8;
    }
    return version->own;
}

static void put_fact(struct gathering *g, struct gather_version *version, const char *key,
                     const json_t *value)
{
    struct snap_fact fact = { .key = intern(g, key) };
    const char *text = json_string_value(value);
    if (json_is_boolean(value)) text = json_is_true(value) ? "true" : "false";
    if (text && (!*text || strlen(text) > FACT_TEXT)) return;
    if (text)
        fact.text = intern(g, text);
    else if (json_is_number(value))
        fact.value = json_number_value(value);
    else
        return;
    uint32_t at = 0;
    while (at < version->row.fact_count && version->facts[at].key != fact.key) at++;
    if (at == FACTS_EACH) return;
    struct snap_fact *facts = own_facts(g, version);
    facts[at] = fact;
    if (at == version->row.fact_count) version->row.fact_count++;
}

/* Numbers and texts of a document by their paths. */
static void put_facts(struct gathering *g, struct gather_version *version, const char *path,
                      json_t *json)
{
    const char *name;
    json_t *member;
    json_object_foreach(json, name, member)
    {
        char key[KEY_TEXT];
        int len = snprintf(key, sizeof key, "%s%s%s", path, *path ? "." : "", name);
        if (len < 0 || len >= KEY_TEXT) continue;
        if (json_is_object(member))
            put_facts(g, version, key, member);
        else
            put_fact(g, version, key, member);
    }
}

static void take_version(struct gathering *g, const struct entry *entry)
{
    if (!entry_registers(entry)) return; /* evidence about one that is here */
    struct gather_model *model = model_of(g, entry_text(entry, "model"), true);
    if (entry_int(entry, "number") != (int64_t)model->version_count + 1) return;
    model->versions = grown(&g->arena, model->versions, model->version_count,
                            sizeof *model->versions);
    struct gather_version *version = &model->versions[model->version_count++];
    memset(version, 0, sizeof *version);
    version->row = (struct snap_version){
        .seq = (uint64_t)entry->seq,
        .number = model->version_count,
        .actor = intern(g, entry->actor),
        .time = intern(g, entry->time),
        .flags = entry->kind == ENTRY_REGISTER ? 0 : SNAP_IMPORTED,
    };
    entry_digest(entry, &version->row.digest, "digest");
    entry_digest(entry, &version->row.model_digest, "model_digest");
    put_facts(g, version, "", json_object_get(entry->body, "facts"));
}

/* The candidate's values over all rows and unchanged inputs. */
static void put_values(struct gathering *g, struct gather_version *version, const json_t *report)
{
    const json_t *values = json_object_get(json_object_get(report, "quality"), "values");
    static const struct {
        const char *key, *want;
    } plain[] = { { "subject", "candidate" }, { "slice", "all" }, { "condition", "clean" } };
    const json_t *row;
    size_t i;
    json_array_foreach(values, i, row)
    {
        const char *metric = json_string_value(json_object_get(row, "metric"));
        bool counts = metric != NULL;
        for (size_t k = 0; k < sizeof plain / sizeof *plain; k++) {
            const char *got = json_string_value(json_object_get(row, plain[k].key));
            counts = counts && got && strcmp(got, plain[k].want) == 0;
        }
        if (counts) put_fact(g, version, metric, json_object_get(row, "value"));
    }
}

static void take_report(struct gathering *g, const struct entry *entry)
{
    struct gather_version *version = version_of(model_of(g, entry_text(entry, "model"), false),
                                                entry_int(entry, "number"));
    struct arena arena = { 0 };
    struct bytes bytes;
    struct digest digest;
    json_t *report = NULL;
    if (!version) return;
    version->row.verdict = intern(g, entry_text(entry, "verdict"));
    const json_t *files = json_object_get(entry->body, "files");
    if (digest_parse(&digest, json_string_value(json_object_get(files, "report.json"))) &&
        store_read(&g->registry->store, &arena, &bytes, &digest, REPORT_LIMIT, NULL) == OK &&
        json_parse(&report, bytes.at, bytes.len, "report", NULL) == OK)
        put_values(g, version, report);
    json_decref(report);
    arena_release(&arena);
}

static void take_move(struct gathering *g, const struct entry *entry)
{
    struct gather_model *model = model_of(g, entry_text(entry, "model"), false);
    uint32_t name = intern(g, entry_text(entry, "channel")), at = 0;
    if (!version_of(model, entry_int(entry, "number"))) return;
    while (at < model->channel_count && model->channels[at].name != name) at++;
    if (at == model->channel_count) {
        model->channels = grown(&g->arena, model->channels, at, sizeof *model->channels);
        model->channel_count++;
    }
    model->channels[at] = (struct snap_channel){
        .entry = entry->digest,
        .seq = (uint64_t)entry->seq,
        .name = name,
        .number = (uint32_t)entry_int(entry, "number"),
        .actor = intern(g, entry->actor),
        .reason = intern(g, entry->reason),
        .time = intern(g, entry->time),
    };
}

static void take_retirement(struct gathering *g, const struct entry *entry)
{
    struct gather_version *version = version_of(model_of(g, entry_text(entry, "model"), false),
                                                entry_int(entry, "number"));
    if (version) version->row.flags |= SNAP_RETIRED;
}

enum code gather_entry(void *context, const struct entry *entry, struct err *err)
{
    static void (*const takes[ENTRY_KIND_COUNT])(struct gathering *, const struct entry *) = {
        [ENTRY_REGISTER] = take_version, [ENTRY_IMPORT] = take_version,
        [ENTRY_REPORT] = take_report,    [ENTRY_PROMOTE] = take_move,
        [ENTRY_ROLLBACK] = take_move,    [ENTRY_RETIRE] = take_retirement,
        [ENTRY_ADOPT] = take_version,
    };
    struct gathering *g = context;
    (void)err;
    if (takes[entry->kind]) takes[entry->kind](g, entry);
    return OK;
}

static uint32_t room_for(uint32_t count)
{
    uint32_t room = 1; /* as grown() makes it */
    while (room < count) room *= 2;
    return room;
}

static void copy_model(struct gathering *g, struct gather_model *to, const struct snapshot *from,
                       const struct snap_model *model)
{
    to->name = model->name;
    to->version_count = model->version_count;
    to->channel_count = model->channel_count;
    to->versions = ARENA_ARRAY(&g->arena, room_for(to->version_count), struct gather_version);
    to->channels = ARENA_ARRAY(&g->arena, room_for(to->channel_count), struct snap_channel);
    for (uint32_t i = 0; i < model->version_count; i++) {
        const struct snap_version *row = &from->versions[model->first_version + i];
        to->versions[i] = (struct gather_version){ .row = *row,
                                                   .facts = from->facts + row->first_fact };
    }
    for (uint32_t i = 0; i < model->channel_count; i++)
        to->channels[i] = from->channels[model->first_channel + i];
}

/* Texts keep their offsets, so rows are copied as they are; facts stay where they lie. */
static void copy_texts(struct gathering *g, const struct snapshot *from)
{
    g->text_room = room_for(from->text_size);
    g->texts = arena_take(&g->arena, g->text_room);
    memcpy(g->texts, from->texts, from->text_size);
    g->text_size = from->text_size;
    for (uint32_t at = 1; at < g->text_size; at += (uint32_t)strlen(g->texts + at) + 1) {
        if (++g->slot_count * 2 > g->slot_size) grow_slots(g);
        put_slot(g, at);
    }
}

void gather_begin(struct gathering *gathering, const struct registry *registry,
                  const struct snapshot *from)
{
    *gathering = (struct gathering){ .registry = registry };
    grow_slots(gathering);
    if (!from) {
        append_text(gathering, "");
        return;
    }
    copy_texts(gathering, from);
    gathering->head = from->head;
    gathering->model_count = from->model_count;
    gathering->models = ARENA_ARRAY(&gathering->arena, room_for(from->model_count),
                                    struct gather_model);
    for (uint32_t m = 0; m < from->model_count; m++)
        copy_model(gathering, &gathering->models[m], from, &from->models[m]);
}

void gather_release(struct gathering *gathering)
{
    arena_release(&gathering->arena);
    memset(gathering, 0, sizeof *gathering);
}
