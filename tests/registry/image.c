/* The layout `image`: deployed like a folder, and damage in any part of it noticed. */
#include "registry/bundle.h"
#include "tests/registry/shared_support.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MUST(call) cr_assert_eq((call), OK, "%s", s.err.message)

static void begin(struct support *support)
{
    struct added added;
    fs_calls.fsync = support_no_fsync;
    cr_assert_eq(support_open(support), OK, "%s", support->err.message);
    for (int i = 1; i <= 2; i++)
        cr_assert_eq(
            support_add(&support->registry, &added, support->dir, "fashion", i, &support->err), OK);
}

static int sh(struct support *support, const char *script)
{
    return system(arena_format(&support->arena, "cd %s; %s", support->dir, script));
}

/* Turns the first bit of byte `at` of a file around. */
static void flip(const char *path, off_t at)
{
    char byte;
    fs_set_mode(path, 0644, NULL);
    int fd = open(path, O_RDWR);
    cr_assert_geq(fd, 0);
    cr_assert_eq(pread(fd, &byte, 1, at), 1);
    byte ^= 1;
    cr_assert_eq(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

Test(image, is_deployed_like_a_folder_and_holds_the_same_files)
{
    struct support s;
    struct deployed deployed;
    json_t *status;
    begin(&s);
    struct deploy_opts opts = { .ref = "fashion@2",
                                .dir = path_join(&s.arena, s.dir, "deploy"),
                                .layout = DEPLOY_IMAGE };
    MUST(registry_deploy_probed(&s.registry, &deployed, &opts, &s.err));
    cr_expect(!deployed.unchanged && deployed.rows == SUPPORT_ROWS);
    cr_expect(strncmp(deployed.bundle, "image-", 6) == 0, "%s", deployed.bundle);
    MUST(registry_deploy_probed(&s.registry, &deployed, &opts, &s.err));
    cr_expect(deployed.unchanged);
    MUST(deploy_status(opts.dir, &status, &s.err));
    const json_t *current = json_object_get(status, "current");
    cr_expect_str_eq(json_string_value(json_object_get(current, "layout")), "image");
    cr_expect_eq(json_integer_value(json_object_get(current, "number")), 2);
    json_decref(status);
    /* the same bytes elsewhere, and in the layer what a folder has */
    MUST(registry_deploy(&s.registry, &deployed, "fashion@2", path_join(&s.arena, s.dir, "folder"),
                         NULL, &s.err));
    opts.dir = path_join(&s.arena, s.dir, "again");
    MUST(registry_deploy_probed(&s.registry, &deployed, &opts, &s.err));
    cr_expect_eq(sh(&s, "diff -r deploy/current/ again/current/"), 0);
    cr_expect_eq(sh(&s, "mkdir out && tar xf \"$(ls -S deploy/current/blobs/sha256/* | head -1)\" "
                        "-C out && diff -r out folder/current/"),
                 0);
    /* one place may change its layout; nothing unfinished stays */
    MUST(registry_deploy(&s.registry, &deployed, "fashion@2", opts.dir, NULL, &s.err));
    cr_expect(!deployed.unchanged && strncmp(deployed.bundle, "sha256-", 7) == 0);
    cr_expect_eq(sh(&s, "test $(ls -A again | wc -l) = 4"), 0);
    support_close(&s);
}

Test(image, damage_in_any_part_of_it_is_noticed_and_mended_by_the_next_deployment)
{
    struct support s;
    struct deployed deployed;
    json_t *status = NULL;
    char **names;
    size_t count;
    begin(&s);
    struct deploy_opts opts = { .dir = path_join(&s.arena, s.dir, "deploy"),
                                .layout = DEPLOY_IMAGE };
    static const char *const parts[] = { "bundle.json", "index.json", "oci-layout" };
    for (size_t p = 0; p < 6; p++) {
        for (int gone = 0; gone < 2; gone++) {
            opts.ref = "fashion@2";
            MUST(registry_deploy_probed(&s.registry, &deployed, &opts, &s.err));
            const char *bundle = path_join(&s.arena, opts.dir, deployed.bundle);
            const char *blobs = path_join(&s.arena, bundle, "blobs/sha256");
            MUST(fs_list(&s.arena, &names, &count, blobs, &s.err));
            cr_assert_eq(count, 3);
            const char *path = p < 3 ? path_join(&s.arena, bundle, parts[p])
                                     : path_join(&s.arena, blobs, names[p - 3]);
            struct stat info;
            MUST(fs_stat(path, &info, &s.err));
            if (gone)
                MUST(fs_remove(path, &s.err));
            else
                flip(path, info.st_size / 2);
            bool alone = gone || p; /* bundle.json by itself is held to the registry alone */
            enum code code = deploy_status(opts.dir, &status, &s.err);
            cr_expect(code == DAMAGED || !alone, "%s, gone %d: %d", path, gone, code);
            json_decref(status);
            status = NULL;
            cr_expect_eq(registry_deploy_probed(&s.registry, &deployed, &opts, &s.err), DAMAGED,
                         "%s, gone %d: in use", path, gone);
            opts.ref = "fashion@1";
            MUST(registry_deploy_probed(&s.registry, &deployed, &opts, &s.err));
        }
    }
    support_close(&s);
}
