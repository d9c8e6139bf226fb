/* The recorder's wrappers, and the choice of what survives. */
#include "tests/registry/tools/crash_model.h"

#include "base/rng.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_FDS = 1024, ROOT = 0, NONE = -1 };

static struct crash_record *recording;
static int node_of_fd[MOST_FDS];

static void *grown(struct arena *arena, void *array, size_t count, size_t size)
{
    if (count & (count - 1)) return array;
    void *more = arena_array(arena, count ? count * 2 : 1, size);
    if (count) memcpy(more, array, count * size);
    return more;
}

static int add_node(struct crash_record *r, mode_t mode, const char *bytes, size_t len)
{
    r->nodes = grown(&r->arena, r->nodes, r->node_count, sizeof *r->nodes);
    r->nodes[r->node_count] = (struct crash_node){ .mode = mode, .bytes = bytes, .len = len };
    return (int)r->node_count++;
}

static struct crash_call *add_call(struct crash_record *r, enum crash_kind kind, int node)
{
    r->calls = grown(&r->arena, r->calls, r->call_count, sizeof *r->calls);
    struct crash_call *call = &r->calls[r->call_count++];
    *call = (struct crash_call){ .kind = kind, .node = node };
    return call;
}

/* Sets a name in a list of names. */
static void set_name(struct arena *arena, struct crash_change **list, size_t *count,
                     const struct crash_change *change)
{
    for (size_t i = 0; i < *count; i++) {
        struct crash_change *name = &(*list)[i];
        if (name->dir == change->dir && strcmp(name->name, change->name) == 0) {
            name->node = change->node;
            return;
        }
    }
    *list = grown(arena, *list, *count, sizeof **list);
    (*list)[(*count)++] = *change;
}

static int find_name(const struct crash_change *list, size_t count, int dir, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (list[i].dir == dir && strcmp(list[i].name, name) == 0) return list[i].node;
    return NONE;
}

/* The folder and last name of a path under the root; dir NONE for other paths. */
static struct crash_change place_of(struct crash_record *r, const char *path)
{
    struct crash_change place = { .dir = NONE, .node = NONE };
    size_t len = strlen(r->root);
    if (strncmp(path, r->root, len) != 0 || (path[len] && path[len] != '/')) return place;
    int dir = ROOT;
    const char *at = path + len;
    while (*at == '/') at++;
    if (!*at) return (struct crash_change){ .dir = NONE, .node = ROOT };
    for (;;) {
        size_t part = strcspn(at, "/");
        const char *name = arena_copy_len(&r->arena, at, part);
        int node = find_name(r->live, r->live_count, dir, name);
        at += part;
        while (*at == '/') at++;
        if (!*at) return (struct crash_change){ .dir = dir, .node = node, .name = name };
        if (node == NONE) return place;
        dir = node;
    }
}

static void record_names(struct crash_record *r, const struct crash_change *changes, int count)
{
    struct crash_call *call = add_call(r, CRASH_NAMES, NONE);
    for (int i = 0; i < count; i++) {
        call->changes[call->change_count++] = changes[i];
        set_name(&r->arena, &r->live, &r->live_count, &changes[i]);
    }
}

static int make_name(struct crash_record *r, struct crash_change place, int node)
{
    place.node = node;
    record_names(r, &place, 1);
    return node;
}

static int recorded_open(const char *path, int flags, mode_t mode)
{
    struct crash_change place = place_of(recording, path);
    int fd = fs_calls_real.open(path, flags, mode);
    if (fd < 0 || fd >= MOST_FDS) return fd;
    if (place.node == NONE && place.dir != NONE && flags & O_CREAT)
        place.node = make_name(recording, place, add_node(recording, S_IFREG | 0644, "", 0));
    node_of_fd[fd] = place.node;
    return fd;
}

static void record_write(int node, const void *bytes, size_t len, uint64_t at)
{
    if (node == NONE) return;
    const char *copy = arena_copy_len(&recording->arena, bytes, len);
    struct crash_call *call = add_call(recording, CRASH_WRITE, node);
    call->at = at;
    call->bytes = copy;
    call->len = len;
}

