/* Hooks are called once per move, in order, and again until they succeed; a deployment that its
 * server does not like is taken back. */
#include "registry/hook.h"

#include "registry/deploy.h"
#include "tests/registry/shared_support.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MUST(call) cr_assert_eq((call), OK, "%s", s.err.message)

extern char **environ;

static void begin(struct support *support)
{
    struct added added;
    struct err *err = &support->err;
    fs_calls.fsync = support_no_fsync;
    cr_assert_eq(support_open(support), OK, "%s", err->message);
    for (int i = 1; i <= 2; i++) {
        cr_assert_eq(support_add(&support->registry, &added, support->dir, "fashion", i, err), OK);
        cr_assert_eq(support_report(&support->registry, NULL, support->dir, "fashion", i, "suite",
                                    "pass", err),
                     OK);
    }
}

static void script(struct support *support, const char *name, const char *text)
{
    struct arena *arena = &support->arena;
    const char *path = path_join(arena, support->dir, name);
    text = arena_format(arena, "#!/bin/sh\nS=%s\n%s\n", support->dir, text);
    cr_assert_eq(fs_mkdirs(path_dir(arena, path), &support->err), OK);
    cr_assert_eq(fs_publish_view(path, text, strlen(text), &support->err), OK);
    cr_assert_eq(fs_set_mode(path, 0755, &support->err), OK);
}

/* Calls the hooks; the member of the result. */
static int64_t call(struct support *support, const char *member)
{
    json_t *result;
    struct hook_opts opts = { .dir = path_join(&support->arena, support->dir, "hooks"),
                              .environment = environ,
                              .after = 0,
                              .timeout_s = 2 };
    cr_assert_eq(registry_hooks(&support->registry, &result, &opts, &support->err), OK, "%s",
                 support->err.message);
    int64_t value = json_integer_value(json_object_get(result, member));
    json_decref(result);
    return value;
}

static const char *told(struct support *support)
{
    struct bytes bytes = { .at = "" };
    fs_read(&support->arena, &bytes, path_join(&support->arena, support->dir, "told"), 1 << 20,
            NULL);
    return bytes.at;
}

Test(hook, every_move_is_told_in_order_and_again_until_it_is_heard)
{
    struct support s;
    struct moved moved;
    begin(&s);
    script(&s, "hooks/tell", "grep -o '\"seq\":[0-9]*' >> $S/told");
    script(&s, "hooks/notes.txt", "");
    MUST(fs_set_mode(path_join(&s.arena, s.dir, "hooks/notes.txt"), 0644, &s.err));
    MUST(support_promote(&s.registry, &moved, "fashion", 1, "production", &s.err));
    cr_expect_eq(call(&s, "called"), 1);
    cr_expect_eq(call(&s, "called"), 0, "once is enough");
    cr_expect_str_eq(told(&s), "\"seq\":6\n");
    script(&s, "hooks/tell", "exit 3");
    MUST(support_promote(&s.registry, &moved, "fashion", 2, "production", &s.err));
    MUST(support_promote(&s.registry, &moved, "fashion", 1, "staging", &s.err));
    cr_expect_eq(call(&s, "pending"), 2);
    script(&s, "hooks/tell", "sleep 60 & sleep 60");
    cr_expect_eq(call(&s, "pending"), 2, "one that hangs is ended");
    script(&s, "hooks/tell", "grep -o '\"seq\":[0-9]*' >> $S/told");
    cr_expect_eq(call(&s, "called"), 2);
    cr_expect_str_eq(told(&s), "\"seq\":6\n\"seq\":7\n\"seq\":8\n");
    cr_expect_eq(call(&s, "pending"), 0);
    support_close(&s);
}

static const char *target(struct support *support)
{
    char text[256];
    const char *link = path_join(&support->arena, support->dir, "deploy/current");
    ssize_t len = readlink(link, text, sizeof text - 1);
    return len > 0 ? arena_copy_len(&support->arena, text, (size_t)len) : "";
}

Test(hook, a_server_that_refuses_the_bundle_gets_the_old_one_back)
{
    struct support s;
    struct deployed deployed;
    begin(&s);
    struct deploy_opts opts = { .ref = "fashion@1",
                                .dir = path_join(&s.arena, s.dir, "deploy"),
                                .probe = "false",
                                .environment = environ,
                                .timeout_s = 1 };
    cr_expect_eq(registry_deploy_probed(&s.registry, &deployed, &opts, &s.err), HOPELESS);
    cr_expect(strstr(s.err.message, "exited with 1"), "%s", s.err.message);
    cr_expect_str_eq(target(&s), "", "the first one leaves nothing");
    opts.probe = "test -e \"$1/bundle.json\" && test \"$(readlink $1/../current)\" = ${1##*/}";
    MUST(registry_deploy_probed(&s.registry, &deployed, &opts, &s.err));
    const char *first = target(&s);
    cr_expect_str_eq(first, deployed.bundle);
    static const char *const failing[] = { "exit 9", "kill -9 $$", "sleep 20" };
    opts.ref = "fashion@2";
    for (size_t i = 0; i < sizeof failing / sizeof *failing; i++) {
        opts.probe = failing[i];
        cr_expect_eq(registry_deploy_probed(&s.registry, &deployed, &opts, &s.err), HOPELESS, "%s",
                     failing[i]);
        cr_expect_str_eq(target(&s), first, "%s", failing[i]);
    }
    /* a swap that nobody confirmed is asked again, and taken back to what was confirmed */
    MUST(fs_publish_link(deployed.bundle, path_join(&s.arena, opts.dir, "current"), &s.err));
    opts.probe = "false";
    cr_expect_eq(registry_deploy_probed(&s.registry, &deployed, &opts, &s.err), HOPELESS);
    cr_expect_str_eq(target(&s), first);
    opts.probe = "true";
    MUST(registry_deploy_probed(&s.registry, &deployed, &opts, &s.err));
    cr_expect_str_eq(target(&s), deployed.bundle);
    cr_expect_eq(deployed.version.number, 2);
    opts.probe = "false"; /* unchanged and confirmed: not asked */
    MUST(registry_deploy_probed(&s.registry, &deployed, &opts, &s.err));
    cr_expect(deployed.unchanged);
    support_close(&s);
}
