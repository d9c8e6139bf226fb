/* Optimizers: rows of one table; each adds its update node to the training graph.
 *
 * SGD with momentum and Nesterov (Sutskever et al. 2013); AdamW with decoupled weight decay
 * (Loshchilov and Hutter 2019). Decay spares biases and norms. */
#ifndef PAWL_TRAINER_OPTIMIZER_H
#define PAWL_TRAINER_OPTIMIZER_H

#include "base/schema.h"
#include "model/params.h"
#include "trainer/loss_scale.h"

extern const struct choice optimizer_choices[];

struct optimizer {
    const char *name;
    enum op_kind op; /* OP_SGD or OP_ADAMW */
    double rate;     /* the peak of the schedule */
    double momentum, beta1, beta2, eps, weight_decay;
    bool nesterov;
};

/* Reads a choice node. */
void optimizer_read(struct optimizer *optimizer, const struct node *choice);

/* The params arenas that it needs (bits of enum params_arena), gradients included. */
uint32_t optimizer_arenas(const struct optimizer *optimizer);

/* Names of its slots in checkpoints ("momentum"; "m", "v"); returns how many. */
int optimizer_slots(const struct optimizer *optimizer, const char *names[2]);

/* What the update at the end of a step does beside the optimizer itself. */
struct update_opts {
    double clip_norm, clip_value; /* 0: none */
    double ema_decay;             /* 0: none */
    int64_t nominal;              /* examples in a whole step */
    const struct loss_scale *scale;
};

/* Appends grad_norm, the optimizer and EMA nodes over the whole arenas of `params`. */
enum code optimizer_append(struct graph *graph, const struct optimizer *optimizer,
                           const struct params *params, const struct update_opts *opts,
                           struct err *err);

#endif