static ssize_t recorded_pwrite(int fd, const void *bytes, size_t len, off_t at)
{
    ssize_t put = fs_calls_real.pwrite(fd, bytes, len, at);
    if (put > 0) record_write(node_of_fd[fd], bytes, (size_t)put, (uint64_t)at);
    return put;
}

static ssize_t recorded_append(int fd, const void *bytes, size_t len)
{
    struct stat info;
    fs_calls_real.fstat(fd, &info);
    ssize_t put = fs_calls_real.append(fd, bytes, len);
    if (put > 0) record_write(node_of_fd[fd], bytes, (size_t)put, (uint64_t)info.st_size);
    return put;
}

static int recorded_fsync(int fd)
{
    if (node_of_fd[fd] != NONE) add_call(recording, CRASH_SYNC, node_of_fd[fd]);
    return 0; /* the record decides what is durable */
}

static int recorded_rename(const char *from, const char *to)
{
    struct crash_change changes[2] = { place_of(recording, from), place_of(recording, to) };
    int result = fs_calls_real.rename(from, to);
    if (result || changes[0].node == NONE) return result;
    changes[1].node = changes[0].node;
    changes[0].node = NONE;
    record_names(recording, changes, 2);
    return 0;
}

static int recorded_link(const char *from, const char *to)
{
    struct crash_change source = place_of(recording, from), place = place_of(recording, to);
    int result = fs_calls_real.link(from, to);
    if (!result) make_name(recording, place, source.node);
    return result;
}

static int recorded_symlink(const char *target, const char *path)
{
    struct crash_change place = place_of(recording, path);
    int result = fs_calls_real.symlink(target, path);
    const char *copy = arena_copy(&recording->arena, target);
    if (!result) make_name(recording, place, add_node(recording, S_IFLNK, copy, strlen(copy)));
    return result;
}

/* What is shared has no bytes to record: as on a file system that cannot. */
static int recorded_clone(int to, int from)
{
    (void)to;
    (void)from;
    errno = EOPNOTSUPP;
    return -1;
}

static int forget(const char *path, int result)
{
    if (result) return result;
    make_name(recording, place_of(recording, path), NONE);
    return 0;
}

static int recorded_unlink(const char *path)
{
    return forget(path, fs_calls_real.unlink(path));
}

static int recorded_rmdir(const char *path)
{
    return forget(path, fs_calls_real.rmdir(path));
}

static int recorded_mkdir(const char *path, mode_t mode)
{
    struct crash_change place = place_of(recording, path);
    int result = fs_calls_real.mkdir(path, mode);
    if (!result) make_name(recording, place, add_node(recording, S_IFDIR | mode, NULL, 0));
    return result;
}

static int recorded_chmod(const char *path, mode_t mode)
{
    int result = fs_calls_real.chmod(path, mode), node = place_of(recording, path).node;
    if (!result && node != NONE) add_call(recording, CRASH_MODE, node)->mode = mode;
    return result;
}

/* What lies in a folder, into the record. Hard links are one node. */
static void read_folder(struct crash_record *r, int dir, const char *path, ino_t *inodes)
{
    char **names;
    struct err err;
    REQUIRE(fs_list(&r->arena, &names, NULL, path, &err) == OK);
    for (size_t i = 0; names[i]; i++) {
        const char *child = path_join(&r->arena, path, names[i]);
        struct stat info;
        struct bytes bytes = { .at = "" };
        int node = NONE;
        REQUIRE(lstat(child, &info) == 0);
        for (size_t n = 0; S_ISREG(info.st_mode) && n < r->node_count && node == NONE; n++)
            if (inodes[n] == info.st_ino && S_ISREG(r->nodes[n].mode)) node = (int)n;
        if (node == NONE && S_ISREG(info.st_mode))
            REQUIRE(fs_read(&r->arena, &bytes, child, 64 << 20, &err) == OK);
        if (S_ISLNK(info.st_mode)) {
            char target[512];
            ssize_t len = readlink(child, target, sizeof target);
            bytes.at = arena_copy_len(&r->arena, target, (size_t)len);
            bytes.len = (size_t)len;
        }
        if (node == NONE) {
            node = add_node(r, info.st_mode, bytes.at, bytes.len);
            inodes[node] = info.st_ino;
            r->nodes[node].time = info.st_mtime;
        }
        set_name(&r->arena, &r->names, &r->name_count,
                 &(struct crash_change){ .dir = dir, .node = node, .name = names[i] });
        if (S_ISDIR(info.st_mode)) read_folder(r, node, child, inodes);
    }
}

