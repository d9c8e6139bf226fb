/* Limits, marks, the ring and its report: no threads here, so that each can be tried by itself. */
#include "comm/watch.h"

#include "base/json.h"

#include <stdio.h>

static const double floor_default_s = 30;

double watch_limit(const struct watch_limit *limit)
{
    double floor = limit->floor_s > 0 ? limit->floor_s : floor_default_s;
    double learned = WATCH_LEARNED * limit->longest_s;
    return learned > floor ? learned : floor;
}

void watch_learn(struct watch_limit *limit, double seconds)
{
    if (seconds > limit->longest_s) limit->longest_s = seconds;
}

/* The time from idleness to the first mark counts like that between two marks. */
bool watch_look(struct watch_progress *progress, double now, uint64_t issued,
                struct collective_marks marks)
{
    bool idle = marks.ended >= issued;
    bool moved = marks.begun != progress->seen.begun || marks.ended != progress->seen.ended;
    if (moved && !progress->idle) watch_learn(&progress->limit, now - progress->since);
    if (moved || idle || progress->idle) progress->since = now;
    progress->seen = marks;
    progress->idle = idle;
    return !idle && now - progress->since >= watch_limit(&progress->limit);
}

struct watch_entry *watch_add(struct watch_ring *ring, const char *what, uint64_t bytes,
                              double begun)
{
    struct watch_entry *entry = &ring->at[++ring->last % WATCH_RING];
    *entry =
        (struct watch_entry){ .number = ring->last, .bytes = bytes, .begun = begun, .seconds = -1 };
    snprintf(entry->what, sizeof entry->what, "%s", what);
    return entry;
}

struct watch_entry *watch_entry(struct watch_ring *ring, uint64_t number)
{
    struct watch_entry *entry = &ring->at[number % WATCH_RING];
    return number && entry->number == number ? entry : NULL;
}

int watch_find_late(const struct rank_mark *marks, int ranks, uint64_t reference, bool device)
{
    int late = -1;
    uint64_t lowest = reference;
    for (int r = 0; r < ranks; r++)
        if (!marks[r].heard) return r;
    for (int r = 0; r < ranks; r++) {
        uint64_t begun = device ? marks[r].device : marks[r].begun;
        if (begun >= lowest) continue;
        lowest = begun;
        late = r;
    }
    return late;
}

static json_t *document(const struct watch_report *report)
{
    json_t *list = json_array();
    for (uint64_t i = 1; i <= WATCH_RING; i++) {
        const struct watch_entry *entry = &report->ring->at[(report->ring->last + i) % WATCH_RING];
        if (!entry->number) continue;
        json_array_append_new(list, json_pack("{s:I,s:s,s:I,s:f,s:f}", "number",
                                              (json_int_t)entry->number, "exchange", entry->what,
                                              "bytes", (json_int_t)entry->bytes, "begun_s",
                                              entry->begun, "seconds", entry->seconds));
    }
    return json_pack("{s:s,s:i,s:i,s:s,s:f,s:o}", "pawl", "rank-report/1", "rank", report->rank,
                     "ranks", report->ranks, "message", report->message, "longest_s",
                     report->longest_s, "exchanges", list);
}

void watch_write(const struct watch_report *report)
{
    struct arena arena = { 0 };
    struct err unused;
    size_t len;
    if (!report->dir) return;
    json_t *written = document(report);
    const char *text = json_pretty(&arena, written, &len);
    fs_mkdirs(report->dir, &unused);
    fs_publish_view(
        arena_format(&arena, "%s/%s-%04d.json", report->dir, report->name, report->rank), text, len,
        &unused);
    json_decref(written);
    arena_release(&arena);
}
