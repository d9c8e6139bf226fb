/* Cutting a batch for ranks; refusals name the number that would do. */
#include "trainer/share.h"

static enum code refuse_shards(const struct experiment *e, int ranks, const char *why,
                               struct err *err)
{
    const struct node *at = node_at(e->document->root, "train.shards");
    err_set(err, CONFIG, "cannot share train.shards %lld among %d ranks: %s", (long long)e->shards,
            ranks, why);
    int64_t fit = ranks;
    while (fit < e->shards || (e->batch % fit && fit <= e->batch)) fit += ranks;
    if (fit <= e->batch)
        err_hint(err, "Set train.shards to %lld, or use a number of ranks that divides it.",
                 (long long)fit);
    else
        err_hint(err, "Use a batch that %d divides, and train.shards %d.", ranks, ranks);
    return at && !at->is_default ? err_at(err, at->mark.file, at->mark.line, at->mark.column)
                                 : CONFIG;
}

enum code share_of(struct share *share, const struct experiment *experiment, int rank, int ranks,
                   bool couples, struct err *err)
{
    const struct experiment *e = experiment;
    bool whole = e->shards % ranks == 0;
    if (!whole && e->determinism == DETERMINISM_WORLD)
        return refuse_shards(e, ranks, "under `determinism: world` each takes whole ones", err);
    if (!whole && couples)
        return refuse_shards(e, ranks, "batch_norm takes its statistics over whole ones", err);
    if (!whole && e->batch % ranks) {
        err_set(err, CONFIG, "cannot share a batch of %lld rows equally among %d ranks",
                (long long)e->batch, ranks);
        return err_hint(err, "Use a batch that %d divides: %lld.", ranks,
                        (long long)((e->batch + ranks - 1) / ranks * ranks));
    }
    *share = (struct share){ .shards = whole ? (int)e->shards : ranks,
                             .groups = whole ? (int)e->shards / ranks : 1,
                             .group_rows = e->batch / (whole ? e->shards : ranks),
                             .apart = e->determinism == DETERMINISM_WORLD && e->shards > 1 };
    share->rows = share->groups * share->group_rows;
    share->first = rank * share->rows;
    share->micro = e->micro_batch < share->group_rows ? e->micro_batch : share->group_rows;
    if (share->group_rows % share->micro == 0) return OK;
    err_set(err, CONFIG, "cannot cut the %lld rows of each rank into passes of %lld",
            (long long)share->group_rows, (long long)share->micro);
    return err_hint(err, "Use a micro_batch that divides batch / ranks.");
}
