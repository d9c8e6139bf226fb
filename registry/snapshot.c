/* The file of rows: laying it out, checking and mapping it, keeping it up to the journal. */
#include "registry/snapshot_internal.h"

#include "registry/commit.h"

#include <string.h>
#include <sys/mman.h>

enum { VERSION = 1, SECTIONS = 5, LATE = 64 };

/* The file begins with this; `crc` covers everything behind the member. */
struct file_head {
    char magic[8];
    uint32_t version, crc;
    uint64_t size, seq;
    struct digest head, id;
    struct {
        uint64_t at;
        uint32_t count, unit;
    } sections[SECTIONS]; /* models, versions, channels, facts, texts */
};

static const char magic[8] = "pawlsnap";

static const uint32_t units[SECTIONS] = { sizeof(struct snap_model), sizeof(struct snap_version),
                                          sizeof(struct snap_channel), sizeof(struct snap_fact),
                                          1 };

static const size_t crc_from = offsetof(struct file_head, crc) + sizeof(uint32_t);

static char *snapshot_path(struct arena *arena, const struct registry *registry)
{
    return path_join(arena, registry->dir, "cache/snapshot");
}

static void count_rows(const struct gathering *g, uint32_t counts[SECTIONS])
{
    counts[0] = g->model_count;
    counts[4] = g->text_size;
    for (uint32_t m = 0; m < g->model_count; m++) {
        counts[1] += g->models[m].version_count;
        counts[2] += g->models[m].channel_count;
        for (uint32_t i = 0; i < g->models[m].version_count; i++)
            counts[3] += g->models[m].versions[i].row.fact_count;
    }
}

/* Where the next row of each section goes. */
struct laying {
    struct snap_model *models;
    struct snap_version *versions;
    struct snap_channel *channels;
    struct snap_fact *facts;
    uint32_t version, channel, fact;
};

static void lay_model(struct laying *to, uint32_t m, const struct gather_model *model)
{
    to->models[m] = (struct snap_model){
        .name = model->name,
        .first_version = to->version,
        .version_count = model->version_count,
        .first_channel = to->channel,
        .channel_count = model->channel_count,
    };
    for (uint32_t i = 0; i < model->version_count; i++) {
        const struct gather_version *version = &model->versions[i];
        uint32_t count = version->row.fact_count;
        struct snap_version *row = &to->versions[to->version++];
        *row = version->row;
        row->model = m;
        row->first_fact = to->fact;
        if (count) memcpy(&to->facts[to->fact], version->facts, count * sizeof *to->facts);
        to->fact += count;
    }
    for (uint32_t i = 0; i < model->channel_count; i++) {
        struct snap_channel *row = &to->channels[to->channel++];
        *row = model->channels[i];
        row->model = m;
    }
}

enum code gather_render(const struct gathering *g, void **file, size_t *size, struct err *err)
{
    struct file_head head = { .version = VERSION, .seq = (uint64_t)g->head.seq };
    uint32_t counts[SECTIONS] = { 0 };
    uint64_t at = sizeof head;
    count_rows(g, counts);
    for (int i = 0; i < SECTIONS; i++) {
        at = (at + 15) & ~(uint64_t)15;
        head.sections[i].at = at;
        head.sections[i].count = counts[i];
        head.sections[i].unit = units[i];
        at += (uint64_t)counts[i] * units[i];
    }
    memcpy(head.magic, magic, sizeof magic);
    head.size = at;
    head.head = g->head.digest;
    head.id = g->registry->id;
    TRY(block_alloc(file, at, "a snapshot", err));
    char *base = *file;
    struct laying to = {
        .models = (struct snap_model *)(void *)(base + head.sections[0].at),
        .versions = (struct snap_version *)(void *)(base + head.sections[1].at),
        .channels = (struct snap_channel *)(void *)(base + head.sections[2].at),
        .facts = (struct snap_fact *)(void *)(base + head.sections[3].at),
    };
    for (uint32_t m = 0; m < g->model_count; m++) lay_model(&to, m, &g->models[m]);
    memcpy(base + head.sections[4].at, g->texts, g->text_size);
    memcpy(base, &head, sizeof head);
    head.crc = crc32c(0, base + crc_from, at - crc_from);
    memcpy(base + offsetof(struct file_head, crc), &head.crc, sizeof head.crc);
    *size = at;
    return OK;
}