void crash_begin(struct crash_record *record, const char *root)
{
    enum { MOST_NODES = 1 << 16 };
    memset(record, 0, sizeof *record);
    record->root = root;
    ino_t *inodes = ARENA_ARRAY(&record->arena, MOST_NODES, ino_t);
    add_node(record, S_IFDIR | 0755, NULL, 0);
    read_folder(record, ROOT, root, inodes);
    for (size_t i = 0; i < record->name_count; i++)
        set_name(&record->arena, &record->live, &record->live_count, &record->names[i]);
    for (int fd = 0; fd < MOST_FDS; fd++) node_of_fd[fd] = NONE;
    recording = record;
    fs_calls = fs_calls_real;
    fs_calls.open = recorded_open;
    fs_calls.pwrite = recorded_pwrite;
    fs_calls.append = recorded_append;
    fs_calls.fsync = recorded_fsync;
    fs_calls.rename = recorded_rename;
    fs_calls.link = recorded_link;
    fs_calls.symlink = recorded_symlink;
    fs_calls.unlink = recorded_unlink;
    fs_calls.mkdir = recorded_mkdir;
    fs_calls.rmdir = recorded_rmdir;
    fs_calls.chmod = recorded_chmod;
    fs_calls.clone = recorded_clone;
}

void crash_end(struct crash_record *record)
{
    (void)record;
    recording = NULL;
    fs_calls = fs_calls_real;
}

void crash_forget_syncs(struct crash_record *record)
{
    for (size_t i = 0; i < record->call_count; i++)
        if (record->calls[i].kind == CRASH_SYNC) record->calls[i].node = NONE;
}

void crash_release(struct crash_record *record)
{
    arena_release(&record->arena);
    memset(record, 0, sizeof *record);
}

static bool synced(const struct crash_record *r, size_t from, size_t to, int node)
{
    for (size_t i = from; i < to; i++)
        if (r->calls[i].kind == CRASH_SYNC && r->calls[i].node == node) return true;
    return false;
}

static bool durable(const struct crash_record *r, size_t at, size_t calls)
{
    const struct crash_call *call = &r->calls[at];
    if (call->kind == CRASH_WRITE) return synced(r, at + 1, calls, call->node);
    for (int i = 0; call->kind == CRASH_NAMES && i < call->change_count; i++)
        if (!synced(r, at + 1, calls, call->changes[i].dir)) return false;
    return call->kind == CRASH_NAMES;
}

/* A state while it is being made. */
struct making {
    struct arena arena;
    const struct crash_record *record;
    struct {
        char *bytes;
        size_t len;
        mode_t mode;
        const char *made; /* where it was written already */
    } * nodes;
    struct crash_change *names;
    size_t name_count;
};

static void apply_write(struct making *m, const struct crash_call *call, size_t kept, bool zeros)
{
    size_t end = (size_t)call->at + (zeros ? call->len : kept), len = m->nodes[call->node].len;
    if (end > len) {
        char *more = arena_take(&m->arena, end + 1);
        if (len) memcpy(more, m->nodes[call->node].bytes, len);
        m->nodes[call->node].bytes = more;
        m->nodes[call->node].len = end;
    }
    if (kept) memcpy(m->nodes[call->node].bytes + call->at, call->bytes, kept);
}

