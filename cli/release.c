/* pawl release: the whole way in one command. */
#include "workflow/release.h"
#include "cli/groups.h"
#include "cli/secret.h"
#include "cli/shared.h"
#include "cli/start.h"
#include "model/infer.h"
#include "workflow/ref.h"

#include <stdio.h>

static const struct option release_options[] = {
    { "to", OPTION_TEXT, "STEP", "The last step: train, add, eval, promote or deploy (default)." },
    REASON_OPTION,
    { "run", OPTION_TEXT, "DIR", "The run's directory; default runs/NAME." },
    START_OPTIONS,
    SET_OPTIONS,
    DEVICE_OPTION,
    REGISTRY_OPTION,
    KEY_OPTIONS,
    { 0 },
};

static void show_step(void *context, enum release_step step, bool skipped, const char *text,
                      const char *digest)
{
    const struct invocation *in = context;
    if (in->json) return;
    printf("%-8s %-8s %s  %s\n", release_step_name(step), skipped ? "skipped" : "done",
           short_digest(in->arena, digest), text);
    fflush(stdout);
}

static enum code run_chain(struct invocation *in, struct err *err)
{
    struct document document;
    struct experiment experiment;
    struct released released = { 0 };
    struct weights warm = { 0 };
    const char *to = text_of(in, "to");
    struct train_opts train = { 0 };
    TRY(read_start(in, &train, err));
    TRY(load_experiment(in, &document, &experiment, in->args[0], err));
    struct release_request request = { .experiment = &experiment,
                                       .train = &train,
                                       .registry = registry_dir(in, experiment.registry),
                                       .reason = text_of(in, "reason"),
                                       .actor = actor_of(in),
                                       .to = to ? release_step(to) : STEP_COUNT,
                                       .done = show_step,
                                       .context = in };
    if (to && request.to == STEP_COUNT)
        return err_set(err, USAGE, "unknown step '%s': train, add, eval, promote or deploy", to);
    struct key key = { 0 };
    if (request.registry && fs_exists(request.registry))
        TRY(check_registry(in, &key, request.registry, err));
    request.key = key.pkey ? &key : NULL;
    enum code code = load_warm_start(in, &experiment, &warm, err);
    if (warm.model) train.warm = &warm;
    if (!code) code = release(&released, &request, in->problems, err);
    key_release(&key);
    say_open(in, released.open);
    if (!code || code == GATE_FAILED || code == INCONCLUSIVE) {
        json_t *document_out = json_pack("{s:s,s:s,s:s,s:O}", "pawl", "release/1", "version",
                                         released.version, "report", released.report, "steps",
                                         released.steps);
        print_json(in, document_out);
        json_decref(document_out);
    }
    json_decref(released.steps);
    weights_release(&warm);
    return code;
}

const struct command release_commands[] = {
    { .name = "release",
      .args = "EXPERIMENT",
      .least = 1,
      .most = 1,
      .help = "Trains, adds, evaluates, promotes and deploys; finished steps are skipped.",
      .example = "pawl release configs/fashion-cnn.yaml --reason 'more data'",
      .options = release_options,
      .run = run_chain },
    { 0 },
};
