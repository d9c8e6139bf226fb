/* One registry, damaged in place in every way that a disk or an editor may, and put right again. */
#include "tests/registry/tools/drill.h"

#include "base/rng.h"
#include "registry/oci.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LARGE = 256 << 10, MOST_FILES = 32, CUTS_OF_LARGE = 64 };

struct damage {
    struct arena arena;
    struct registry registry;
    const char *path;
    const char *small[MOST_FILES], *large;
    int small_count;
    int bits, cuts, flips, removed, missed;
};

static void must(enum code code, const struct err *err)
{
    if (!code) return;
    fprintf(stderr, "drill: %s\n", err->message);
    exit(1);
}

static bool noticed(struct damage *damage)
{
    json_t *result = NULL;
    struct err err;
    enum code code = registry_verify(damage->path, &result, NULL, &err);
    json_decref(result);
    return code == DAMAGED;
}

static void expect_noticed(struct damage *damage, const char *what, const char *file, size_t at)
{
    if (noticed(damage)) return;
    printf("WRONG: %s %zu of '%s' was not noticed\n", what, at, file);
    damage->missed++;
}

static void add_small(struct damage *damage, const char *path)
{
    REQUIRE(damage->small_count < MOST_FILES);
    damage->small[damage->small_count++] = path;
}

/* One version with a report whose scores are large; production holds it: four entries. */
static void make(struct damage *damage, const char *work)
{
    struct arena *arena = &damage->arena;
    struct registry *registry = &damage->registry;
    struct oci_version files;
    struct added added;
    struct moved moved;
    struct err err;
    fs_calls.fsync = support_no_fsync;
    damage->path = path_join(arena, work, "registry");
    must(registry_init(damage->path, "founder", "to drill", &err), &err);
    must(registry_open(registry, damage->path, &err), &err);
    must(support_add(registry, &added, work, "fashion", 1, &err), &err);
    char *scores = arena_take(arena, LARGE);
    for (size_t i = 0; i < LARGE; i++) scores[i] = (char)philox4x32(5, i, 0).word[0];
    const char *dir = path_join(arena, work, "report");
    must(fs_mkdirs(dir, &err), &err);
    must(fs_publish(path_join(arena, dir, "report.json"), "{\"pawl\":\"report/1\"}", 19, &err),
         &err);
    must(fs_publish(path_join(arena, dir, "scores.h5"), scores, LARGE, &err), &err);
    struct digest large = digest_of(scores, LARGE);
    struct report_opts opts = { .model = "fashion",
                                .number = 1,
                                .dir = dir,
                                .model_digest = added.model_digest,
                                .suite = digest_of("suite", 5),
                                .report = digest_of("report", 6),
                                .verdict = "pass",
                                .actor = "evaluator" };
    must(registry_record_report(registry, NULL, &opts, &err), &err);
    must(support_promote(registry, &moved, "fashion", 1, "production", &err), &err);
    must(oci_read(registry, &files, &added.digest, &err), &err);
    damage->large = store_path(arena, &registry->store, &large);
    add_small(damage, path_join(arena, damage->path, "registry.json"));
    add_small(damage, oci_path(arena, registry, "fashion", "oci-layout"));
    add_small(damage, store_path(arena, &registry->store, &added.digest));
    add_small(damage, store_path(arena, &registry->store, &files.config.digest));
    for (int64_t seq = 1; seq <= registry->state.head.seq; seq++)
        add_small(damage, journal_path(arena, &registry->journal, seq));
    REQUIRE(!noticed(damage));
}

/* The file in place, writable; the caller closes. */
static int open_file(struct damage *damage, const char *path, struct bytes *bytes)
{
    struct err err;
    must(fs_read(&damage->arena, bytes, path, 1 << 20, &err), &err);
    chmod(path, 0644);
    int fd = open(path, O_RDWR);
    REQUIRE(fd >= 0);
    return fd;
}

static void flip(struct damage *damage, int fd, const struct bytes *bytes, size_t bit,
                 const char *path)
{
    char byte = (char)(bytes->at[bit / 8] ^ (1 << bit % 8));
    REQUIRE(pwrite(fd, &byte, 1, (off_t)(bit / 8)) == 1);
    expect_noticed(damage, "bit", path, bit);
    REQUIRE(pwrite(fd, &bytes->at[bit / 8], 1, (off_t)(bit / 8)) == 1);
}

static void cut(struct damage *damage, int fd, const struct bytes *bytes, size_t len,
                const char *path)
{
    REQUIRE(ftruncate(fd, (off_t)len) == 0);
    expect_noticed(damage, "length", path, len);
    size_t rest = bytes->len - len;
    REQUIRE(pwrite(fd, bytes->at + len, rest, (off_t)len) == (ssize_t)rest);
    damage->cuts++;
}

static void damage_small(struct damage *damage, const char *path, int step)
{
    struct bytes bytes;
    int fd = open_file(damage, path, &bytes);
    for (size_t bit = 0; bit < bytes.len * 8; bit += (size_t)step, damage->bits++)
        flip(damage, fd, &bytes, bit, path);
    for (size_t len = 0; len < bytes.len; len += (size_t)step) cut(damage, fd, &bytes, len, path);
    close(fd);
}

static void damage_large(struct damage *damage, int flips, uint64_t seed)
{
    struct bytes bytes;
    int fd = open_file(damage, damage->large, &bytes);
    for (int i = 0; i < flips; i++, damage->flips++)
        flip(damage, fd, &bytes, philox4x32(seed, (uint64_t)i, 1).word[0] % (bytes.len * 8),
             damage->large);
    for (int i = 0; i < CUTS_OF_LARGE && i < flips; i++)
        cut(damage, fd, &bytes, philox4x32(seed, (uint64_t)i, 2).word[0] % bytes.len,
            damage->large);
    close(fd);
}

/* The views tell of what was there. */
static void remove_last(struct damage *damage)
{
    struct arena *arena = &damage->arena;
    struct err err;
    for (int64_t seq = damage->registry.state.head.seq; seq > 0; seq--, damage->removed++) {
        const char *path = journal_path(arena, &damage->registry.journal, seq);
        must(
            fs_replace(path, arena_format(arena, "%s/../%lld", damage->path, (long long)seq), &err),
            &err);
        expect_noticed(damage, "the removal down to entry", path, (size_t)seq);
    }
}

int drill_damage(const char *work, int step, int flips, uint64_t seed)
{
    struct damage damage = { 0 };
    make(&damage, work);
    for (int i = 0; i < damage.small_count; i++) damage_small(&damage, damage.small[i], step);
    damage_large(&damage, flips, seed);
    REQUIRE(!noticed(&damage));
    remove_last(&damage);
    printf("damage     %d small documents: %d bits, %d cuts; %d flips of a large one; %d times the "
           "last entries removed; %d not noticed\n",
           damage.small_count, damage.bits, damage.cuts, damage.flips, damage.removed,
           damage.missed);
    int missed = damage.missed;
    registry_close(&damage.registry);
    fs_calls = fs_calls_real;
    fs_remove_tree(damage.path, NULL);
    arena_release(&damage.arena);
    return missed;
}
