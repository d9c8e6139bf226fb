/* oneDNN 3: a primitive descriptor is made in one call per operation; memory descriptors are
 * objects.
 *
 * The same choices as in onednn_v2.c: activations in their plain layout, weights with layout `any`
 * and a reorder where the implementation wants another one, forward descriptors as hints. */
#include "kernels/cpu/onednn_common.h"

#include <stdio.h>

struct descs {
    dnnl_memory_desc_t role[ROLE_COUNT];
    dnnl_memory_desc_t bias; /* the role's, or NULL without a bias */
};

static void descs_release(struct descs *descs)
{
    for (int role = 0; role < ROLE_COUNT; role++)
        if (descs->role[role]) dnnl_memory_desc_destroy(descs->role[role]);
}

/* The caller releases `descs` (zeroed before) whatever this returns. */
static dnnl_status_t describe(struct descs *descs, const struct onednn_spec *spec)
{
    for (int role = 0; role < ROLE_COUNT; role++) {
        struct onednn_shape shape = onednn_shape_of(spec, (enum onednn_role)role);
        dnnl_format_tag_t tag = role == ROLE_WEIGHT ? dnnl_format_tag_any : shape.tag;
        enum dtype dtype = onednn_role_dtype(spec, (enum onednn_role)role);
        dnnl_status_t status = dnnl_memory_desc_create_with_tag(
            &descs->role[role], shape.rank, shape.dims, onednn_dtype(dtype), tag);
        if (status != dnnl_success) return status;
    }
    descs->bias = spec->bias ? descs->role[ROLE_BIAS] : NULL;
    return dnnl_success;
}

/* What making a primitive descriptor takes besides the tensors. */
struct maker {
    dnnl_engine_t engine;
    dnnl_prop_kind_t kind;
    dnnl_primitive_desc_t hint;
    dnnl_primitive_attr_t attr;
};

static dnnl_status_t make_product(dnnl_primitive_desc_t *desc, const struct descs *d,
                                  enum onednn_pass pass, const struct maker *m)
{
    const_dnnl_memory_desc_t data = d->role[ROLE_DATA], weight = d->role[ROLE_WEIGHT];
    const_dnnl_memory_desc_t output = d->role[ROLE_OUTPUT];
    if (pass == ONEDNN_FORWARD)
        return dnnl_inner_product_forward_primitive_desc_create(desc, m->engine, m->kind, data,
                                                                weight, d->bias, output, m->attr);
    if (pass == ONEDNN_BWD_DATA)
        return dnnl_inner_product_backward_data_primitive_desc_create(desc, m->engine, data, weight,
                                                                      output, m->hint, m->attr);
    return dnnl_inner_product_backward_weights_primitive_desc_create(
        desc, m->engine, data, weight, NULL, output, m->hint, m->attr);
}

static dnnl_status_t make_conv(dnnl_primitive_desc_t *desc, const struct descs *d,
                               enum onednn_pass pass, const struct onednn_spec *s,
                               const struct maker *m)
{
    const_dnnl_memory_desc_t data = d->role[ROLE_DATA], weight = d->role[ROLE_WEIGHT];
    const_dnnl_memory_desc_t output = d->role[ROLE_OUTPUT];
    dnnl_dims_t strides = { s->stride[0], s->stride[1] };
    dnnl_dims_t dilates = { s->dilation[0] - 1, s->dilation[1] - 1 };
    dnnl_dims_t before = { s->pad[0], s->pad[2] }, after = { s->pad[1], s->pad[3] };
    dnnl_alg_kind_t direct = dnnl_convolution_direct;
    if (pass == ONEDNN_FORWARD)
        return dnnl_convolution_forward_primitive_desc_create(
            desc, m->engine, m->kind, direct, data, weight, d->bias, output, strides, dilates,
            before, after, m->attr);
    if (pass == ONEDNN_BWD_DATA)
        return dnnl_convolution_backward_data_primitive_desc_create(
            desc, m->engine, direct, data, weight, output, strides, dilates, before, after, m->hint,
            m->attr);
    return dnnl_convolution_backward_weights_primitive_desc_create(
        desc, m->engine, direct, data, weight, NULL, output, strides, dilates, before, after,
        m->hint, m->attr);
}

static dnnl_status_t make(dnnl_primitive_desc_t *desc, const struct descs *d, enum onednn_pass pass,
                          const struct onednn_spec *s, const struct maker *m)
{
    return s->linear ? make_product(desc, d, pass, m) : make_conv(desc, d, pass, s, m);
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
    status = dnnl_post_ops_append_eltwise(post, kind, alpha, 0);
    if (status == dnnl_success) status = dnnl_primitive_attr_set_post_ops(attr, post);
    dnnl_post_ops_destroy(post);
    return status;
}

