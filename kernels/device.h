/* Devices: memory, and one way to run each op.
 *
 * `ref` is the law: plain loops in f64 with inputs and outputs rounded to the dtype, and the
 * magnitude sum of every output on request. `cpu` is fast (oneDNN, OpenMP, own vector code chosen
 * at run time). `cuda` is a module of its own.
 *
 * An op's life: layout (which opaque layouts are wanted) -> prepare (shapes known: choose the
 * algorithm, build primitives, state the workspace) -> run (no allocation) -> release. */
#ifndef PAWL_KERNELS_DEVICE_H
#define PAWL_KERNELS_DEVICE_H

#include "base/arena.h"
#include "kernels/collective.h"
#include "kernels/op.h"

struct device;

/* One op with its shapes and, from bind on, its memory. */
struct op_call {
    enum op_kind op;
    const union op_attr *attr;
    int ins, outs; /* absent optional ones have data == NULL and rank -1 */
    struct tensor in[OP_INS];
    struct tensor out[OP_OUTS];
    uint32_t accumulate;          /* bit i: add to output i */
    const char *choice;           /* one of the device's candidates, which prepare must take; NULL:
                                   * its own first answer. Need not outlive prepare */
    struct step_block *block;     /* may be NULL where the row does not read it */
    double *magnitude[OP_OUTS];   /* ref only: room for Σ|terms| per output element, or NULL */
    double *in_magnitude[OP_INS]; /* ref only: the same for inputs that the op updates */

    /* filled by prepare */
    size_t workspace_bytes;
    const char *algorithm; /* what was chosen, for `plan` ("onednn:jit:avx512_core", "own:avx2") */
    void *state;           /* the device's own; arena or library objects that release frees */

    void *workspace; /* bound by the program; at least workspace_bytes, 128-byte aligned */
};

/* Whether optional input i was given. */
static inline bool call_has_in(const struct op_call *call, int i)
{
    return i < call->ins && call->in[i].shape.rank >= 0;
}

/* Whether optional output i is wanted. */
static inline bool call_has_out(const struct op_call *call, int i)
{
    return i < call->outs && call->out[i].shape.rank >= 0;
}

/* What a device wants for one call: opaque layouts (0: canonical) and their bytes. */
struct call_layouts {
    uint32_t in[OP_INS], out[OP_OUTS];
    uint64_t in_bytes[OP_INS], out_bytes[OP_OUTS];
};

struct kernel {
    /* Whether this call (dtypes, attributes, shapes) can run; NULL: whatever the row allows. */
    bool (*supports)(const struct device *device, const struct op_call *call);
    /* Opaque layouts wanted; NULL: canonical everywhere. `wanted` comes zeroed. */
    enum code (*layout)(struct device *device, const struct op_call *call,
                        struct call_layouts *wanted, struct err *err);
    /* NULL: nothing to prepare. Must set workspace_bytes and algorithm. */
    enum code (*prepare)(struct device *device, struct op_call *call, struct err *err);
    enum code (*run)(struct device *device, struct op_call *call, struct err *err);
    void (*release)(struct device *device, struct op_call *call);
};

/* Host memory that transfers read and write while the host goes on, with as much device memory
 * where it is for uploads. */
struct device_slot {
    void *host, *memory; /* memory NULL: for slot_fetch only */
    size_t size;
    void *state; /* the device's own */
};

/* What a device offers whose runs go on after they return. Runs, moves and fetches are done in the
 * order of their calls; uploads go beside them. No function here waits for runs but slot_wait. */
struct device_queue {
    /* From begin to end, runs and moves are recorded instead of done. capture_end gives the
     * recording, or fails with the reason why there is none; in both cases recording is over. */
    enum code (*capture_begin)(struct device *device, struct err *err);
    enum code (*capture_end)(struct device *device, void **graph, struct err *err);
    /* Does what was recorded, with the same pointers. Accepts what capture_end gave. */
    enum code (*graph_launch)(struct device *device, void *graph, struct err *err);
    void (*graph_free)(struct device *device, void *graph);
    /* Copies within device memory. */
    enum code (*move)(struct device *device, void *to, const void *from, size_t size,
                      struct err *err);

    /* Takes the memory of a slot of `size` bytes; `upload`: device memory too. `what` as in
     * alloc. slot_close accepts a zeroed slot and waits for its transfer. */
    enum code (*slot_open)(struct device *device, struct device_slot *slot, size_t size,
                           bool upload, const char *what, struct err *err);
    void (*slot_close)(struct device *device, struct device_slot *slot);
    /* Uploads slot->host once the runs before the last slot_used are over; runs called from here on
     * find the bytes in slot->memory. */
    enum code (*slot_send)(struct device *device, struct device_slot *slot, struct err *err);
    /* The runs so far are the last ones that read slot->memory as it is. */
    enum code (*slot_used)(struct device *device, struct device_slot *slot, struct err *err);
    /* Copies slot->size bytes at `from` (device memory), as the runs so far leave them, to
     * slot->host. */
    enum code (*slot_fetch)(struct device *device, struct device_slot *slot, const void *from,
                            struct err *err);
    /* Whether the slot's last transfer is over, so that the host may use slot->host; with `wait`
     * it is on return. Reports what failed before it. */
    enum code (*slot_wait)(struct device *device, struct device_slot *slot, bool wait, bool *over,
                           struct err *err);
};

