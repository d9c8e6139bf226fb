/* Putting a version in place: pulled, idempotent, atomic; meant to be run from a timer.
 *
 *   DIR/sha256-<hex>/   one bundle per version: its files, and bundle.json that names them; or
 *   DIR/image-<hex>/    the same files as the layer of a plain OCI image, in an OCI layout
 *   DIR/current         a relative link to the bundle in use, replaced by rename
 *   DIR/state.json      what was deployed and how far the registry's journal was then
 *
 * A bundle appears under its name complete and verified, is probed there with its golden rows, and
 * only then `current` moves. The last three deployed bundles stay. A reader opens `current` once,
 * as a directory, and takes all files from that handle: it never sees two versions mixed. */
#ifndef PAWL_REGISTRY_DEPLOY_H
#define PAWL_REGISTRY_DEPLOY_H

#include "registry/registry.h"

enum { DEPLOY_KEEP = 3 };

enum deploy_layout { DEPLOY_FOLDER, DEPLOY_IMAGE, DEPLOY_LAYOUTS };

/* By its name, "folder" or "image"; DEPLOY_LAYOUTS for any other. */
enum deploy_layout deploy_layout_find(const char *name);

struct deployed {
    struct resolved version;
    char bundle[80]; /* the bundle's name in DIR */
    bool unchanged;  /* `current` pointed to it already */
    int64_t rows;    /* golden rows probed (0 when unchanged) ... */
    double worst;    /* ... and the largest deviation among them */
};

/* Deploys what REF resolves to as a folder into DIR (made when missing), probing on `device` (NULL:
 * "cpu"). HOPELESS when the probe fails: `current` stays what it was. REFUSED when DIR follows
 * another registry, or this one is older than at the last deployment; DAMAGED when its history was
 * rewritten since, or content or the bundle in use is damaged. After any failure the next call goes
 * on. */
enum code registry_deploy(struct registry *registry, struct deployed *deployed, const char *ref,
                          const char *dir, const char *device, struct err *err);

struct deploy_opts {
    const char *ref, *dir, *device; /* as above */
    enum deploy_layout layout;
    const char *probe;        /* a shell command; NULL: none */
    char *const *environment; /* for it */
    int timeout_s;            /* for it; 0: 60 */
};

/* The same, and asks the real server: after the swap `probe` is run by /bin/sh with the bundle's
 * path as $1. When it does not exit with 0 in time, `current` is what it was before, and the code
 * is HOPELESS. A swap that was never confirmed (the machine went down meanwhile) is asked again by
 * the next call. */
enum code registry_deploy_probed(struct registry *registry, struct deployed *deployed,
                                 const struct deploy_opts *opts, struct err *err);

/* status/1 {current, registry, seq, bundles}: what DIR holds, every file of the bundle in use
 * hashed. Needs no registry. NOT_FOUND when nothing was deployed there; DAMAGED. */
enum code deploy_status(const char *dir, json_t **status, struct err *err);

#endif