/* The primitive descriptor of the pass; the forward one only lives as its hint. */
static dnnl_status_t choose(dnnl_primitive_desc_t *chosen, const struct onednn_op *op)
{
    const struct onednn_spec *spec = &op->spec;
    struct descs descs = { 0 }, hints = { 0 };
    struct maker maker = { .engine = op->engine, .kind = dnnl_forward_training };
    dnnl_status_t status = dnnl_primitive_attr_create(&maker.attr);
    if (status != dnnl_success) return status;
    if ((status = describe(&descs, spec)) != dnnl_success) goto out;
    if (spec->pass == ONEDNN_FORWARD) {
        maker.kind = dnnl_forward_inference;
    } else {
        struct onednn_spec forward = *spec;
        struct maker plain = maker;
        forward.pass = ONEDNN_FORWARD;
        forward.result = spec->data;
        plain.attr = NULL;
        if ((status = describe(&hints, &forward)) != dnnl_success) goto out;
        status = make(&maker.hint, &hints, ONEDNN_FORWARD, &forward, &plain);
        if (status != dnnl_success) goto out;
    }
    if ((status = attributes(maker.attr, spec)) != dnnl_success) goto out;
    status = make(chosen, &descs, spec->pass, spec, &maker);
out:
    if (maker.hint) dnnl_primitive_desc_destroy(maker.hint);
    dnnl_primitive_attr_destroy(maker.attr);
    descs_release(&descs);
    descs_release(&hints);
    return status;
}

static dnnl_status_t make_reorder(struct onednn_op *op, const_dnnl_memory_desc_t wanted,
                                  const_dnnl_memory_desc_t canonical)
{
    bool outward = op->spec.pass == ONEDNN_BWD_WEIGHT;
    dnnl_primitive_desc_t desc = NULL;
    dnnl_status_t status = dnnl_reorder_primitive_desc_create(
        &desc, outward ? wanted : canonical, op->engine, outward ? canonical : wanted, op->engine,
        NULL);
    if (status == dnnl_success) status = dnnl_primitive_create(&op->reorder, desc);
    if (desc) dnnl_primitive_desc_destroy(desc);
    if (status != dnnl_success) return status;
    op->weight_bytes = dnnl_memory_desc_get_size(wanted);
    return dnnl_memory_create(&op->canonical, canonical, op->engine, DNNL_MEMORY_NONE);
}

/* The memory of one role; weights as the primitive wants them, with a reorder where that is not
 * the plain layout. */
static dnnl_status_t make_memory(struct onednn_op *op, enum onednn_role role,
                                 const_dnnl_primitive_desc_t chosen)
{
    struct onednn_shape shape = onednn_shape_of(&op->spec, role);
    dnnl_data_type_t dtype = onednn_dtype(onednn_role_dtype(&op->spec, role));
    dnnl_memory_desc_t plain = NULL;
    dnnl_status_t status = dnnl_memory_desc_create_with_tag(&plain, shape.rank, shape.dims, dtype,
                                                            shape.tag);
    if (status != dnnl_success) return status;
    const_dnnl_memory_desc_t desc = plain;
    if (role == ROLE_WEIGHT)
        desc = dnnl_primitive_desc_query_md(
            chosen,
            op->spec.pass == ONEDNN_BWD_WEIGHT ? dnnl_query_diff_weights_md : dnnl_query_weights_md,
            0);
    status = dnnl_memory_create(&op->memory[role], desc, op->engine, DNNL_MEMORY_NONE);
    if (status == dnnl_success && !dnnl_memory_desc_equal(desc, plain))
        status = make_reorder(op, desc, plain);
    dnnl_memory_desc_destroy(plain);
    return status;
}

enum code onednn_create(struct onednn_op *op, struct err *err)
{
    dnnl_primitive_desc_t chosen = NULL;
    dnnl_status_t status = choose(&chosen, op);
    if (status != dnnl_success) return onednn_check(status, "prepare a primitive", err);
    const char *name = NULL;
    status = dnnl_primitive_desc_query(chosen, dnnl_query_impl_info_str, 0, &name);
    if (status != dnnl_success) goto out;
    snprintf(op->algorithm, sizeof op->algorithm, "onednn:%s", name);
    if ((status = dnnl_primitive_create(&op->primitive, chosen)) != dnnl_success) goto out;
    for (int role = 0; role < ROLE_COUNT; role++) {
        if (role == ROLE_BIAS && !op->spec.bias) continue;
        status = make_memory(op, (enum onednn_role)role, chosen);
        if (status != dnnl_success) goto out;
    }
    const_dnnl_memory_desc_t scratch = dnnl_primitive_desc_query_md(chosen,
                                                                    dnnl_query_scratchpad_md, 0);
    if (scratch) op->scratch_bytes = dnnl_memory_desc_get_size(scratch);
    if (op->scratch_bytes)
        status = dnnl_memory_create(&op->scratch, scratch, op->engine, DNNL_MEMORY_NONE);
out:
    dnnl_primitive_desc_destroy(chosen);
    return onednn_check(status, "create a primitive", err);
}
