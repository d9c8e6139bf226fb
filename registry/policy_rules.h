/* What a policy asks before a version goes onto a channel.
 *
 * Rules are asked by who writes the move, after every lost race again, and by everybody who replays
 * it: a move that the policy did not allow is damage, however well it is signed. They depend on the
 * state before the move and on the time alone. Each refusal says which rule, what is missing, and
 * the command that would supply it. In an open registry one passing report under current baselines
 * is all that is asked. */
#ifndef PAWL_REGISTRY_POLICY_RULES_H
#define PAWL_REGISTRY_POLICY_RULES_H

#include "registry/state.h"

/* A wish to put a version on a channel. */
struct asking {
    const struct state *state;
    const struct model_line *model;
    const struct version *version;
    const char *channel;
    int64_t held;                  /* what it holds now, 0 for nothing */
    const struct digest *required; /* suites that the caller wants besides the policy's */
    size_t required_count;
    double score; /* its ML Test Score; below 0 where nobody worked it out */
    double now_s;
};

/* On what a promotion stands: reports, and the entries of approvals and waivers. In an arena. */
struct relied {
    const struct report_note **reports;
    size_t report_count;
    int64_t *consents;
    size_t consent_count;
};

/* Whether the version may be promoted. REFUSED by a rule; CONFLICT when a baseline moved on. */
enum code rules_promote(struct relied *relied, struct arena *arena, const struct asking *asking,
                        struct err *err);

/* Whether the channel may go back to the version, which it held once. REFUSED. */
enum code rules_rollback(const struct asking *asking, struct err *err);

/* The rows of the channel that is asked about: NULL while the registry is open, or when the policy
 * does not name it. */
const struct policy_channel *asking_rules(const struct asking *asking);

/* Parts of rules_promote. Reports that are relied on are appended to `relied`, waivers too. */
enum code rules_reports(struct relied *relied, struct arena *arena, const struct asking *asking,
                        struct err *err);
enum code rules_approvals(struct relied *relied, struct arena *arena, const struct asking *asking,
                          struct err *err);

/* Whether enough persons waived a rule (for `gate`, else NULL; and of `report`, else NULL), and the
 * policy lets them; their entries are appended to `relied`. */
bool rules_waived(struct relied *relied, struct arena *arena, const struct asking *asking,
                  enum waivable rule, const char *gate, const struct report_note *report);

/* The newest report of each suite about the version that still counts and that the channel asks
 * for: what approvals are about. In the arena. */
const struct report_note **rules_seen(struct arena *arena, size_t *count,
                                      const struct asking *asking);

/* "cannot promote fashion@7 to 'production': " and why; REFUSED. */
enum code rules_refuse(const struct asking *asking, struct err *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
