/* Where the evidence lies: in a registry, or in a run's folder alone. */
#include "workflow/score.h"

#include "trainer/run.h"
#include "workflow/ref.h"

#include <string.h>

enum { PROFILE_LIMIT = 64 << 20 };

static enum code score_run(json_t **scored, struct ref *ref, const json_t *card, struct err *err)
{
    struct run_progress progress = { 0 };
    json_t *manifest = NULL, *profile = NULL;
    const char *path = path_join(&ref->arena, ref->path, "profile.json");
    enum code code = run_manifest(&manifest, ref->text, err);
    if (!code) code = run_progress_read(&progress, ref->text, err);
    if (!code && fs_exists(path)) code = json_read(&profile, path, PROFILE_LIMIT, NULL, err);
    if (!code) {
        struct score_evidence evidence = { .subject = ref->text,
                                           .facts = manifest,
                                           .profile = profile,
                                           .card = card,
                                           .finished = progress.finished };
        *scored = score_json(&evidence);
    }
    run_progress_release(&progress);
    json_decref(manifest);
    json_decref(profile);
    return code;
}

enum code score_ref(json_t **scored, const char *text, const char *registry, const json_t *card,
                    struct err *err)
{
    struct ref ref;
    *scored = NULL;
    TRY(ref_open(&ref, text, registry, err));
    enum code code;
    if (ref.in_registry)
        code = registry_score(&ref.registry, scored, ref.version.model, ref.version.number, card,
                              err);
    else
        code = score_run(scored, &ref, card, err);
    ref_close(&ref);
    return code;
}
