/* The chain, one function a step. */
#include "workflow/release.h"

#include "base/log.h"
#include "registry/deploy.h"
#include "registry/trust.h"
#include "workflow/add.h"
#include "workflow/evaluate.h"

#include <stdio.h>
#include <string.h>

static const char *const step_names[STEP_COUNT] = {
    [STEP_TRAIN] = "train",     [STEP_ADD] = "add",       [STEP_EVAL] = "eval",
    [STEP_PROMOTE] = "promote", [STEP_DEPLOY] = "deploy",
};

enum release_step release_step(const char *name)
{
    int step = 0;
    while (step < STEP_COUNT && strcmp(step_names[step], name) != 0) step++;
    return (enum release_step)step;
}

const char *release_step_name(enum release_step step)
{
    return step_names[step];
}

/* What the steps hand on. */
struct chain {
    const struct release_request *request;
    const struct experiment *experiment;
    struct released *released;
    struct problems *problems;
    struct arena arena;
    struct train_result trained;
    struct added added;
    struct registry registry;
    bool registry_open;
    int64_t held; /* what the channel held when the candidate was judged, 0 for nothing */
    const char *reason;
};

static void report(struct chain *c, enum release_step step, bool skipped, const char *text,
                   const struct digest *digest)
{
    char hex[DIGEST_TEXT];
    digest_text(digest, hex);
    json_array_append_new(c->released->steps,
                          json_pack("{s:s,s:b,s:s,s:s}", "step", step_names[step], "skipped",
                                    skipped, "text", text, "digest", hex));
    if (c->request->done) c->request->done(c->request->context, step, skipped, text, hex);
}

/* Whether the key may sign what each step writes down. */
static enum code check_key(struct chain *c, enum release_step last, struct err *err)
{
    static const struct {
        enum release_step step;
        enum entry_kind kind;
    } rows[] = { { STEP_ADD, ENTRY_REGISTER },
                 { STEP_EVAL, ENTRY_SEAL },
                 { STEP_PROMOTE, ENTRY_PROMOTE } };
    TRY(registry_refresh(&c->registry, err));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].step <= last)
            TRY(trust_may(&c->registry.state, rows[i].kind, c->request->key, err));
    return OK;
}

/* What a later step would stumble over is said before training, not hours after. */
static enum code look_ahead(struct chain *c, enum release_step last, struct err *err)
{
    const struct experiment *e = c->experiment;
    if (last < STEP_ADD) return OK;
    if (!c->request->registry) {
        err_set(err, CONFIG, "cannot go on after train: no registry is named");
        return err_hint(err, "Give registry.path in the experiment, say --registry DIR, or end "
                             "with --to train.");
    }
    TRY(registry_open(&c->registry, c->request->registry, err));
    c->registry_open = true;
    c->registry.key = c->request->key;
    TRY(check_key(c, last, err));
    c->released->open = c->registry.open;
    if (last < STEP_EVAL) return OK;
    if (!e->suite) {
        err_set(err, CONFIG, "cannot go on after add: the experiment names no suite");
        return err_hint(err, "Give eval.suite in the experiment, or end with --to add.");
    }
    if (last == STEP_DEPLOY && !e->deploy) {
        err_set(err, CONFIG, "cannot go on after promote: the experiment names no deploy.path");
        return err_hint(err, "Give deploy.path in the experiment, or end with --to promote.");
    }
    return evaluate_check(e->suite, c->problems, err);
}

static enum code step_train(struct chain *c, struct err *err)
{
    TRY(train(&c->trained, c->experiment, c->request->train, err));
    report(c, STEP_TRAIN, c->trained.already_done, c->trained.checkpoint, &c->trained.digest);
    return OK;
}

static enum code step_add(struct chain *c, struct err *err)
{
    struct add_request request = { .source = c->trained.run,
                                   .name = c->experiment->registry_model,
                                   .actor = c->request->actor,
                                   .reason = c->reason };
    TRY(add_run(&c->registry, &c->added, &request, err));
    snprintf(c->released->version, sizeof c->released->version, "%s@%lld",
             c->experiment->registry_model, (long long)c->added.number);
    report(c, STEP_ADD, c->added.existed, c->released->version, &c->added.digest);
    return OK;
}

