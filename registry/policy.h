/* Policies: who may do what in a registry, and what a channel asks of a version.
 *
 * People write a `policy/1` document in YAML; what is signed, recorded and applied is its effective
 * form, canonical JSON in which every member is written out and each key is one line of base64. Its
 * digest names the policy. policy_parse reads that form strictly: the journal carries it, so what
 * is missing, doubled or out of range there is damage. Whatever a policy does not allow is
 * refused. */
#ifndef PAWL_REGISTRY_POLICY_H
#define PAWL_REGISTRY_POLICY_H

#include "base/schema.h"
#include "registry/entry.h"
#include "registry/key.h"

enum signer_role {
    SIGNER_TRAINER,
    SIGNER_EVALUATOR,
    SIGNER_APPROVER,
    SIGNER_RELEASER,
    SIGNER_POLICY,
    SIGNER_COUNT
};

/* "trainer", ...; the role that may write entries of a kind. */
const char *role_name(enum signer_role role);
enum signer_role role_of_kind(enum entry_kind kind);

/* Rules of a channel that a signed waiver can set aside. What protects against damage, forgery and
 * numbers that are none is not among them. */
enum waivable { WAIVE_VERDICT, WAIVE_FRESH, WAIVE_STAGE, WAIVE_EXPOSURE, WAIVABLE_COUNT };
const char *waivable_name(enum waivable rule);
/* WAIVABLE_COUNT for any other name. */
enum waivable waivable_find(const char *name);

struct policy_key {
    struct key key; /* the public half */
    const char *person;
    unsigned roles; /* bit per role */
};

struct policy_channel {
    const char *name;
    const char **after; /* the version must have been on one of these before; none: no condition */
    size_t after_count;
    struct digest *suites; /* each must have a report that passes; none: any one suite */
    size_t suite_count;
    bool inconclusive;               /* counts like pass */
    double fresh_s;                  /* oldest report, in seconds; 0: any age */
    int64_t approvals[SIGNER_COUNT]; /* persons with that role, by role; 0: none needed */
    int64_t exposure; /* most candidates shown to the report's split; 0: any number */
    unsigned card;    /* bit per card_words: fields that the model card must have */
    double score;     /* smallest ML Test Score; 0: any */
    bool pinned;      /* the sealed baseline may have moved on */
    bool unsealed;    /* reports without a seal count */
    unsigned waive;   /* bit per waivable rule that a waiver may set aside */
};

struct policy {
    struct digest digest; /* of the effective form */
    const char *name;
    int64_t signatures; /* persons of role policy that a new policy needs */
    struct policy_key *keys;
    size_t key_count;
    struct policy_channel *channels;
    size_t channel_count;
};

extern const struct kind policy_kind;

/* The effective form of a policy's file. CONFIG with `problems`: an unknown key, a role that nobody
 * has, a digest that is none, a channel that is reached by none. A policy is one file: `extends` is
 * refused. New reference. */
enum code policy_load(json_t **json, struct arena *arena, const char *path,
                      struct problems *problems, struct err *err);

/* Reads an effective form (`name` for messages) into the arena. policy_release follows an OK.
 * DAMAGED. */
enum code policy_parse(struct policy *policy, struct arena *arena, const json_t *json,
                       const char *name, struct err *err);

/* Gives the keys back; the rest is the arena's. Accepts a zeroed one. */
void policy_release(struct policy *policy);

/* Finds by id or name; NULL. */
const struct policy_key *policy_key_find(const struct policy *policy, const struct digest *id);
const struct policy_channel *policy_channel_find(const struct policy *policy, const char *name);

/* Persons that have a role by some key of theirs, `without` (NULL: nobody) left out. */
int64_t policy_persons(const struct policy *policy, enum signer_role role, const char *without);
/* Their names, "ada, grace"; "nobody". In the arena. */
const char *policy_names(struct arena *arena, const struct policy *policy, enum signer_role role);

#endif
