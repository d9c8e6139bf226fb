/* Approvals and waivers: signed consent to put one version on one channel. */
#ifndef PAWL_REGISTRY_APPROVE_H
#define PAWL_REGISTRY_APPROVE_H

#include "registry/registry.h"

struct consent_opts {
    const char *model, *channel;
    int64_t number;
    int64_t from;       /* what the channel must hold: a number, CHANNEL_NONE or CHANNEL_ANY */
    double expires_s;   /* seconds since the epoch; 0: never (a waiver must expire) */
    enum waivable rule; /* of a waiver */
    const char *gate;   /* of a waived verdict: the gate it is about */
    const char *actor, *reason; /* both are needed */
};

struct consented {
    int64_t seq;  /* the entry */
    bool existed; /* the same person had said the same before */
    const char *person;
    size_t reports; /* how many it is about */
};

/* Approves a version for a channel as the registry's key: a statement over version, channel, what
 * the channel holds (where stated), the newest reports, the policy and the expiry, and its entry.
 * REFUSED when there is nothing to approve yet, the policy does not name the channel, the key has
 * no right to, or its person added the version; CONFLICT when the policy changed meanwhile. */
enum code registry_approve(struct registry *registry, struct consented *consented,
                           const struct consent_opts *opts, struct err *err);

/* Waives one rule for a version on a channel, until it expires. REFUSED too when the channel's
 * policy does not let the rule be waived, or the gate passed, is not there, or fails for a reason
 * that no waiver may touch. Changes no report: promote applies it. */
enum code registry_waive(struct registry *registry, struct consented *consented,
                         const struct consent_opts *opts, struct err *err);

#endif
