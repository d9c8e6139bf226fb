/* The chain by itself: order, damage, gaps, lost tails, lost races, failing calls. */
#include "registry/journal.h"
#include "registry/store.h"
#include "tests/registry/shared_faults.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct note {
    const char *text;            /* what to write; NULL: nothing */
    int applied, asked;          /* entries seen; decisions taken */
    const struct journal *rival; /* commits an entry of its own during the first decision */
};

static enum code apply(void *context, const struct entry *entry, struct err *err)
{
    (void)err;
    struct note *note = context;
    cr_expect_eq(entry->seq, ++note->applied);
    return OK;
}

static enum code decide(void *context, struct draft *draft, struct err *err);

static enum code commit(const struct journal *journal, struct head *head, struct note *note,
                        struct err *err)
{
    struct journal_writer writer = { .apply = apply, .decide = decide, .context = note };
    return journal_commit(journal, head, &writer, NULL, err);
}

static enum code decide(void *context, struct draft *draft, struct err *err)
{
    struct note *note = context;
    note->asked++;
    if (!note->text) return OK;
    if (note->rival && note->asked == 1) {
        struct note other = { .text = "rival" };
        struct head head = { 0 };
        cr_assert_eq(commit(note->rival, &head, &other, err), OK);
    }
    draft->kind = note->applied ? ENTRY_SEAL : ENTRY_INIT;
    draft->actor = "tester";
    draft->reason = note->text;
    char zero[DIGEST_TEXT];
    draft->body = note->applied
                      ? json_pack("{ss}", "suite", digest_text(&(struct digest){ 0 }, zero))
                      : json_pack("{sb}", "open", 1);
    return OK;
}

struct fixture {
    char dir[32], journal_dir[64];
    struct journal journal;
    struct arena arena;
    struct err err;
};

static void set_up(struct fixture *f, int entries)
{
    memset(f, 0, sizeof *f);
    snprintf(f->dir, sizeof f->dir, "/tmp/pawl-journal-XXXXXX");
    cr_assert(mkdtemp(f->dir));
    snprintf(f->journal_dir, sizeof f->journal_dir, "%s/journal", f->dir);
    cr_assert_eq(fs_mkdirs(f->journal_dir, &f->err), OK);
    cr_assert_eq(journal_init(&f->journal, f->journal_dir, &f->err), OK);
    struct head head = { 0 };
    struct note note = { .text = "to begin" };
    for (int i = 0; i < entries; i++)
        cr_assert_eq(commit(&f->journal, &head, &note, &f->err), OK, "%s", f->err.message);
}

static void tear_down(struct fixture *f)
{
    fs_calls = fs_calls_real;
    cr_expect_eq(fs_remove_tree(f->dir, &f->err), OK);
    arena_release(&f->arena);
}

static void overwrite(const char *path, const char *bytes, size_t len)
{
    unlink(path);
    struct err err;
    cr_assert_eq(fs_publish_view(path, bytes, len, &err), OK);
}

static int no_fsync(int fd)
{
    (void)fd;
    return 0;
}

Test(journal, is_one_chain_across_folders)
{
    struct fixture f;
    fs_calls.fsync = no_fsync;
    set_up(&f, 1003);
    struct head head = { 0 };
    struct note note = { 0 };
    cr_expect_eq(journal_end(&f.journal, &head, apply, &note, &f.err), OK, "%s", f.err.message);
    cr_expect_eq(head.seq, 1003);
    int64_t last;
    cr_expect_eq(journal_last(&f.journal, &last, &f.err), OK);
    cr_expect_eq(last, 1003);
    cr_expect(fs_exists(arena_format(&f.arena, "%s/001/0000001001.json", f.journal_dir)));
    struct entry first, second;
    cr_assert_eq(journal_read(&f.journal, &first, 1000, &f.err), OK);
    cr_assert_eq(journal_read(&f.journal, &second, 1001, &f.err), OK);
    struct digest file;
    cr_assert_eq(fs_digest(journal_path(&f.arena, &f.journal, 1000), &file, NULL, &f.err), OK);
    cr_expect(digest_equal(&file, &second.previous));
    struct stat info;
    cr_assert_eq(fs_stat(journal_path(&f.arena, &f.journal, 7), &info, &f.err), OK);
    cr_expect_eq(info.st_mode & 0222, 0, "an entry is read-only");
    entry_release(&first);
    entry_release(&second);
    tear_down(&f);
}