/* Ranges of rows lie within their sections. */
static bool ranges_hold(const struct snapshot *s)
{
    for (uint32_t m = 0; m < s->model_count; m++) {
        const struct snap_model *model = &s->models[m];
        if (model->first_version > s->version_count || model->first_channel > s->channel_count ||
            model->version_count > s->version_count - model->first_version ||
            model->channel_count > s->channel_count - model->first_channel)
            return false;
    }
    return true;
}

static bool rows_hold(const struct snapshot *s)
{
    for (uint32_t i = 0; i < s->version_count; i++) {
        const struct snap_version *row = &s->versions[i];
        if (row->model >= s->model_count || row->first_fact > s->fact_count ||
            row->fact_count > s->fact_count - row->first_fact)
            return false;
    }
    for (uint32_t i = 0; i < s->channel_count; i++)
        if (s->channels[i].model >= s->model_count) return false;
    return true;
}

enum code snapshot_point(struct snapshot *snapshot, const char *base, size_t size,
                         const struct registry *registry, bool whole)
{
    struct file_head head;
    const void *sections[SECTIONS];
    if (size < sizeof head) return NOT_FOUND;
    memcpy(&head, base, sizeof head);
    if (memcmp(head.magic, magic, sizeof magic) != 0 || head.version != VERSION ||
        head.size != size || !digest_equal(&head.id, &registry->id))
        return NOT_FOUND;
    for (int i = 0; i < SECTIONS; i++) {
        uint64_t at = head.sections[i].at, bytes = (uint64_t)head.sections[i].count * units[i];
        if (head.sections[i].unit != units[i] || at % 16 || at > size || bytes > size - at)
            return NOT_FOUND;
        sections[i] = base + at;
    }
    if (whole && crc32c(0, base + crc_from, size - crc_from) != head.crc) return NOT_FOUND;
    snapshot->base = base;
    snapshot->size = size;
    snapshot->head = (struct head){ .seq = (int64_t)head.seq, .digest = head.head };
    snapshot->models = sections[0];
    snapshot->versions = sections[1];
    snapshot->channels = sections[2];
    snapshot->facts = sections[3];
    snapshot->texts = sections[4];
    snapshot->model_count = head.sections[0].count;
    snapshot->version_count = head.sections[1].count;
    snapshot->channel_count = head.sections[2].count;
    snapshot->fact_count = head.sections[3].count;
    snapshot->text_size = head.sections[4].count;
    bool ends = snapshot->text_size && !snapshot->texts[snapshot->text_size - 1];
    return ends && ranges_hold(snapshot) && (!whole || rows_hold(snapshot)) ? OK : NOT_FOUND;
}

static enum code map_file(const struct registry *registry, struct snapshot *snapshot, bool whole,
                          struct err *err)
{
    struct arena arena = { 0 };
    int fd = -1;
    uint64_t size;
    memset(snapshot, 0, sizeof *snapshot);
    const char *path = snapshot_path(&arena, registry);
    enum code code = fs_open_own(&fd, path, &size, err);
    if (!code) {
        void *map = size ? mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
        fs_close(fd);
        if (map != MAP_FAILED) {
            snapshot->map = map;
            snapshot->size = size;
            code = snapshot_point(snapshot, map, size, registry, whole);
        } else {
            code = NOT_FOUND;
        }
        if (code) err_set(err, NOT_FOUND, "no usable snapshot '%s'", path);
    }
    if (code) snapshot_close(snapshot);
    arena_release(&arena);
    return code ? NOT_FOUND : OK;
}

enum code snapshot_map(const struct registry *registry, struct snapshot *snapshot, struct err *err)
{
    return map_file(registry, snapshot, false, err);
}