/* What becomes of a call that is not durable. */
static void apply_perhaps(struct making *m, const struct crash_call *call, uint64_t seed, size_t at,
                          unsigned variant)
{
    static const unsigned keep[] = { 20, 50, 80 }; /* per cent */
    struct philox block = philox4x32(seed, at, variant);
    bool kept = block.word[0] % 100 < keep[variant % 3];
    size_t part = call->len ? block.word[1] % call->len : 0;
    if (call->kind == CRASH_WRITE && kept)
        apply_write(m, call, call->len, false);
    else if (call->kind == CRASH_WRITE && block.word[2] % 2)
        apply_write(m, call, part, block.word[3] % 2);
    for (int i = 0; kept && i < call->change_count; i++)
        set_name(&m->arena, &m->names, &m->name_count, &call->changes[i]);
    if (call->kind == CRASH_MODE && kept)
        m->nodes[call->node].mode = (m->nodes[call->node].mode & S_IFMT) | call->mode;
}

static void apply(struct making *m, const struct crash_call *call)
{
    if (call->kind == CRASH_WRITE) apply_write(m, call, call->len, false);
    for (int i = 0; i < call->change_count; i++)
        set_name(&m->arena, &m->names, &m->name_count, &call->changes[i]);
    if (call->kind == CRASH_MODE)
        m->nodes[call->node].mode = (m->nodes[call->node].mode & S_IFMT) | call->mode;
}

static void write_node(struct making *m, int node, const char *path)
{
    mode_t mode = m->nodes[node].mode;
    if (S_ISDIR(mode)) {
        REQUIRE(mkdir(path, 0755) == 0 || node == ROOT);
        for (size_t i = 0; i < m->name_count; i++)
            if (m->names[i].dir == node && m->names[i].node != NONE)
                write_node(m, m->names[i].node, path_join(&m->arena, path, m->names[i].name));
        chmod(path, mode & 07777);
    } else if (S_ISLNK(mode)) {
        const struct crash_node *link = &m->record->nodes[node];
        REQUIRE(symlink(arena_copy_len(&m->arena, link->bytes, link->len), path) == 0);
    } else if (m->nodes[node].made) {
        REQUIRE(link(m->nodes[node].made, path) == 0);
    } else {
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
        REQUIRE(fd >= 0);
        size_t len = m->nodes[node].len;
        REQUIRE(!len || write(fd, m->nodes[node].bytes, len) == (ssize_t)len);
        struct timespec times[2] = { { .tv_sec = m->record->nodes[node].time } };
        times[1] = times[0];
        if (times[0].tv_sec) futimens(fd, times);
        fchmod(fd, mode & 07777);
        close(fd);
        m->nodes[node].made = path;
    }
}

void crash_make(const struct crash_record *record, size_t calls, unsigned variant, uint64_t seed,
                const char *to)
{
    struct making m = { .record = record };
    struct err err;
    m.nodes = arena_array(&m.arena, record->node_count, sizeof *m.nodes);
    for (size_t n = 0; n < record->node_count; n++) {
        m.nodes[n].len = record->nodes[n].len;
        m.nodes[n].mode = record->nodes[n].mode;
        m.nodes[n].bytes = record->nodes[n].bytes
                               ? arena_copy_len(&m.arena, record->nodes[n].bytes, m.nodes[n].len)
                               : NULL;
    }
    for (size_t i = 0; i < record->name_count; i++)
        set_name(&m.arena, &m.names, &m.name_count, &record->names[i]);
    for (size_t i = 0; i < calls; i++) {
        if (variant == 0 || durable(record, i, calls))
            apply(&m, &record->calls[i]);
        else if (variant > 1)
            apply_perhaps(&m, &record->calls[i], seed, i, variant);
    }
    REQUIRE(fs_remove_tree(to, &err) == OK && mkdir(to, 0755) == 0);
    write_node(&m, ROOT, to);
    arena_release(&m.arena);
}

bool crash_agrees(const struct crash_record *record, const char *copy)
{
    struct arena arena = { 0 };
    crash_make(record, record->call_count, 0, 0, copy);
    bool same = system(arena_format(&arena, "diff -r --no-dereference %s %s", record->root,
                                    copy)) == 0;
    arena_release(&arena);
    return same;
}