Test(journal, every_flipped_bit_of_the_newest_entry_is_noticed)
{
    struct fixture f;
    set_up(&f, 3);
    const char *path = journal_path(&f.arena, &f.journal, 3);
    struct bytes bytes;
    cr_assert_eq(fs_read(&f.arena, &bytes, path, ENTRY_LIMIT, &f.err), OK);
    char *flipped = arena_copy_len(&f.arena, bytes.at, bytes.len);
    for (size_t bit = 0; bit < bytes.len * 8; bit++) {
        flipped[bit / 8] ^= (char)(1 << bit % 8);
        struct bytes now = { .at = flipped, .len = bytes.len };
        struct entry entry;
        cr_expect_eq(entry_parse(&entry, &now, 3, path, &f.err), DAMAGED, "bit %zu", bit);
        flipped[bit / 8] ^= (char)(1 << bit % 8);
    }
    for (size_t len = 0; len < bytes.len; len++) {
        struct bytes now = { .at = flipped, .len = len };
        struct entry entry;
        cr_expect_eq(entry_parse(&entry, &now, 3, path, &f.err), DAMAGED, "cut to %zu", len);
    }
    tear_down(&f);
}

Test(journal, gaps_lost_tails_and_rewritten_tails_are_noticed)
{
    struct fixture f;
    set_up(&f, 6);
    struct head head = { 0 }, before;
    cr_assert_eq(journal_end(&f.journal, &head, NULL, NULL, &f.err), OK);
    before = head;

    struct bytes third, sixth;
    const char *path3 = journal_path(&f.arena, &f.journal, 3);
    const char *path6 = journal_path(&f.arena, &f.journal, 6);
    cr_assert_eq(fs_read(&f.arena, &third, path3, ENTRY_LIMIT, &f.err), OK);
    cr_assert_eq(fs_read(&f.arena, &sixth, path6, ENTRY_LIMIT, &f.err), OK);

    unlink(path3);
    head = (struct head){ 0 };
    cr_expect_eq(journal_end(&f.journal, &head, NULL, NULL, &f.err), DAMAGED);
    cr_expect(strstr(f.err.message, "entry 3 is missing"), "%s", f.err.message);
    struct note note = { .text = "into the gap" };
    head = (struct head){ 0 };
    cr_expect_eq(commit(&f.journal, &head, &note, &f.err), DAMAGED, "no entry goes into a gap");
    overwrite(path3, third.at, third.len);

    unlink(path6);
    cr_expect_eq(journal_end(&f.journal, &before, NULL, NULL, &f.err), DAMAGED);
    cr_expect(strstr(f.err.message, "6"), "%s", f.err.message);
    head = (struct head){ 0 };
    note = (struct note){ .text = "another sixth" };
    cr_assert_eq(commit(&f.journal, &head, &note, &f.err), OK);
    cr_expect_eq(journal_holds(&f.journal, &before, &f.err), DAMAGED, "a rewritten tail");
    overwrite(path6, sixth.at, sixth.len);
    cr_expect_eq(journal_holds(&f.journal, &before, &f.err), OK);

    /* an entry of another chain in the middle is sound by itself but does not follow */
    struct fixture g;
    set_up(&g, 4);
    struct bytes other;
    cr_assert_eq(
        fs_read(&g.arena, &other, journal_path(&g.arena, &g.journal, 4), ENTRY_LIMIT, &g.err), OK);
    overwrite(journal_path(&f.arena, &f.journal, 4), other.at, other.len);
    head = (struct head){ 0 };
    cr_expect_eq(journal_walk(&f.journal, &head, NULL, NULL, &f.err), DAMAGED);
    cr_expect(strstr(f.err.message, "0000000004.json"), "%s", f.err.message);
    cr_expect_eq(head.seq, 3);
    tear_down(&g);
    tear_down(&f);
}

