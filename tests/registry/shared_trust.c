/* Policies are written as files and read like any other, so that the tests go the users' way. */
#include "tests/registry/shared_trust.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const person_names[] = { "ada", "grace", "linus", "mallory" };

json_t *trusted_policy(struct trusted *t, int signatures, const char *channels)
{
    static const char *const roles[] = TRUST_ROLES;
    struct problems problems = { .arena = &t->arena };
    struct str text = { 0 };
    json_t *json = NULL;
    str_addf(&text, "pawl: policy/1\nname: test\nsignatures: %d\nkeys:\n", signatures);
    for (int p = ADA; p <= LINUS; p++)
        str_addf(&text, "  - {person: %s, roles: %s, key: %s}\n", person_names[p], roles[p],
                 key_public_text(&t->arena, &t->keys[p]));
    str_addf(&text, "channels:\n%s\n", channels);
    const char *path = path_join(&t->arena, t->s.dir, "policy.yaml");
    enum code code = fs_publish_view(path, text.at, text.len, &t->s.err);
    if (!code) code = policy_load(&json, &t->arena, path, &problems, &t->s.err);
    if (code && problems.first) fprintf(stderr, "policy: %s\n", problems.first->message);
    str_release(&text);
    return json;
}

static enum code open_closed(struct trusted *t, int signatures, const char *channels)
{
    static const char *const names[] = { "init-grace.sig", "init-linus.sig" };
    struct policy_opts opts = { .key = &t->keys[ADA], .actor = "ada", .reason = "to test" };
    struct support *s = &t->s;
    const char *with[3] = { NULL };
    opts.policy = trusted_policy(t, signatures, channels);
    if (!opts.policy) return s->err.code;
    enum code code = OK;
    registry_close(&s->registry);
    fs_remove_tree(s->path, NULL);
    for (int i = 0; !code && i < signatures - 1; i++) {
        with[i] = path_join(&t->arena, s->dir, names[i]);
        struct policy_opts sign = { .policy = opts.policy, .key = &t->keys[GRACE + i] };
        code = policy_sign(NULL, with[i], &sign, &s->err);
    }
    opts.with = with;
    if (!code) code = registry_init_closed(s->path, &opts, &s->err);
    if (!code) code = registry_open(&s->registry, s->path, &s->err);
    json_decref(opts.policy);
    trusted_as(t, ADA);
    return code;
}

enum code trusted_open(struct trusted *t, int signatures, const char *channels)
{
    memset(t, 0, sizeof *t);
    fs_calls.fsync = support_no_fsync;
    TRY(support_open(&t->s));
    for (int p = 0; p < PERSONS; p++) TRY(key_make(&t->keys[p], &t->s.err));
    return channels ? open_closed(t, signatures, channels) : OK;
}

void trusted_close(struct trusted *t)
{
    for (int p = 0; p < PERSONS; p++) key_release(&t->keys[p]);
    support_close(&t->s);
    arena_release(&t->arena);
}

void trusted_as(struct trusted *t, enum person person)
{
    t->s.registry.key = &t->keys[person];
}

const char *trusted_signature(struct trusted *t, json_t *policy, enum person person,
                              const char *name)
{
    struct policy_opts opts = { .policy = policy, .key = &t->keys[person] };
    const char *path = path_join(&t->arena, t->s.dir, name);
    return policy_sign(&t->s.registry, path, &opts, &t->s.err) ? NULL : path;
}