void snapshot_close(struct snapshot *snapshot)
{
    if (snapshot->map) munmap(snapshot->map, snapshot->size);
    block_free(snapshot->memory);
    memset(snapshot, 0, sizeof *snapshot);
}

struct gather_behind {
    const struct registry *registry;
    struct gathering *g;
    const struct snapshot *from;
    bool begun;
};

/* The rows of the file are copied when there is something to put behind them. */
static enum code gather_next(void *context, const struct entry *entry, struct err *err)
{
    struct gather_behind *behind = context;
    if (!behind->begun) gather_begin(behind->g, behind->registry, behind->from);
    behind->begun = true;
    return gather_entry(behind->g, entry, err);
}

/* The file's rows where they are on the chain, and all entries behind them. Where there are none,
 * nothing is gathered: `g` has the file's head alone. */
static enum code gather(struct registry *registry, struct gathering *g, struct snapshot *from,
                        struct err *err)
{
    bool usable = registry_believes_views(registry) && map_file(registry, from, true, NULL) == OK &&
                  journal_holds(&registry->journal, &from->head, NULL) == OK;
    if (!usable) snapshot_close(from);
    struct head head = from->head;
    struct gather_behind behind = { registry, g, usable ? from : NULL, false };
    enum code code = journal_end(&registry->journal, &head, gather_next, &behind, err);
    g->head = head;
    return code;
}

enum code snapshot_open(struct registry *registry, struct snapshot *snapshot, struct err *err)
{
    struct gathering g = { 0 };
    struct snapshot from = { 0 };
    struct arena arena = { 0 };
    void *file = NULL;
    size_t size;
    memset(snapshot, 0, sizeof *snapshot);
    enum code code = registry_check_view(registry, err);
    if (!code && !registry_believes_views(registry))
        code = registry_refresh(registry, err); /* every signature and every rule */
    if (!code) code = gather(registry, &g, &from, err);
    if (code) goto out;
    if (from.map && from.head.seq == g.head.seq) {
        *snapshot = from;
        memset(&from, 0, sizeof from);
        goto out;
    }
    if ((code = gather_render(&g, &file, &size, err))) goto out;
    code = snapshot_point(snapshot, file, size, registry, false);
    REQUIRE(code == OK);
    snapshot->memory = file;
    if (g.head.seq - from.head.seq >= LATE) /* readers without the right to write go on */
        fs_publish_view(snapshot_path(&arena, registry), file, size, NULL);
out:
    gather_release(&g);
    snapshot_close(&from);
    arena_release(&arena);
    return registry_hint_damage(code, err);
}

enum code snapshot_write(struct registry *registry, int64_t behind, struct err *err)
{
    struct snapshot late;
    int64_t seq = 0;
    if (map_file(registry, &late, false, NULL) == OK) {
        seq = late.head.seq;
        snapshot_close(&late);
    }
    if (registry->state.head.seq - seq < behind) return OK;
    struct gathering g = { 0 };
    struct snapshot from = { 0 };
    struct arena arena = { 0 };
    void *file = NULL;
    size_t size;
    enum code code = gather(registry, &g, &from, err);
    bool new = !from.map || from.head.seq != g.head.seq;
    if (!code && new) code = gather_render(&g, &file, &size, err);
    if (!code && new) code = fs_publish_view(snapshot_path(&arena, registry), file, size, err);
    gather_release(&g);
    snapshot_close(&from);
    block_free(file);
    arena_release(&arena);
    return code;
}

const char *snapshot_text(const struct snapshot *snapshot, uint32_t offset)
{
    return offset < snapshot->text_size ? snapshot->texts + offset : "";
}

const struct snap_model *snapshot_model(const struct snapshot *snapshot, const char *name)
{
    uint32_t low = 0, high = snapshot->model_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct snap_model *model = &snapshot->models[middle];
        int order = strcmp(name, snapshot_text(snapshot, model->name));
        if (order == 0) return model;
        if (order > 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}
