/* A registry with keys: four persons, one without any role, and policies to try. */
#ifndef PAWL_TESTS_REGISTRY_SHARED_TRUST_H
#define PAWL_TESTS_REGISTRY_SHARED_TRUST_H

#include "registry/policy_set.h"
#include "tests/registry/shared_support.h"

enum person { ADA, GRACE, LINUS, MALLORY, PERSONS };

struct trusted {
    struct support s;
    struct key keys[PERSONS];
    struct arena arena;
};

/* ada trains, evaluates and releases; grace and linus approve; all three have the role policy;
 * mallory is in no policy. */
#define TRUST_ROLES                                                                                \
    {                                                                                              \
        "[trainer, evaluator, releaser, policy]", "[approver, policy]", "[approver, policy]"       \
    }

/* The effective form of a policy with these persons; `signatures` and `channels` are YAML. */
json_t *trusted_policy(struct trusted *t, int signatures, const char *channels);

/* A folder with keys and an open registry; or one with that policy from the beginning, where ada
 * writes. trusted_close takes everything away. */
enum code trusted_open(struct trusted *t, int signatures, const char *channels);
void trusted_close(struct trusted *t);

/* Writes as another person from now on. */
void trusted_as(struct trusted *t, enum person person);

/* Writes a signature under a policy into the folder; its path. NULL after a failure. */
const char *trusted_signature(struct trusted *t, json_t *policy, enum person person,
                              const char *name);

#endif
