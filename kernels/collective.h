/* What the devices of several ranks do together: sums and the like over their memories.
 *
 * A device that can has `struct device_collective` (kernels/device.h), and none of it needs the
 * library behind it before `prepare`. Collectives run beside the runs: one that is started goes on
 * behind the runs so far, and runs after a join come behind all that were started. All ranks start
 * the same ones in the same order. `marks` counts what the device has begun and ended, so that a
 * watch (comm/on_device.h) sees where a rank stands without asking the library.
 *
 * Common C/C++ subset: kernels/cuda includes this file too. */
#ifndef PAWL_KERNELS_COLLECTIVE_H
#define PAWL_KERNELS_COLLECTIVE_H

#include "kernels/tensor.h"

struct device;

enum collective_kind {
    COLLECTIVE_ALL_REDUCE,
    COLLECTIVE_REDUCE_SCATTER,
    COLLECTIVE_ALL_GATHER,
    COLLECTIVE_BROADCAST,
    COLLECTIVE_KINDS
};

enum collective_op { COLLECTIVE_SUM, COLLECTIVE_MEAN, COLLECTIVE_MAX, COLLECTIVE_OPS };

/* One collective over device memory; in place where `in` is (or lies in) `out`. */
struct collective {
    enum collective_kind kind;
    enum collective_op op; /* of the two reductions */
    enum dtype dtype;      /* F32, BF16, F16, F64, I64 */
    void *out;
    const void *in;
    int64_t count; /* numbers; REDUCE_SCATTER, ALL_GATHER: of one rank's part */
    int root;      /* BROADCAST */
};

enum { COLLECTIVE_ID = 128, COLLECTIVE_GROUP = 4, COLLECTIVE_TEXT = 96 };

struct collective_opts {
    int rank, ranks;
    unsigned char id[COLLECTIVE_ID]; /* rank 0's, equal on all; for open */
    double limit_s;                  /* for whatever the library does in the background; 0: 120 s */
    bool exact;   /* equal bits for equal inputs: algorithm, protocol and channels are fixed */
    int channels; /* of the device that collectives may occupy; 0: 16, or 1 with `shared` */
    bool shared;  /* several ranks use one device: sockets instead of what is faster */
    bool record;  /* collectives may be part of recordings; never with `shared` */
    /* Told of every group that was handed to the device, by the thread that did so; NULL: nobody.
     * Groups of a recording are told of at each replay. */
    void (*issued)(void *context, const struct collective *group, int count);
    void *context;
};

/* Groups begun and ended by the device since open. */
struct collective_marks {
    uint64_t begun, ended;
};

struct device_collective {
    /* Loads the library and sets it up as `opts` say (rank and ranks are read, the id is not).
     * `version` tells what was loaded, so that ranks can compare. NOT_FOUND, DEVICE. */
    enum code (*prepare)(struct device *device, const struct collective_opts *opts, int *version,
                         struct err *err);
    /* On one rank: what all give to open. */
    enum code (*make_id)(struct device *device, unsigned char id[COLLECTIVE_ID], struct err *err);
    /* Joins the ranks; sets device->ranks and device->ranks_recorded. DEVICE, also when the others
     * do not come within the limit. */
    enum code (*open)(struct device *device, const struct collective_opts *opts, struct err *err);
    /* Leaves them: in order, or without the others where `abort` was called. Accepts a device that
     * has not joined. */
    void (*close)(struct device *device);
    /* As device->alloc, of memory that collectives reach best, with room up to a multiple of
     * ranks * 16 bytes. device->free gives it back. */
    enum code (*alloc)(struct device *device, void **memory, size_t size, const char *what,
                       struct err *err);
    /* Starts a group of at most COLLECTIVE_GROUP as one. */
    enum code (*start)(struct device *device, const struct collective *group, int count,
                       struct err *err);
    /* Runs from here on come behind everything that was started. */
    enum code (*join)(struct device *device, struct err *err);
    /* A recording with this group was launched. */
    void (*replayed)(struct device *device, const struct collective *group, int count);

    /* For a watch: from any thread, never waiting for runs. */
    struct collective_marks (*marks)(const struct device *device);
    /* What the library noticed by itself; OK: nothing. */
    enum code (*poll)(struct device *device, struct err *err);
    /* Ends what runs; everything that waits on it returns, and `why` is its error. May hang. */
    void (*abort)(struct device *device, const struct err *why);
};

/* "all_reduce", "sum". */
const char *collective_name(enum collective_kind kind);
const char *collective_op_name(enum collective_op op);

/* "all_reduce sum of 6553600 f32". */
const char *collective_text(const struct collective *collective, char text[COLLECTIVE_TEXT]);

#endif