enum { CANDIDATES = 32, CHOICE_TEXT = 256 };

/* Ways to compute a call: texts of printable ASCII that mean something to the device alone. */
struct candidates {
    int count;
    char text[CANDIDATES][CHOICE_TEXT];
};

/* What a device offers some of whose calls can be computed in ways of which only a run tells the
 * fastest (kernels/algorithm.h). */
struct device_choices {
    /* Fills `out` (which comes zeroed) with the ways that prepare takes as call->choice, its own
     * first answer in front; none where the call has no choice. One may still be refused then. */
    enum code (*list)(struct device *device, const struct op_call *call, struct candidates *out,
                      struct err *err);
    /* Overwrites device memory, so that the caches hold nothing else. */
    enum code (*clear)(struct device *device, void *memory, size_t size, struct err *err);
    /* Marks a moment (0 or 1) in the order of runs; seconds from mark 0 to mark 1 by the device's
     * clock, once the runs before mark 1 are over. */
    enum code (*mark)(struct device *device, int which, struct err *err);
    enum code (*elapsed)(struct device *device, double *seconds, struct err *err);
};

struct algorithms;

struct device {
    const char *name;      /* "ref", "cpu", "cuda" */
    char description[160]; /* instruction set, libraries and versions: recorded in manifests */
    int threads;           /* worker threads that a run may use */
    uint32_t fast_dtypes;  /* bits of dtypes that hardware computes quickly */
    uint32_t slow_dtypes;  /* of others that programs may compute in all the same */
    bool host_memory;      /* alloc gives memory that the host may touch (ref, cpu) */
    bool fast_tf32;        /* hardware has TF32 */
    bool tf32;             /* f32 products may round their factors to 11 bits (cuda); set before
                            * prepare, algorithms then say "tf32" */
    const struct kernel *kernels; /* [OP_COUNT]; run == NULL: the op is not there */
    /* Zeroed memory, aligned to 128 bytes; NO_MEMORY names `what`. */
    enum code (*alloc)(struct device *device, void **memory, size_t size, const char *what,
                       struct err *err);
    void (*free)(struct device *device, void *memory);
    /* From the host, in order with the runs before and after; `from` may be reused on return. */
    enum code (*copy_in)(struct device *device, void *to, const void *from, size_t size,
                         struct err *err);
    /* To the host; waits for everything before it and reports what failed there. */
    enum code (*copy_out)(struct device *device, void *to, const void *from, size_t size,
                          struct err *err);
    /* Waits for every run so far and reports what failed; NULL where runs end before returning. */
    enum code (*wait)(struct device *device, struct err *err);
    const struct device_queue *queue;           /* NULL where runs end before returning */
    const struct device_collective *collective; /* NULL: ranks meet in host memory only */
    void *collective_state;                     /* theirs */
    const struct device_choices *choices;       /* NULL: every call is computed in one way */
    struct algorithms *algorithms;              /* which of them prepare takes, and what becomes of
                                                 * a call without a row; NULL: first answers */
    size_t cache_bytes;                         /* of the last cache, with choices */
    int ranks;                                  /* that collective->open joined; 0: not opened */
    bool ranks_recorded;                        /* recordings may hold collectives */
    uint64_t waits; /* times that the host was held until no run was left: copy_out and wait; a
                     * step in steady state has none */
    void (*close)(struct device *device);
    void *state;
};

/* Opens a device by name with this many threads (0: all that the process may run on). The thread
 * count is fixed for everything prepared on it. USAGE for an unknown name, with the known ones;
 * `cuda` also as kernels/cuda_module.h says. */
enum code device_open(struct device *device, const char *name, int threads, struct err *err);
void device_close(struct device *device);

/* Which rank of this machine opens a device, so that each takes one of its own. */
struct device_place {
    int local_rank, local_size;
    bool share; /* several may use one, each in its turn */
};

/* The same for a rank: `cuda` opens the device of its number. USAGE when this machine has more
 * ranks than devices and they may not share. */
enum code device_open_at(struct device *device, const char *name, int threads,
                         const struct device_place *place, struct err *err);

/* The same life for any device: checks, then the kernel's own function. A call without a choice
 * gets that of device->algorithms: CONFIG when the device refuses it or there is none, with the
 * file and what to do. */
bool device_supports(const struct device *device, const struct op_call *call);
enum code call_prepare(struct device *device, struct op_call *call, struct err *err);
enum code call_run(struct device *device, struct op_call *call, struct err *err);
void call_release(struct device *device, struct op_call *call);

/* Processors that this process may run on. */
int device_processors(void);

#endif
