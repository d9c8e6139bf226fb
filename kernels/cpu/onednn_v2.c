/* oneDNN 2: an operation is an op descriptor, turned into a primitive descriptor by one call.
 *
 * Activations are given in their plain layout, weights with layout `any`: what the implementation
 * chooses for them is reached by a reorder. Backward passes need a forward descriptor as a hint. */
#include "kernels/cpu/onednn_common.h"

#include <stdio.h>

union op_desc {
    dnnl_convolution_desc_t conv;
    dnnl_inner_product_desc_t product;
};

struct descs {
    dnnl_memory_desc_t role[ROLE_COUNT];
    bool bias;
};

static enum code describe(struct descs *descs, const struct onednn_spec *spec, struct err *err)
{
    for (int role = 0; role < ROLE_COUNT; role++) {
        struct onednn_shape shape = onednn_shape_of(spec, (enum onednn_role)role);
        dnnl_format_tag_t tag = role == ROLE_WEIGHT ? dnnl_format_tag_any : shape.tag;
        enum dtype dtype = onednn_role_dtype(spec, (enum onednn_role)role);
        TRY(onednn_check(dnnl_memory_desc_init_by_tag(&descs->role[role], shape.rank, shape.dims,
                                                      onednn_dtype(dtype), tag),
                         "describe a tensor", err));
    }
    descs->bias = spec->bias;
    return OK;
}

static dnnl_status_t describe_product(union op_desc *op, struct descs *d, enum onednn_pass pass,
                                      dnnl_prop_kind_t forward)
{
    const dnnl_memory_desc_t *bias = d->bias ? &d->role[ROLE_BIAS] : NULL;
    dnnl_memory_desc_t *data = &d->role[ROLE_DATA], *weight = &d->role[ROLE_WEIGHT];
    dnnl_memory_desc_t *output = &d->role[ROLE_OUTPUT];
    if (pass == ONEDNN_FORWARD)
        return dnnl_inner_product_forward_desc_init(&op->product, forward, data, weight, bias,
                                                    output);
    if (pass == ONEDNN_BWD_DATA)
        return dnnl_inner_product_backward_data_desc_init(&op->product, data, weight, output);
    return dnnl_inner_product_backward_weights_desc_init(&op->product, data, weight, NULL, output);
}

static dnnl_status_t describe_conv(union op_desc *op, struct descs *d, enum onednn_pass pass,
                                   const struct onednn_spec *s)
{
    const dnnl_memory_desc_t *bias = d->bias ? &d->role[ROLE_BIAS] : NULL;
    dnnl_memory_desc_t *data = &d->role[ROLE_DATA], *weight = &d->role[ROLE_WEIGHT];
    dnnl_memory_desc_t *output = &d->role[ROLE_OUTPUT];
    dnnl_dims_t strides = { s->stride[0], s->stride[1] };
    dnnl_dims_t dilates = { s->dilation[0] - 1, s->dilation[1] - 1 };
    dnnl_dims_t before = { s->pad[0], s->pad[2] }, after = { s->pad[1], s->pad[3] };
    dnnl_prop_kind_t kind = s->pass == ONEDNN_FORWARD ? dnnl_forward_inference
                                                      : dnnl_forward_training;
    if (pass == ONEDNN_FORWARD)
        return dnnl_dilated_convolution_forward_desc_init(&op->conv, kind, dnnl_convolution_direct,
                                                          data, weight, bias, output, strides,
                                                          dilates, before, after);
    if (pass == ONEDNN_BWD_DATA)
        return dnnl_dilated_convolution_backward_data_desc_init(&op->conv, dnnl_convolution_direct,
                                                                data, weight, output, strides,
                                                                dilates, before, after);
    return dnnl_dilated_convolution_backward_weights_desc_init(&op->conv, dnnl_convolution_direct,
                                                               data, weight, NULL, output, strides,
                                                               dilates, before, after);
}

static dnnl_status_t describe_op(union op_desc *op, struct descs *d, enum onednn_pass pass,
                                 const struct onednn_spec *s)
{
    dnnl_prop_kind_t kind = s->pass == ONEDNN_FORWARD ? dnnl_forward_inference
                                                      : dnnl_forward_training;
    return s->linear ? describe_product(op, d, pass, kind) : describe_conv(op, d, pass, s);
}

static dnnl_status_t attributes(dnnl_primitive_attr_t attr, const struct onednn_spec *spec)
{
    dnnl_alg_kind_t kind;
    dnnl_status_t status = dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
    if (status != dnnl_success || !onednn_eltwise(spec->act, &kind)) return status;
    dnnl_post_ops_t post = NULL;
    float alpha = spec->act == ACT_SILU ? 1 : 0;
    status = dnnl_post_ops_create(&post);
    if (status != dnnl_success) return status;
    status = dnnl_post_ops_append_eltwise(post, 1, kind, alpha, 0);
    if (status == dnnl_success) status = dnnl_primitive_attr_set_post_ops(attr, post);
    dnnl_post_ops_destroy(post);
    return status;
}

