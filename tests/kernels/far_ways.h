/* The ways in which the far device computes linear ops, with FAR_CHOICES: of shared_far.c alone.
 *
 * Each result differs from the others in its last bits, so that a test sees which way was taken. */
#ifndef PAWL_TESTS_KERNELS_FAR_WAYS_H
#define PAWL_TESTS_KERNELS_FAR_WAYS_H

#include "shared_far.h"

#include <stdio.h>
#include <string.h>

static const char *const far_ways[] = { FAR_EXACT, FAR_TRIMMED, FAR_DRIFTING, FAR_REFUSED };

static inline bool far_has_ways(const struct op_call *call)
{
    bool linear = call->op == OP_LINEAR || call->op == OP_LINEAR_BWD_DATA ||
                  call->op == OP_LINEAR_BWD_WEIGHT;
    return linear && call->out[0].dtype == DTYPE_F32;
}

/* The way of a choice, as a text that stays; NULL for one that prepare refuses. */
static inline const char *far_way(const char *choice)
{
    for (int w = 0; w < 3; w++)
        if (strcmp(choice, far_ways[w]) == 0) return far_ways[w];
    return NULL;
}

static inline void far_list(struct candidates *out)
{
    for (; out->count < 4; out->count++)
        snprintf(out->text[out->count], CHOICE_TEXT, "%s", far_ways[out->count]);
}

/* What the call's way makes of the result of the device inside; `drift` changes from run to run. */
static inline void far_bend(const struct op_call *call, uint32_t drift)
{
    bool trims = strcmp(call->algorithm, FAR_TRIMMED) == 0;
    if (!trims && strcmp(call->algorithm, FAR_DRIFTING) != 0) return;
    for (int64_t i = 0; i < shape_count(&call->out[0].shape); i++) {
        uint32_t bits;
        char *at = (char *)call->out[0].data + i * (int64_t)sizeof bits;
        memcpy(&bits, at, sizeof bits);
        bits = trims ? bits & ~1u : bits ^ (drift & 3u);
        memcpy(at, &bits, sizeof bits);
    }
}

#endif
