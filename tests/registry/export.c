/* Bundles: the same bytes every time, whole on the other side, never channels; and tars that are
 * anything else are refused before anything is written. */
#include "registry/export.h"

#include "registry/snapshot.h"
#include "registry/tar.h"
#include "tests/registry/shared_support.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MUST(call) cr_assert_eq((call), OK, "%s", s.err.message)

/* Two versions with reports and a channel; $S is the folder. */
static void begin(struct support *support)
{
    struct added added;
    struct moved moved;
    struct err *err = &support->err;
    fs_calls.fsync = support_no_fsync;
    cr_assert_eq(support_open(support), OK, "%s", err->message);
    for (int i = 1; i <= 2; i++) {
        cr_assert_eq(support_add(&support->registry, &added, support->dir, "fashion", i, err), OK);
        cr_assert_eq(support_report(&support->registry, NULL, support->dir, "fashion", i, "suite",
                                    "pass", err),
                     OK);
    }
    cr_assert_eq(support_promote(&support->registry, &moved, "fashion", 2, "production", err), OK);
}

static int sh(struct support *support, const char *script)
{
    return system(arena_format(&support->arena, "S=%s; cd $S; %s", support->dir, script));
}

static const char *const both[] = { "fashion@1", "fashion@production", "fashion@2", NULL };

static void expect_clean(struct support *support, const char *path, const char *when)
{
    json_t *result;
    cr_expect_eq(registry_verify(path, &result, NULL, &support->err), OK, "%s: %s", when,
                 support->err.message);
    cr_expect_eq(json_array_size(json_object_get(result, "notes")), 0, "%s", when);
    json_decref(result);
}

Test(export, a_bundle_has_the_same_bytes_and_arrives_whole_without_channels)
{
    struct support s, t;
    struct exported first, second;
    json_t *result, *again;
    begin(&s);
    const char *one = path_join(&s.arena, s.dir, "one.tar");
    const char *two = path_join(&s.arena, s.dir, "two.tar");
    MUST(registry_export(&s.registry, &first, one, both, &s.err));
    MUST(registry_export(&s.registry, &second, two, both, &s.err));
    cr_expect_eq(first.versions, 2, "named twice, there once: %zu", first.versions);
    cr_expect(digest_equal(&first.digest, &second.digest));
    cr_expect_eq(sh(&s, "cmp one.tar two.tar && tar tf one.tar > names && sort -c names"), 0);

    cr_assert_eq(support_open(&t), OK);
    fs_calls.fsync = support_no_fsync;
    struct import_opts opts = { .path = one, .actor = "carrier", .reason = "brought along" };
    MUST(registry_import(&t.registry, &result, &opts, &s.err));
    const json_t *rows = json_object_get(result, "versions");
    cr_assert_eq(json_array_size(rows), 2);
    for (size_t i = 0; i < 2; i++) {
        const json_t *row = json_array_get(rows, i);
        cr_expect_eq(json_integer_value(json_object_get(row, "number")), (int)i + 1);
        cr_expect_eq(json_integer_value(json_object_get(row, "evidence")), 1);
        cr_expect(json_is_false(json_object_get(row, "existed")));
    }
    expect_clean(&s, t.path, "imported");
    const struct model_line *here = state_model(&t.registry.state, "fashion");
    const struct model_line *there = state_model(&s.registry.state, "fashion");
    cr_assert_eq(here->version_count, 2);
    cr_expect_eq(here->channel_count, 0, "channels stay behind");
    cr_expect_eq(t.registry.state.report_count, 0, "reports of elsewhere do not count here");
    for (size_t i = 0; i < 2; i++)
        cr_expect(digest_equal(&here->versions[i].digest, &there->versions[i].digest) &&
                  digest_equal(&here->versions[i].evidence, &there->versions[i].evidence));
    /* the origin, from the entry itself */
    struct entry entry;
    struct digest id;
    MUST(journal_read(&t.registry.journal, &entry, here->versions[0].seq, &s.err));
    const json_t *origin = json_object_get(entry.body, "origin");
    cr_expect(digest_parse(&id, json_string_value(json_object_get(origin, "registry"))) &&
              digest_equal(&id, &s.registry.id));
    cr_expect_eq(json_integer_value(json_object_get(origin, "seq")), there->versions[0].seq);
    entry_release(&entry);
    /* a promotion needs an evaluation here */
    struct moved moved;
    cr_expect_eq(support_promote(&t.registry, &moved, "fashion", 1, "production", &s.err), REFUSED);
    /* again, and under another name */
    struct head head = t.registry.state.head;
    MUST(registry_import(&t.registry, &again, &opts, &s.err));
    cr_expect(json_is_true(
        json_object_get(json_array_get(json_object_get(again, "versions"), 0), "existed")));
    cr_expect_eq(t.registry.state.head.seq, head.seq, "importing again changes nothing");
    json_decref(again);
    opts.as = "other";
    MUST(registry_import(&t.registry, &again, &opts, &s.err));
    cr_expect(state_model(&t.registry.state, "other"));
    json_decref(again);
    expect_clean(&s, t.path, "imported as other");
    json_decref(result);
    support_close(&t);
    support_close(&s);
}

