/* Writing and reading the run's log. */
#include "trainer/log.h"

#include "base/str.h"

#include <stdio.h>
#include <string.h>

enum { LOG_LIMIT = 1 << 30, LINE_LIMIT = 1 << 20 };

enum code run_log_open(struct run_log *log, const char *path, struct err *err)
{
    int fd;
    *log = (struct run_log){ 0 };
    TRY(fs_log_open(&fd, path, err));
    log->fd = fd + 1;
    snprintf(log->path, sizeof log->path, "%s", path);
    return OK;
}

void run_log_close(struct run_log *log)
{
    if (log->fd) fs_close(log->fd - 1);
    log->fd = 0;
}

/* The line that stands for a record: the only text that a reader accepts for it. */
static void format_line(struct str *line, const json_t *record, int64_t seq)
{
    struct arena arena = { 0 };
    size_t len;
    char number[32];
    const char *text = json_canonical(&arena, record, &len);
    int digits = snprintf(number, sizeof number, "#%lld", (long long)seq);
    uint32_t crc = crc32c(crc32c(0, text, len), number, (size_t)digits);
    str_addf(line, "{\"crc\":\"%08x\",\"record\":%s,\"seq\":%lld}\n", crc, text, (long long)seq);
    arena_release(&arena);
}

enum code run_log_add(struct run_log *log, json_t *record, struct err *err)
{
    struct str line = { 0 };
    if (log->torn) str_add_char(&line, '\n');
    format_line(&line, record, log->seq);
    enum code code = OK;
    if (log->fd) code = fs_append(log->fd - 1, line.at, line.len, log->path, err);
    log->torn = code != OK;
    log->seq++;
    str_release(&line);
    json_decref(record);
    return code;
}

/* The record of a line (its line feed included) when it is whole, else NULL. */
static json_t *parse_line(const char *line, size_t len)
{
    json_t *json;
    if (len > LINE_LIMIT || json_parse(&json, line, len, "log", NULL)) return NULL;
    json_t *record = json_object_get(json, "record"), *kept = NULL;
    struct str want = { 0 };
    if (json_is_object(record)) {
        format_line(&want, record, json_integer_value(json_object_get(json, "seq")));
        if (want.len == len && memcmp(want.at, line, len) == 0) kept = json_incref(record);
    }
    str_release(&want);
    json_decref(json);
    return kept;
}

enum code run_log_read(json_t **records, int *damaged, const char *path, struct err *err)
{
    struct arena arena = { 0 };
    struct bytes bytes;
    *records = NULL;
    enum code code = fs_read(&arena, &bytes, path, LOG_LIMIT, err);
    if (code) {
        arena_release(&arena);
        return code;
    }
    *records = json_array();
    *damaged = 0;
    const char *at = bytes.at, *end = bytes.at + bytes.len;
    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        if (!stop) break; /* torn: the writer died in the middle */
        json_t *record = parse_line(at, (size_t)(stop + 1 - at));
        if (record)
            json_array_append_new(*records, record);
        else if (stop > at)
            ++*damaged;
        at = stop + 1;
    }
    arena_release(&arena);
    return OK;
}

/* The step from which an incarnation's records begin: what older ones wrote behind it is void. */
static int64_t resumed_at(const json_t *records)
{
    const json_t *first = json_array_get(records, 0);
    const json_t *step = json_object_get(first, "resumed_step");
    return json_is_integer(step) ? json_integer_value(step) : 0;
}

static void drop_behind(json_t *records, int64_t step)
{
    for (size_t i = json_array_size(records); i-- > 0;) {
        const json_t *at = json_object_get(json_array_get(records, i), "step");
        if (json_is_integer(at) && json_integer_value(at) > step) json_array_remove(records, i);
    }
}

enum code run_log_read_all(json_t **records, const char *run, struct err *err)
{
    struct arena arena = { 0 };
    char **names;
    json_t *all = json_array();
    enum code code = fs_list(&arena, &names, NULL, run, err);
    for (; !code && *names; names++) {
        int number, damaged, used = 0;
        if (sscanf(*names, "log-%d.jsonl%n", &number, &used) != 1 || !used || (*names)[used])
            continue;
        json_t *part;
        code = run_log_read(&part, &damaged, path_join(&arena, run, *names), err);
        if (code) break;
        if (json_array_size(part)) drop_behind(all, resumed_at(part));
        for (size_t i = 0; i < json_array_size(part); i++) {
            json_t *record = json_array_get(part, i);
            json_object_set_new(record, "incarnation", json_integer(number));
            json_array_append(all, record);
        }
        json_decref(part);
    }
    arena_release(&arena);
    if (code) json_decref(all);
    *records = code ? NULL : all;
    return code;
}
