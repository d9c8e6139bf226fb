/* Joining the devices of a comm's ranks, so that they sum without their hosts; and the watch over
 * what they do.
 *
 * Rank 0 makes an id, which travels over the comm; all open their communicator with it. A thread
 * then looks at the device's marks: what the library reports by itself, or a mark that does not
 * come within its time limit, ends the ranks' work. It asks who is late, writes the last
 * collectives to a file, aborts, and kills the process where that does not free it: what hangs on a
 * card cannot be waited for. */
#ifndef PAWL_COMM_ON_DEVICE_H
#define PAWL_COMM_ON_DEVICE_H

#include "comm/comm.h"
#include "kernels/device.h"

struct on_device;

struct on_device_opts {
    bool exact;  /* as in struct collective_opts, as are these three */
    bool shared; /* only among ranks of one machine */
    bool record; /* off unless asked for: not yet seen to work together with abort */
    int channels;
    double connect_s; /* limit for joining; 0: 120 s */
    double floor_s;   /* shortest limit of a mark; 0: 30 s. The limit is this or 5 x the longest */
    double end_s;     /* from the abort until this process must have left; 0: 30 s */
    /* Where card-NNNN.json goes when something fails; NULL: nowhere. Kept by the caller. */
    const char *report_dir;
    void (*kill)(void); /* for tests; NULL: SIGKILL of this process */
};

/* Joins; collective. Without other ranks, or where the device has no collectives, `*joined` is NULL
 * and device->ranks 0: sums are made in host memory. USAGE (shared over several machines), DEVICE,
 * NOT_FOUND: on all ranks when it fails on one. */
enum code on_device_open(struct on_device **joined, struct comm *comm, struct device *device,
                         const struct on_device_opts *opts, struct err *err);

/* Leaves, before the device is closed and after everything that uses its collectives. Accepts
 * NULL. */
void on_device_close(struct on_device *joined);

#endif