Test(export, new_evidence_about_a_version_that_is_here_is_taken_in)
{
    struct support s, t;
    struct exported exported;
    json_t *result;
    static const char *const refs[] = { "fashion@1", NULL };
    begin(&s);
    cr_assert_eq(support_open(&t), OK);
    fs_calls.fsync = support_no_fsync;
    const char *path = path_join(&s.arena, s.dir, "one.tar");
    struct import_opts opts = { .path = path, .actor = "carrier", .reason = "again" };
    for (int64_t more = 1; more >= 0; more--) {
        MUST(registry_export(&s.registry, &exported, path, refs, &s.err));
        MUST(registry_import(&t.registry, &result, &opts, &s.err));
        json_decref(result);
        expect_clean(&s, t.path, "evidence");
        if (more)
            MUST(support_report(&s.registry, NULL, s.dir, "fashion", 1, "second", "fail", &s.err));
    }
    cr_expect_eq(t.registry.state.head.seq, 3, "init, import, adopt: %lld",
                 (long long)t.registry.state.head.seq);
    support_close(&t);
    support_close(&s);
}

/* Tars by other hands, and our own with one thing changed: python writes them. */
static const char *const hostile[] = {
    "add('../escape', b'x')",
    "add('/etc/escape', b'x')",
    "add('blobs/sha256/../../escape', b'x')",
    "add('blobs/sha256/' + 'g' * 64, b'x')",
    "add('pawl/entries/1.json', b'x')",
    "add('oci-layout', b'x'); add('oci-layout', b'x')",
    "add('oci-layout', b'x'); add('index.json', b'x')",
    "add('oci-layout', b'', tarfile.SYMTYPE, '/etc/passwd')",
    "add('oci-layout', b'', tarfile.LNKTYPE, 'index.json')",
    "add('oci-layout', b'', tarfile.FIFOTYPE)",
    "add('oci-layout', b'', tarfile.CHRTYPE)",
    "add('oci-layout', b'', tarfile.DIRTYPE)",
    "add('oci-layout', b'', tarfile.GNUTYPE_SPARSE)",
    "add('x' * 300, b'x', form=tarfile.GNU_FORMAT)",
    "t.pax_headers = {'path': 'y'}; add('oci-layout', b'x', form=tarfile.PAX_FORMAT)",
    "pass",
    "raw = ours[:512]",
    "raw = b''",
    "raw = ours[:-512]",
    "raw = ours + bytes(1024)",
    "raw = ours[:-1] + b'x'",
    "raw = ours[:124] + b'77777777777' + ours[135:]",
    "raw = ours[:124] + b'-0000000001' + ours[135:]",
    "raw = ours.replace(b'export/1', b'export/2')",
    "raw = swap(b'\"entry\":2', b'\"entry\":3')",
    "raw = swap(b'\"entry\":2', b'\"entry\":9')",
    "raw = swap(b'\"number\":1', b'\"number\":7')",
    "raw = swap(b'\"model\":\"fashion\"', b'\"model\":\"../../x\"')",
    "raw = ours.replace(b'to have it', b'to ruin it')",
    "raw = flip(0)",
    "raw = flip(3)",
    "raw = flip(5)",
};