/* The number of the version that the channel holds; 0 for none. */
static enum code look_at_channel(struct chain *c, struct err *err)
{
    const struct experiment *e = c->experiment;
    TRY(registry_refresh(&c->registry, err));
    const struct model_line *model = state_model(&c->registry.state, e->registry_model);
    REQUIRE(model); /* the step before added to it */
    const struct channel *channel = model_channel(model, e->registry_channel);
    c->held = channel ? channel_now(channel)->number : CHANNEL_NONE;
    return OK;
}

static enum code step_eval(struct chain *c, struct err *err)
{
    TRY(look_at_channel(c, err));
    struct evaluate_request request = { .suite = c->experiment->suite,
                                        .model = c->released->version,
                                        .registry = c->request->registry,
                                        .device = c->request->train->device,
                                        .actor = c->request->actor,
                                        .key = c->request->key,
                                        .reuse = true };
    struct evaluated evaluated = { 0 };
    enum code code = evaluate(&evaluated, &request, c->problems, err);
    if (code == OK || code == GATE_FAILED || code == INCONCLUSIVE) {
        snprintf(c->released->report, sizeof c->released->report, "%s", evaluated.report);
        report(c, STEP_EVAL, evaluated.reused,
               arena_format(&c->arena, "%s, %s/report.html", evaluated.verdict, evaluated.report),
               &evaluated.report_digest);
    }
    evaluated_release(&evaluated);
    return code;
}

static enum code step_promote(struct chain *c, struct err *err)
{
    const struct experiment *e = c->experiment;
    struct moved moved = { .number = c->added.number, .digest = c->added.digest };
    bool holds = c->held == c->added.number; /* nothing to write down again */
    if (!holds) {
        struct move_opts opts = { .model = e->registry_model,
                                  .channel = e->registry_channel,
                                  .number = c->added.number,
                                  .from = c->held,
                                  .actor = c->request->actor,
                                  .reason = c->reason };
        TRY(registry_promote(&c->registry, &moved, &opts, err));
    }
    report(c, STEP_PROMOTE, holds,
           arena_format(&c->arena, "%s@%s -> %s", e->registry_model, e->registry_channel,
                        c->released->version),
           &moved.digest);
    return OK;
}

static enum code step_deploy(struct chain *c, struct err *err)
{
    const struct experiment *e = c->experiment;
    struct deployed deployed;
    const char *ref = arena_format(&c->arena, "%s@%s", e->registry_model, e->registry_channel);
    const char *device = c->request->train->device;
    if (device && strcmp(device, "auto") == 0) device = NULL;
    const struct deploy_opts opts = { .ref = ref,
                                      .dir = e->deploy,
                                      .device = device,
                                      .layout = deploy_layout_find(e->deploy_layout) };
    TRY(registry_deploy_probed(&c->registry, &deployed, &opts, err));
    report(c, STEP_DEPLOY, deployed.unchanged, arena_format(&c->arena, "%s/current", e->deploy),
           &deployed.version.digest);
    return OK;
}

enum code release(struct released *released, const struct release_request *request,
                  struct problems *problems, struct err *err)
{
    static enum code (*const steps[STEP_COUNT])(struct chain *, struct err *) = {
        [STEP_TRAIN] = step_train,     [STEP_ADD] = step_add,       [STEP_EVAL] = step_eval,
        [STEP_PROMOTE] = step_promote, [STEP_DEPLOY] = step_deploy,
    };
    memset(released, 0, sizeof *released);
    released->steps = json_array();
    struct chain chain = { .request = request,
                           .experiment = request->experiment,
                           .released = released,
                           .problems = problems,
                           .reason = request->reason };
    char digest[DIGEST_TEXT];
    if (!chain.reason)
        chain.reason = arena_format(&chain.arena, "release of %.19s",
                                    digest_text(&request->experiment->digest, digest));
    enum release_step last = request->to;
    if (last == STEP_COUNT) last = request->experiment->deploy ? STEP_DEPLOY : STEP_PROMOTE;
    enum code code = look_ahead(&chain, last, err);
    for (int step = 0; step <= (int)last && !code; step++) code = steps[step](&chain, err);
    json_decref(chain.trained.metrics);
    if (chain.registry_open) registry_close(&chain.registry);
    arena_release(&chain.arena);
    return code;
}