Test(journal, a_lost_race_is_decided_again_on_what_was_won)
{
    struct fixture f;
    set_up(&f, 2);
    struct head head = { 0 };
    struct note note = { .text = "mine", .rival = &f.journal };
    cr_assert_eq(commit(&f.journal, &head, &note, &f.err), OK, "%s", f.err.message);
    cr_expect_eq(note.asked, 2);
    cr_expect_eq(head.seq, 4);
    struct entry entry;
    cr_assert_eq(journal_read(&f.journal, &entry, 3, &f.err), OK);
    cr_expect_str_eq(entry.reason, "rival");
    entry_release(&entry);
    tear_down(&f);
}

Test(journal, whatever_call_fails_an_acknowledged_entry_is_there)
{
    struct fixture f;
    static const enum fault faults[] = { FAULT_ONCE, FAULT_FOR_GOOD };
    set_up(&f, 1);
    int acknowledged = 1;
    for (size_t i = 0; i < 2; i++) {
        enum code code;
        int n = 0;
        struct head mine = { 0 };
        struct note note = { .text = "under fault" };
        do {
            faults_begin(faults[i], ++n);
            code = commit(&f.journal, &mine, &note, &f.err);
            faults_end();
            acknowledged += code == OK;
            struct head head = { 0 };
            cr_expect_eq(journal_end(&f.journal, &head, NULL, NULL, &f.err), OK, "call %d: %s", n,
                         f.err.message);
            cr_expect_geq(head.seq, acknowledged, "call %d", n);
            acknowledged = (int)head.seq; /* what is there stays */
        } while (code && n < 200);
        cr_expect_gt(n, 8, "calls were failed: %d", n);
        cr_expect_eq(code, OK);
    }
    tear_down(&f);
}

Test(journal, refuses_what_it_could_not_read_back)
{
    struct fixture f;
    set_up(&f, 1);
    char *long_text = arena_take(&f.arena, ENTRY_REASON_LIMIT + 2);
    memset(long_text, 'x', ENTRY_REASON_LIMIT + 1);
    const char *const reasons[] = { long_text, "not \xff UTF-8" };
    for (size_t i = 0; i < 2; i++) {
        struct head head = { 0 };
        struct note note = { .text = reasons[i] };
        cr_expect_eq(commit(&f.journal, &head, &note, &f.err), USAGE, "row %zu", i);
    }
    int64_t last;
    cr_expect_eq(journal_last(&f.journal, &last, &f.err), OK);
    cr_expect_eq(last, 1);
    tear_down(&f);
}

Test(store, content_is_whole_or_absent_and_damage_is_never_reused)
{
    struct fixture f;
    struct store store;
    struct digest digest, again, wrong = { 0 };
    uint64_t size;
    set_up(&f, 0);
    const char *dir = path_join(&f.arena, f.dir, "store");
    const char *source = path_join(&f.arena, f.dir, "source");
    cr_assert_eq(fs_mkdirs(dir, &f.err), OK);
    cr_assert_eq(store_init(&store, dir, f.dir, &f.err), OK);
    cr_assert_eq(store_put(&store, &digest, "hello", 5, &f.err), OK);
    cr_assert_eq(fs_publish(source, "hello", 5, &f.err), OK);
    cr_assert_eq(store_put_file(&store, &again, &size, source, &f.err), OK, "%s", f.err.message);
    cr_expect(digest_equal(&digest, &again) && size == 5);
    char **names;
    size_t count;
    cr_assert_eq(fs_list(&f.arena, &names, &count, dir, &f.err), OK);
    cr_expect_eq(count, 1);
    cr_expect_str_eq(names[0], "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
    struct bytes bytes;
    cr_expect_eq(store_read(&store, &f.arena, &bytes, &digest, 100, &f.err), OK);
    cr_expect_str_eq(bytes.at, "hello");
    cr_expect_eq(store_check(&store, &wrong, NULL, &f.err), DAMAGED);

    overwrite(store_path(&f.arena, &store, &digest), "hellO", 5);
    const char *copy = path_join(&f.arena, f.dir, "copy");
    cr_expect_eq(store_read(&store, &f.arena, &bytes, &digest, 100, &f.err), DAMAGED);
    cr_expect_eq(store_put(&store, &again, "hello", 5, &f.err), DAMAGED);
    cr_expect_eq(store_put_file(&store, &again, NULL, source, &f.err), DAMAGED);
    cr_expect_eq(store_copy(&store, &digest, copy, &f.err), DAMAGED);
    cr_expect_not(fs_exists(copy));
    tear_down(&f);
}
