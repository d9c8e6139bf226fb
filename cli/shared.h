/* Option rows and small helpers that several commands share. */
#ifndef PAWL_CLI_SHARED_H
#define PAWL_CLI_SHARED_H

#include "cli/command.h"
#include "trainer/experiment.h"

#define SET_OPTIONS                                                                                \
    { "set", OPTION_LIST, "KEY=VALUE", "Overrides a key, e.g. train.seed=2; may be repeated." },   \
    {                                                                                              \
        "unset", OPTION_LIST, "KEY", "Takes a key back to its default; may be repeated."           \
    }
#define REGISTRY_OPTION                                                                            \
    { "registry", OPTION_TEXT, "DIR",                                                              \
      "The registry; else PAWL_REGISTRY, else the experiment's." },                                \
    {                                                                                              \
        "registry-id", OPTION_TEXT, "DIGEST", "The id that it must have; else PAWL_REGISTRY_ID."   \
    }
#define DEVICE_OPTION                                                                              \
    {                                                                                              \
        "device", OPTION_TEXT, "NAME",                                                             \
            "Where to compute: auto, cuda, cpu, or ref (slow, the law)."                           \
    }
#define REASON_OPTION                                                                              \
    {                                                                                              \
        "reason", OPTION_TEXT, "TEXT", "Why; kept in the registry's history."                      \
    }

#define KEY_OPTIONS                                                                                \
    { "key", OPTION_TEXT, "FILE", "Your secret key, to sign with; else PAWL_KEY." },               \
    {                                                                                              \
        "passphrase-file", OPTION_TEXT, "FILE",                                                    \
            "Its passphrase; else PAWL_PASSPHRASE_FILE, else a terminal is asked."                 \
    }

/* The registry's directory: --registry, PAWL_REGISTRY, or `experiment`'s; else NULL. */
const char *registry_dir(const struct invocation *in, const char *experiment);

/* The same, required. USAGE says how to name one; REFUSED when it has not the id that --registry-id
 * or PAWL_REGISTRY_ID asks for. */
enum code need_registry(const struct invocation *in, const char **dir, struct err *err);

/* Prints a document: as it is with --format json, else what `make` makes of it for people. */
void print_document(const struct invocation *in, json_t *document,
                    void (*make)(struct str *out, const json_t *document));

/* Opens the registry that need_registry finds, and says what it cannot promise. */
struct registry;
enum code open_named(const struct invocation *in, struct registry *registry, struct err *err);

/* The same for a command that writes: *key is what --key or PAWL_KEY names, and signs for the
 * registry; it stays zeroed where the registry has no keys. key_release follows an OK. */
struct key;
enum code open_signing(struct invocation *in, struct registry *registry, struct key *key,
                       struct err *err);

/* For commands that open the registry (NULL: none) further down: checks its id, and reads the key
 * (NULL: not needed) as open_signing does. */
enum code check_registry(const struct invocation *in, struct key *key, const char *dir,
                         struct err *err);

/* Says on standard error that a registry without keys vouches for integrity alone. */
void say_open(const struct invocation *in, bool open);

/* The number of "fashion@7", a version of `model`. --from: what the caller saw the channel hold
 * (CHANNEL_ANY where it is not given). USAGE. */
enum code read_version(const char *text, const char *model, int64_t *number, struct err *err);
enum code read_from(const struct invocation *in, const char *model, int64_t *number,
                    struct err *err);

/* Loads and reads an experiment with --set applied. */
enum code load_experiment(struct invocation *in, struct document *document,
                          struct experiment *experiment, const char *path, struct err *err);

/* Loads the weights that the experiment's `model.init` names; without it `weights` stays zeroed. */
struct weights;
enum code load_warm_start(const struct invocation *in, const struct experiment *experiment,
                          struct weights *weights, struct err *err);

/* The short form of a digest for people: "sha256:" and 12 digits. */
const char *short_digest(struct arena *arena, const char *digest);

#endif
