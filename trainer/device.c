/* Which device a rank computes on, and joining it with those of the other ranks.
 *
 * A rank takes the card of its number on this machine. What is asked for by name is never replaced;
 * `auto` says what it took and why. */
#include "base/log.h"
#include "comm/on_device.h"
#include "trainer/loop.h"

#include <string.h>

/* Threads of this rank; 0: all processors. */
static int threads_of(const struct trainer *t)
{
    const struct experiment *e = t->experiment;
    if (e->determinism == DETERMINISM_WORLD) return e->threads_per_shard;
    return e->threads || !ranks_several(&t->ranks) ? e->threads : t->ranks.comm->processors;
}

/* `auto` takes the card where it opens, and says why it did not; a named device is never
 * replaced. */
static enum code choose_device(struct trainer *t, struct err *err)
{
    const char *name = t->opts->device;
    int threads = threads_of(t);
    struct err why;
    if (t->opts->opened) {
        t->device = *t->opts->opened;
        return OK;
    }
    const struct comm *comm = t->ranks.comm;
    struct device_place place = { comm->local_rank, comm->local_size, t->opts->share_device };
    if (name && strcmp(name, "auto") != 0)
        return device_open_at(&t->device, name, threads, &place, err);
    enum code code = device_open_at(&t->device, "cuda", threads, &place, &why);
    if (!code) {
        log_note("device cuda: %s", t->device.description);
        return OK;
    }
    TRY(device_open(&t->device, "cpu", threads, err));
    log_note("device cpu: %s", why.message);
    return OK;
}

/* Whether ranks were asked to compute on cards: the same on all of them. */
static bool on_cards(const struct trainer *t)
{
    const char *name = t->opts->device;
    bool host = name && (strcmp(name, "cpu") == 0 || strcmp(name, "ref") == 0);
    return ranks_several(&t->ranks) && !t->plan_only && !t->opts->opened && !host;
}

/* Cards sum among themselves, but for the tree of `determinism: world`. A rank without its card
 * says so before the others wait for it. */
static enum code join_cards(struct trainer *t, enum code mine, struct err *err)
{
    enum determinism determinism = t->experiment->determinism;
    struct on_device_opts how = { .exact = determinism != DETERMINISM_OFF,
                                  .shared = t->opts->share_device,
                                  .record = t->opts->record_sums,
                                  .floor_s = t->opts->rank_floor_s,
                                  .report_dir = arena_format(&t->arena, "%s/view",
                                                             trainer_run_dir(t)) };
    TRY(ranks_join(&t->ranks, mine, 0, err));
    if (determinism == DETERMINISM_WORLD) return OK;
    return on_device_open(&t->joined, t->ranks.comm, &t->device, &how, err);
}

enum code trainer_device(struct trainer *t, struct err *err)
{
    enum code code = choose_device(t, err);
    return on_cards(t) ? join_cards(t, code, err) : code;
}