static const char writer[] =
    "import io, sys, tarfile\n"
    "ours = open('one.tar', 'rb').read()\n"
    "raw = None\n"
    "out = io.BytesIO()\n"
    "t = tarfile.TarFile(fileobj=out, mode='w', format=tarfile.USTAR_FORMAT)\n"
    "def add(name, data, kind=tarfile.REGTYPE, link='', form=tarfile.USTAR_FORMAT):\n"
    "    t.format = form\n"
    "    i = tarfile.TarInfo(name)\n"
    "    i.size, i.mode, i.type, i.linkname = len(data), 0o444, kind, link\n"
    "    t.addfile(i, io.BytesIO(data))\n"
    "def rebuilt(change):\n"
    "    members = [(m, tarfile.open('one.tar').extractfile(m).read())\n"
    "               for m in tarfile.open('one.tar').getmembers()]\n"
    "    for i, (m, data) in enumerate(members): add(m.name, change(i, m.name, data))\n"
    "    t.close()\n"
    "    return out.getvalue()\n"
    "def swap(a, b):\n"
    "    return rebuilt(lambda i, n, d: d.replace(a, b, 1) if n == 'pawl/bundle.json' else d)\n"
    "def flip(which):\n"
    "    return rebuilt(lambda i, n, d: bytes([d[0] ^ 1]) + d[1:] if i == which else d)\n"
    "exec(sys.argv[1])\n"
    "if raw is None: t.close(); raw = out.getvalue()\n"
    "open('bad.tar', 'wb').write(raw)\n";

Test(export, hostile_and_damaged_bundles_are_refused_and_leave_nothing, .timeout = 120)
{
    struct support s, t;
    struct exported exported;
    begin(&s);
    cr_assert_eq(support_open(&t), OK);
    fs_calls.fsync = support_no_fsync;
    MUST(registry_export(&s.registry, &exported, path_join(&s.arena, s.dir, "one.tar"), both,
                         &s.err));
    MUST(fs_publish_view(path_join(&s.arena, s.dir, "write.py"), writer, strlen(writer), &s.err));
    struct import_opts opts = { .path = path_join(&s.arena, s.dir, "bad.tar"),
                                .actor = "carrier",
                                .reason = "to try" };
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        json_t *result = NULL;
        MUST(fs_publish_view(path_join(&s.arena, s.dir, "case"), hostile[i], strlen(hostile[i]),
                             &s.err));
        cr_assert_eq(sh(&s, "python3 write.py \"$(cat case)\""), 0, "%s", hostile[i]);
        enum code code = registry_import(&t.registry, &result, &opts, &s.err);
        cr_expect(code == DAMAGED || code == USAGE, "%s: %d", hostile[i], code);
        json_decref(result);
        cr_expect_eq(t.registry.state.head.seq, code == DAMAGED ? t.registry.state.head.seq : 1);
        const struct model_line *model = state_model(&t.registry.state, "fashion");
        cr_expect(!model || model->version_count <= 1, "%s", hostile[i]);
        cr_expect_not(fs_exists(path_join(&s.arena, s.dir, "escape")));
        json_t *sound;
        cr_expect_eq(registry_verify(t.path, &sound, NULL, &s.err), OK, "%s: %s", hostile[i],
                     s.err.message);
        json_decref(sound);
    }
    support_close(&t);
    support_close(&s);
}

/* Sizes that an octal field cannot hold: written and read back without 8 GiB of content. */
Test(export, a_long_file_gets_a_pax_size_that_the_reader_and_tar_understand)
{
    struct support s;
    struct fs_writer header = { 0 };
    struct tar tar;
    begin(&s);
    const char *path = path_join(&s.arena, s.dir, "long.tar");
    const uint64_t size = ((uint64_t)9 << 30) + 3;
    MUST(fs_writer_open(&header, path, &s.err));
    MUST(tar_header(&header, "oci-layout", size, &s.err));
    MUST(fs_writer_publish(&header, NULL, NULL, &s.err));
    cr_assert_eq(sh(&s, "truncate -s $(( (9<<30) + 512 + 1536 + 1024 )) long.tar"), 0);
    MUST(tar_open(&tar, &s.arena, path, 10, export_expects, &s.err));
    cr_assert_eq(tar.count, 1);
    cr_expect_eq(tar.members[0].size, size);
    tar_close(&tar);
    cr_expect_eq(sh(&s, "tar tvf long.tar | grep -w 9663676419 > /dev/null"), 0);
    support_close(&s);
}
