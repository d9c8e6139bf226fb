/* A device like `ref` or `cpu` whose memory the host cannot touch: pages are open only while an op
 * runs or a copy is made, so that a stray access ends the test with a signal.
 *
 * With FAR_QUEUE it behaves like a card: runs are put off until somebody must wait for them, what
 * fails is reported then, uploads go beside the runs as early as they may (FAR_LATE: as late), and
 * recordings are replayed with the arguments they were made with. */
#ifndef PAWL_TESTS_KERNELS_SHARED_FAR_H
#define PAWL_TESTS_KERNELS_SHARED_FAR_H

#include "kernels/device.h"

enum far_kind {
    FAR_PLAIN = 0,
    FAR_QUEUE = 1,
    FAR_LATE = 2,         /* with FAR_QUEUE */
    FAR_NO_RECORDING = 4, /* with FAR_QUEUE: every recording is refused */
    FAR_FAILS = 8,        /* every run fails */
    FAR_LAYOUTS = 16,     /* images have a layout of their own: canonical behind some bytes */
    FAR_CHOICES = 32      /* linear ops have ways of its own, named below */
};

/* Ways to compute a linear op in f32: as the device inside does; with the last bit of each result
 * cleared; with bits that no two runs share; refused by prepare. */
#define FAR_EXACT    "far exact"
#define FAR_TRIMMED  "far trimmed"
#define FAR_DRIFTING "far drifting"
#define FAR_REFUSED  "far refused"

struct far_counts {
    uint64_t runs;       /* ops launched one by one */
    uint64_t launches;   /* of recordings */
    uint64_t recordings; /* made */
    uint64_t uploads;
    uint64_t cleared; /* bytes, before runs that are timed */
};

/* Wraps `inner`, which the new device closes. `kind`: bits of far_kind. */
enum code device_open_far(struct device *far, const struct device *inner, int kind,
                          struct err *err);

/* Does `act` in order with the runs, its memory open to the host meanwhile: now, when somebody must
 * wait, or with each replay of what is recorded. `context` outlives the device. */
enum code far_act(struct device *far, enum code (*act)(void *context, struct err *err),
                  void *context, struct err *err);

/* What the device's clock says that a run takes (NULL: a millisecond each), where it or the device
 * inside has choices. */
void far_clock(struct device *far, double (*seconds)(const struct op_call *call));

/* What was done so far. */
struct far_counts far_counts(const struct device *far);

#endif
