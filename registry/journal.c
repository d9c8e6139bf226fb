/* The files of the chain: reading forwards, finding the end, and the append loop. */
#include "registry/journal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum code journal_init(struct journal *journal, const char *dir, struct err *err)
{
    int len = snprintf(journal->dir, sizeof journal->dir, "%s", dir);
    if (len < 0 || (size_t)len >= sizeof journal->dir)
        return err_set(err, USAGE, "cannot use '%.80s...': path longer than %zu bytes", dir,
                       sizeof journal->dir - 1);
    return OK;
}

static char *folder_path(struct arena *arena, const struct journal *journal, int64_t folder)
{
    return arena_format(arena, "%s/%03lld", journal->dir, (long long)folder);
}

static int64_t folder_of(int64_t seq)
{
    return (seq - 1) / JOURNAL_FOLDER;
}

char *journal_path(struct arena *arena, const struct journal *journal, int64_t seq)
{
    return arena_format(arena, "%s/%03lld/%010lld.json", journal->dir, (long long)folder_of(seq),
                        (long long)seq);
}

enum code journal_read(const struct journal *journal, struct entry *entry, int64_t seq,
                       struct err *err)
{
    struct arena arena = { 0 };
    struct bytes bytes;
    const char *path = journal_path(&arena, journal, seq);
    enum code code = fs_read_own(&arena, &bytes, path, ENTRY_LIMIT, err);
    if (!code) code = entry_parse(entry, &bytes, seq, path, err);
    arena_release(&arena);
    return code;
}

/* A whole number written with at least `digits` digits and then `end`; -1 for any other name. */
static int64_t number_of(const char *name, size_t digits, const char *end)
{
    int64_t number = 0;
    size_t at = 0;
    for (; name[at] >= '0' && name[at] <= '9' && at < 18; at++)
        number = number * 10 + (name[at] - '0');
    bool padded = at > digits && name[0] == '0';
    return at < digits || padded || strcmp(name + at, end) != 0 ? -1 : number;
}

/* The last folder, -1 when there is none. */
static enum code last_folder(struct arena *arena, const struct journal *journal, int64_t *last,
                             struct err *err)
{
    char **names;
    size_t count;
    TRY(fs_list(arena, &names, &count, journal->dir, err));
    *last = -1;
    for (size_t i = 0; i < count; i++) {
        int64_t number = number_of(names[i], 3, "");
        if (number < 0)
            return err_set(err, DAMAGED, "cannot use journal '%s': '%s' is no folder of entries",
                           journal->dir, names[i]);
        if (number > *last) *last = number;
    }
    return OK;
}

/* Temporaries (".name.nonce.tmp") are other writers' unfinished entries. */
static enum code last_in_folder(struct arena *arena, const struct journal *journal, int64_t folder,
                                int64_t *last, struct err *err)
{
    char **names, *path = folder_path(arena, journal, folder);
    size_t count;
    struct stat info;
    TRY(fs_stat(path, &info, err));
    if (!S_ISDIR(info.st_mode)) return err_set(err, DAMAGED, "'%s' is not a folder", path);
    TRY(fs_list(arena, &names, &count, path, err));
    int64_t first = folder * JOURNAL_FOLDER + 1, entries = 0, gap = 0;
    *last = first - 1;
    for (size_t i = 0; i < count; i++) {
        if (names[i][0] == '.') continue;
        int64_t seq = number_of(names[i], 10, ".json");
        if (seq < first || seq >= first + JOURNAL_FOLDER)
            return err_set(err, DAMAGED, "cannot use journal '%s': '%s/%s' is no entry",
                           journal->dir, path_base(path), names[i]);
        if (seq > *last) *last = seq;
        if (seq != first + entries && !gap) gap = first + entries;
        entries++;
    }
    if (gap)
        return err_set(err, DAMAGED, "journal '%s' has a gap: entry %lld is missing, %lld exists",
                       journal->dir, (long long)gap, (long long)*last);
    return OK;
}

enum code journal_last(const struct journal *journal, int64_t *last, struct err *err)
{
    struct arena arena = { 0 };
    int64_t folder;
    *last = 0;
    enum code code = last_folder(&arena, journal, &folder, err);
    if (!code && folder >= 0) code = last_in_folder(&arena, journal, folder, last, err);
    arena_release(&arena);
    return code;
}

/* Takes one entry as the next of the chain. */
static enum code accept(const struct journal *journal, struct head *head, const struct entry *entry,
                        entry_visit visit, void *context, struct err *err)
{
    if (head->seq && !digest_equal(&entry->previous, &head->digest)) {
        struct arena arena = { 0 };
        err_set(err, DAMAGED, "cannot use '%s': it does not follow the entry before it",
                journal_path(&arena, journal, entry->seq));
        arena_release(&arena);
        return DAMAGED;
    }
    if (visit) TRY(visit(context, entry, err));
    *head = (struct head){ .seq = entry->seq, .digest = entry->digest };
    return OK;
}

enum code journal_walk(const struct journal *journal, struct head *head, entry_visit visit,
                       void *context, struct err *err)
{
    for (;;) {
        struct entry entry;
        enum code code = journal_read(journal, &entry, head->seq + 1, err);
        if (code) return code == NOT_FOUND ? OK : code;
        code = accept(journal, head, &entry, visit, context, err);
        entry_release(&entry);
        if (code) return code;
    }
}