/* The primitive descriptor of the pass; the forward one only lives as its hint. */
static enum code choose(dnnl_primitive_desc_t *chosen, struct onednn_op *op, struct err *err)
{
    const struct onednn_spec *spec = &op->spec;
    dnnl_primitive_desc_t hint = NULL;
    dnnl_primitive_attr_t attr = NULL;
    union op_desc desc;
    struct descs descs;
    enum code code = describe(&descs, spec, err);
    if (code) return code;
    dnnl_status_t status = dnnl_primitive_attr_create(&attr);
    if (status != dnnl_success) goto out;
    if ((status = attributes(attr, spec)) != dnnl_success) goto out;
    if (spec->pass != ONEDNN_FORWARD) {
        struct onednn_spec forward = *spec;
        struct descs hints;
        forward.pass = ONEDNN_FORWARD;
        forward.result = spec->data;
        if ((code = describe(&hints, &forward, err))) goto out;
        if ((status = describe_op(&desc, &hints, ONEDNN_FORWARD, spec)) != dnnl_success) goto out;
        status = dnnl_primitive_desc_create(&hint, &desc, NULL, op->engine, NULL);
        if (status != dnnl_success) goto out;
    }
    if ((status = describe_op(&desc, &descs, spec->pass, spec)) != dnnl_success) goto out;
    status = dnnl_primitive_desc_create(chosen, &desc, attr, op->engine, hint);
out:
    if (hint) dnnl_primitive_desc_destroy(hint);
    if (attr) dnnl_primitive_attr_destroy(attr);
    return code ? code : onednn_check(status, "prepare a primitive", err);
}

static dnnl_status_t make_reorder(struct onednn_op *op, const dnnl_memory_desc_t *wanted,
                                  const dnnl_memory_desc_t *canonical)
{
    bool outward = op->spec.pass == ONEDNN_BWD_WEIGHT;
    dnnl_primitive_desc_t desc = NULL;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_status_t status = dnnl_primitive_attr_create(&attr);
    if (status != dnnl_success) return status;
    status = dnnl_reorder_primitive_desc_create(&desc, outward ? wanted : canonical, op->engine,
                                                outward ? canonical : wanted, op->engine, attr);
    if (status == dnnl_success) status = dnnl_primitive_create(&op->reorder, desc);
    if (desc) dnnl_primitive_desc_destroy(desc);
    dnnl_primitive_attr_destroy(attr);
    if (status != dnnl_success) return status;
    op->weight_bytes = dnnl_memory_desc_get_size(wanted);
    return dnnl_memory_create(&op->canonical, canonical, op->engine, DNNL_MEMORY_NONE);
}

static dnnl_status_t make_memories(struct onednn_op *op, dnnl_primitive_desc_t chosen)
{
    static const dnnl_query_t queries[][ROLE_COUNT] = {
        [ONEDNN_FORWARD] = { dnnl_query_src_md, dnnl_query_weights_md, dnnl_query_dst_md },
        [ONEDNN_BWD_DATA] = { dnnl_query_diff_src_md, dnnl_query_weights_md,
                              dnnl_query_diff_dst_md },
        [ONEDNN_BWD_WEIGHT] = { dnnl_query_src_md, dnnl_query_diff_weights_md,
                                dnnl_query_diff_dst_md },
    };
    const struct onednn_spec *spec = &op->spec;
    for (int role = 0; role < ROLE_COUNT; role++) {
        if (role == ROLE_BIAS && !spec->bias) continue;
        struct onednn_shape shape = onednn_shape_of(spec, (enum onednn_role)role);
        dnnl_memory_desc_t plain;
        dnnl_status_t status = dnnl_memory_desc_init_by_tag(
            &plain, shape.rank, shape.dims,
            onednn_dtype(onednn_role_dtype(spec, (enum onednn_role)role)), shape.tag);
        if (status != dnnl_success) return status;
        const dnnl_memory_desc_t *desc = &plain;
        if (role == ROLE_WEIGHT)
            desc = dnnl_primitive_desc_query_md(chosen, queries[spec->pass][role], 0);
        status = dnnl_memory_create(&op->memory[role], desc, op->engine, DNNL_MEMORY_NONE);
        if (status != dnnl_success) return status;
        if (role == ROLE_WEIGHT && !dnnl_memory_desc_equal(desc, &plain)) {
            status = make_reorder(op, desc, &plain);
            if (status != dnnl_success) return status;
        }
    }
    return dnnl_success;
}

enum code onednn_create(struct onednn_op *op, struct err *err)
{
    dnnl_primitive_desc_t chosen = NULL;
    enum code code = choose(&chosen, op, err);
    if (code) return code;
    const char *name = NULL;
    dnnl_status_t status = dnnl_primitive_desc_query(chosen, dnnl_query_impl_info_str, 0, &name);
    if (status != dnnl_success) goto out;
    snprintf(op->algorithm, sizeof op->algorithm, "onednn:%s", name);
    if ((status = dnnl_primitive_create(&op->primitive, chosen)) != dnnl_success) goto out;
    if ((status = make_memories(op, chosen)) != dnnl_success) goto out;
    const dnnl_memory_desc_t *scratch = dnnl_primitive_desc_query_md(chosen,
                                                                     dnnl_query_scratchpad_md, 0);
    if (scratch) op->scratch_bytes = dnnl_memory_desc_get_size(scratch);
    if (op->scratch_bytes)
        status = dnnl_memory_create(&op->scratch, scratch, op->engine, DNNL_MEMORY_NONE);
out:
    dnnl_primitive_desc_destroy(chosen);
    return onednn_check(status, "create a primitive", err);
}
