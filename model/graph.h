/* Graphs: plain arrays of nodes and values, joined by indices.
 *
 * A value is a tensor with a role; a node is an op with attributes, values in and values out. Nodes
 * stand in an order in which they can run. Passes (model/pass_*.c, one function each) rewrite a
 * graph; their order is fixed in program.c. All memory is the arena's; a graph is never freed by
 * parts. */
#ifndef PAWL_MODEL_GRAPH_H
#define PAWL_MODEL_GRAPH_H

#include "base/arena.h"
#include "kernels/op.h"

enum value_role {
    ROLE_INPUT,              /* given for every run: rows, targets, ordinals */
    ROLE_CONSTANT,           /* given once: normalisation, class weights */
    ROLE_PARAMETER,          /* trained; lives in params */
    ROLE_STATE,              /* running statistics; lives in params */
    ROLE_ACTIVATION,         /* computed; lives in the program's arena */
    ROLE_GRADIENT,           /* of an activation: like an activation, counted apart */
    ROLE_PARAMETER_GRADIENT, /* lives in params' gradient arena */
    ROLE_ARENA,              /* a whole arena of params, for the optimizer */
    ROLE_COUNT
};

enum { NO_VALUE = -1 };

struct value {
    const char *name; /* of the layer and what it is: "conv_1.y" */
    enum value_role role;
    enum dtype dtype;
    struct shape shape;
    uint32_t layout; /* 0: canonical */
    uint64_t bytes;  /* with an opaque layout: what the device said; 0: by shape */
    int alias;       /* NO_VALUE, or the value whose memory this one shares (views, in place) */
    int parameter;   /* PARAMETER, STATE, PARAMETER_GRADIENT, ARENA: index into params, else -1 */
    int gradient_of; /* GRADIENT, PARAMETER_GRADIENT: the forward value; else NO_VALUE */
    const void *constant; /* CONSTANT: host bytes */
};

struct op_node {
    enum op_kind op;
    union op_attr attr;
    int in[OP_INS], ins; /* NO_VALUE where an optional one is absent */
    int out[OP_OUTS], outs;
    uint32_t accumulate; /* bit i: output i is added to */
    const char *layer;   /* "conv_1": whose node this is */
    bool backward;
};

/* What a parameter or a running statistic is, and how it begins. */
enum initializer { INIT_ZERO, INIT_ONE, INIT_HE_NORMAL, INIT_GLOROT_UNIFORM, INIT_NORMAL };

struct parameter {
    const char *name; /* "conv_1.weight" */
    struct shape shape;
    bool state; /* running statistic: not trained */
    bool decay; /* decoupled weight decay applies by default (not on biases and norms) */
    enum initializer init;
    double fan_in, fan_out; /* for the initialisers */
    double scale;           /* INIT_NORMAL: standard deviation */
};

struct graph {
    struct arena *arena;
    struct op_node *nodes;
    int node_count, node_room;
    struct value *values;
    int value_count, value_room;
    struct parameter *parameters;
    int parameter_count, parameter_room;

    /* Named ends; NO_VALUE where there is none. */
    int input, target, ordinal; /* what a batch brings */
    int output;                 /* logits or predictions */
    int loss, weight;           /* [N] each, with a loss */
};

/* Prepares an empty graph whose memory is the arena's. */
void graph_init(struct graph *graph, struct arena *arena);

/* Adds a value; `name` is copied. Returns its index. */
int graph_value(struct graph *graph, const char *name, enum value_role role, enum dtype dtype,
                const struct shape *shape);

/* Adds a parameter (or running statistic) and its value; returns the value. */
int graph_parameter(struct graph *graph, const struct parameter *parameter);

/* Appends a node whose output values exist already; returns its index. */
int graph_node(struct graph *graph, const struct op_node *node);

/* Appends a node and makes its output values by the op's shape rule (role ACTIVATION, named
 * "<layer>.<suffix>"). node->out and outs are filled; absent optional outputs are not made when
 * `outs` is given non-zero and smaller. Fails with USAGE as the shape rule does. */
enum code graph_emit(struct graph *graph, struct op_node *node, const char *suffix,
                     struct err *err);

/* The tensor description (no data) of a value. */
struct tensor value_tensor(const struct value *value);

/* Bytes that a value occupies. */
uint64_t value_bytes(const struct value *value);

/* Nodes that read a value (a view's readers do not count). */
int graph_readers(const struct graph *graph, int value);
/* The index of the node that writes a value; -1 when none does. */
int graph_writer(const struct graph *graph, int value);
/* Makes every reader of `from` read `to`. */
void graph_redirect(struct graph *graph, int from, int to);
/* Makes node `index` read `value` as input `i`; what is a view of that input follows. */
void graph_read(struct graph *graph, int index, int i, int value);
/* Removes node `index`, keeping the order of the others. */
void graph_remove(struct graph *graph, int index);
/* Inserts a node before position `index`. */
void graph_insert(struct graph *graph, int index, const struct op_node *node);

/* The value at the end of a chain of aliases: the one that owns the memory. */
int graph_root(const struct graph *graph, int value);

/* Fills an op_call's description from a node (no data pointers). */
struct op_call;
void graph_call(const struct graph *graph, const struct op_node *node, struct op_call *call);

#endif