enum code journal_holds(const struct journal *journal, const struct head *head, struct err *err)
{
    if (!head->seq) return OK;
    struct entry entry;
    enum code code = journal_read(journal, &entry, head->seq, err);
    if (code == NOT_FOUND)
        return err_set(err, DAMAGED, "journal '%s' has lost entries: %lld was there and is missing",
                       journal->dir, (long long)head->seq);
    if (code) return code;
    bool same = digest_equal(&entry.digest, &head->digest);
    entry_release(&entry);
    if (same) return OK;
    char text[DIGEST_TEXT];
    return err_set(err, DAMAGED, "journal '%s' was rewritten: entry %lld is no longer %s",
                   journal->dir, (long long)head->seq, digest_text(&head->digest, text));
}

enum code journal_end(const struct journal *journal, struct head *head, entry_visit visit,
                      void *context, struct err *err)
{
    TRY(journal_holds(journal, head, err));
    for (;;) {
        TRY(journal_walk(journal, head, visit, context, err));
        int64_t last, before = head->seq;
        TRY(journal_last(journal, &last, err));
        if (last <= head->seq) return OK; /* a cached listing may lag behind */
        /* Entries appear in order: one that was listed proves that the next one exists. */
        TRY(journal_walk(journal, head, visit, context, err));
        if (head->seq == before)
            return err_set(err, DAMAGED,
                           "journal '%s' has a gap: entry %lld is missing, %lld exists",
                           journal->dir, (long long)before + 1, (long long)last);
    }
}

/* A file system that caches names may hide for a while what it has just refused to overwrite. */
static enum code wait_until_visible(const struct journal *journal, int64_t seq, struct err *err)
{
    enum { PATIENCE_MS = 60000, LONGEST_MS = 1000 };
    struct arena arena = { 0 };
    struct stat info;
    const char *path = journal_path(&arena, journal, seq);
    enum code code;
    int pause_ms = 1, waited_ms = 0;
    while ((code = fs_stat(path, &info, err)) == NOT_FOUND && waited_ms < PATIENCE_MS) {
        struct timespec pause = { pause_ms / 1000, pause_ms % 1000 * 1000000L };
        nanosleep(&pause, NULL);
        waited_ms += pause_ms;
        pause_ms = pause_ms * 2 < LONGEST_MS ? pause_ms * 2 : LONGEST_MS;
        if ((code = fs_sync_parent(path, err))) break; /* reopens the folder */
    }
    if (code == NOT_FOUND)
        code = err_set(err, IO, "cannot read '%s': it exists, but stayed invisible for %d s", path,
                       PATIENCE_MS / 1000);
    arena_release(&arena);
    return code;
}

static enum code sync_folder(const struct journal *journal, int64_t folder, struct err *err)
{
    struct arena arena = { 0 };
    enum code code = fs_sync_dir(folder_path(&arena, journal, folder), err);
    arena_release(&arena);
    return code;
}

/* Makes what the new entry stands on durable: its folder, and the last entry of the folder before.
 * Within one folder the new entry's own fsync covers those before it. */
static enum code ensure_folder(const struct journal *journal, int64_t seq, struct err *err)
{
    if (seq % JOURNAL_FOLDER != 1) return OK;
    if (seq > 1) TRY(sync_folder(journal, folder_of(seq) - 1, err));
    struct arena arena = { 0 };
    enum code code = fs_mkdir_like(folder_path(&arena, journal, folder_of(seq)), err);
    arena_release(&arena);
    return code;
}

static enum code attempt(const struct journal *journal, const struct head *head,
                         const struct draft *draft, bool *won, struct err *err)
{
    struct arena arena = { 0 };
    struct bytes bytes;
    int64_t seq = head->seq + 1;
    enum code code = entry_render(&arena, &bytes, draft, seq, head->seq ? &head->digest : NULL,
                                  err);
    if (!code) code = ensure_folder(journal, seq, err);
    if (!code)
        code = fs_create_exclusive(journal_path(&arena, journal, seq), bytes.at, bytes.len, won,
                                   err);
    arena_release(&arena);
    return code;
}

/* The entry that was just written, as everybody else will see it. */
static enum code read_back(const struct journal *journal, struct head *head,
                           const struct journal_writer *writer, struct err *err)
{
    struct entry entry;
    enum code code = journal_read(journal, &entry, head->seq + 1, err);
    if (code == NOT_FOUND)
        return err_set(err, DAMAGED, "journal entry %lld vanished from '%s' after it was written",
                       (long long)head->seq + 1, journal->dir);
    if (code) return code;
    code = accept(journal, head, &entry, writer->apply, writer->context, err);
    entry_release(&entry);
    return code;
}

enum code journal_commit(const struct journal *journal, struct head *head,
                         const struct journal_writer *writer, bool *wrote, struct err *err)
{
    bool won = false;
    if (wrote) *wrote = false;
    while (!won) {
        TRY(journal_end(journal, head, writer->apply, writer->context, err));
        struct draft draft = { 0 };
        enum code code = writer->decide(writer->context, &draft, err);
        bool empty = draft.kind == ENTRY_NONE;
        if (!code && !empty) code = attempt(journal, head, &draft, &won, err);
        draft_release(&draft);
        if (code) return code;
        if (empty) return head->seq ? sync_folder(journal, folder_of(head->seq), err) : OK;
        if (!won) TRY(wait_until_visible(journal, head->seq + 1, err));
    }
    if (wrote) *wrote = true;
    return read_back(journal, head, writer, err);
}
