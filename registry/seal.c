/* Seals and looks: what is written down before anything is scored. */
#include "registry/registry.h"

#include "registry/commit.h"
#include "registry/statement.h"

#include <string.h>

struct noting {
    enum entry_kind kind;
    json_t *body;
    const char *actor;
    int64_t look;
    struct digest suite, model_digest;
};

/* How often this candidate's bar was sealed before under suites of this name: a bar that moves
 * after results were seen shows. */
static void count_seals(const struct noting *noting, json_t *body, const struct state *state)
{
    int64_t suites;
    const char *name = json_string_value(json_object_get(body, "name"));
    int64_t before = name ? state_seals(state, &suites, &noting->model_digest, name) : 0;
    if (before) json_object_set_new(body, "again", json_integer(before));
}

static enum code decide_note(void *context, const struct state *state, struct draft *draft,
                             struct err *err)
{
    (void)err;
    struct noting *noting = context;
    draft->kind = noting->kind;
    draft->actor = noting->actor;
    draft->body = json_deep_copy(noting->body);
    draft_subject(draft, &noting->suite);
    if (noting->kind == ENTRY_SEAL) count_seals(noting, draft->body, state);
    if (noting->kind != ENTRY_LOOK) return OK;
    noting->look = state_looks(state, &noting->model_digest, &noting->suite) + 1;
    json_object_set_new(draft->body, "look", json_integer(noting->look));
    draft_subject(draft, &noting->model_digest);
    return OK;
}

enum code registry_seal(struct registry *registry, int64_t *seq, const json_t *body,
                        const char *actor, struct err *err)
{
    struct noting noting = { .kind = ENTRY_SEAL, .actor = actor };
    const char *model = json_string_value(json_object_get(body, "model_digest"));
    REQUIRE(digest_parse(&noting.suite, json_string_value(json_object_get(body, "suite"))));
    if (model) REQUIRE(digest_parse(&noting.model_digest, model));
    TRY(registry_refresh(registry, err));
    noting.body = json_deep_copy(body);
    enum code code = OK;
    if (!registry->state.open) {
        json_set_digest(noting.body, "policy", &registry->state.policy.digest);
        code = statement_put(registry, noting.body, ENTRY_SEAL, NULL, err);
    }
    if (!code) code = registry_commit(registry, decide_note, &noting, seq, err);
    json_decref(noting.body);
    return code;
}

enum code registry_look(struct registry *registry, int64_t *look, const json_t *body,
                        const char *actor, struct err *err)
{
    struct noting noting = { .kind = ENTRY_LOOK, .actor = actor };
    const char *model = json_string_value(json_object_get(body, "model_digest"));
    REQUIRE(digest_parse(&noting.suite, json_string_value(json_object_get(body, "suite"))));
    REQUIRE(digest_parse(&noting.model_digest, model));
    noting.body = json_deep_copy(body);
    enum code code = registry_commit(registry, decide_note, &noting, NULL, err);
    json_decref(noting.body);
    if (!code && look) *look = noting.look;
    return code;
}
