/* What the two versions of the shim share: dtype and activation names, memory descriptions, the
 * struct behind an op and its run. Only onednn_v2.c, onednn_v3.c and onednn.c include it. */
#ifndef PAWL_KERNELS_CPU_ONEDNN_COMMON_H
#define PAWL_KERNELS_CPU_ONEDNN_COMMON_H

#include "kernels/cpu/onednn.h"

#include <oneapi/dnnl/dnnl.h>

/* The three tensors of a pass by what they are, plus bias. */
enum onednn_role { ROLE_DATA, ROLE_WEIGHT, ROLE_OUTPUT, ROLE_BIAS, ROLE_COUNT };

struct onednn_shape {
    int rank;
    dnnl_dims_t dims;
    dnnl_format_tag_t tag; /* of the canonical layout */
};

struct onednn_op {
    struct onednn_spec spec;
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_t primitive;
    dnnl_primitive_t reorder; /* of the weights, in or out; NULL: they are used as they are */
    dnnl_memory_t memory[ROLE_COUNT]; /* as the primitive wants them */
    dnnl_memory_t canonical;          /* weights as pawl keeps them, where a reorder is needed */
    dnnl_memory_t scratch;
    size_t scratch_bytes, weight_bytes; /* parts of the workspace, in this order */
    char algorithm[64];
};

/* OK, or DEVICE with oneDNN's status and what was being done. */
enum code onednn_check(dnnl_status_t status, const char *what, struct err *err);

/* Canonical shape of a role, with groups where there are any. */
struct onednn_shape onednn_shape_of(const struct onednn_spec *spec, enum onednn_role role);

/* Our terms in oneDNN's: a dtype, the dtype of a role, an activation (false: oneDNN has none
 * such). */
dnnl_data_type_t onednn_dtype(enum dtype dtype);
enum dtype onednn_role_dtype(const struct onednn_spec *spec, enum onednn_role role);
bool onednn_eltwise(enum activation act, dnnl_alg_kind_t *kind);

/* Version specific: creates primitive, reorder, memories and the sizes of an op whose engine and
 * stream exist. */
enum code onednn_create(struct onednn_op *op, struct err *err);

#endif
