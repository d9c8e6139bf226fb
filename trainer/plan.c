/* Compiling without memory, and adding up what the arenas will be. */
#include "trainer/plan.h"

#include "trainer/loop.h"

#include <string.h>

static json_t *shape_json(const struct shape *shape)
{
    json_t *dims = json_array();
    for (int d = 0; d < shape->rank; d++) json_array_append_new(dims, json_integer(shape->dim[d]));
    return dims;
}

static json_t *parameters_json(const struct params *params)
{
    json_t *list = json_array();
    for (int i = 0; i < params->count; i++) {
        const struct parameter *item = &params->items[i];
        json_array_append_new(list, json_pack("{s:s,s:o,s:I,s:b,s:b}", "name", item->name, "shape",
                                              shape_json(&item->shape), "count",
                                              (json_int_t)shape_count(&item->shape), "trained",
                                              !item->state, "decay", item->decay));
    }
    return list;
}

static double node_flops(const struct op_call *call)
{
    const struct op *op = &ops[call->op];
    return op->flops ? op->flops(call->attr, call->in, call->ins, call->out, call->outs) : 0;
}

/* The nodes of a compiled program; *flops is their sum. */
static json_t *nodes_json(const struct program *program, double *flops)
{
    json_t *list = json_array();
    for (int n = 0; n < program->count; n++) {
        const struct op_call *call = &program->calls[n];
        const struct op_node *node = &program->graph->nodes[n];
        const struct tensor *shown = call->outs ? &call->out[0] : &call->in[0];
        double mine = node_flops(call);
        *flops += mine;
        json_array_append_new(list, json_pack("{s:s,s:s,s:b,s:s,s:o,s:f,s:I,s:s}", "layer",
                                              node->layer ? node->layer : "", "op",
                                              ops[call->op].name, "backward", node->backward,
                                              "dtype", dtype_name(shown->dtype), "shape",
                                              shape_json(&shown->shape), "flops", mine, "workspace",
                                              (json_int_t)call->workspace_bytes, "algorithm",
                                              call->algorithm ? call->algorithm : "plain"));
    }
    return list;
}

static uint64_t arena_bytes(const struct params *params, enum params_arena arena, uint32_t arenas)
{
    return arenas >> arena & 1 ? (uint64_t)params_size(params, arena) * sizeof(float) : 0;
}

/* Memory by category, as the run will take it. */
static json_t *memory_json(const struct trainer *t, uint64_t *checkpoint)
{
    const struct experiment *e = t->experiment;
    uint32_t arenas = step_arenas(e) | 1u << ARENA_VALUE | 1u << ARENA_STATE;
    struct step_memory step = step_memory(&t->step);
    uint64_t weights = arena_bytes(&t->params, ARENA_VALUE, arenas);
    uint64_t gradients = arena_bytes(&t->params, ARENA_GRADIENT, arenas);
    uint64_t optimizer = arena_bytes(&t->params, ARENA_SLOT_0, arenas) +
                         arena_bytes(&t->params, ARENA_SLOT_1, arenas);
    uint64_t statistics = arena_bytes(&t->params, ARENA_STATE, arenas);
    uint64_t average = arena_bytes(&t->params, ARENA_EMA, arenas) +
                       arena_bytes(&t->params, ARENA_EMA_STATE, arenas);
    uint64_t snapshot = weights + optimizer + statistics + average;
    uint64_t validation = 0;
    if (t->validates) {
        const struct validator *v = &t->validator;
        size_t row = (size_t)v->outputs * sizeof(float) + v->target_bytes;
        validation = v->program.plan.bytes + v->program.plan.workspace +
                     (uint64_t)(v->rows + v->tile) * row;
    }
    uint64_t loader = loader_bytes(t->loader);
    *checkpoint = snapshot;
    uint64_t total = weights + gradients + optimizer + statistics + average + snapshot +
                     step.activations + step.workspace + validation + loader;
    return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "weights",
                     (json_int_t)weights, "gradients", (json_int_t)gradients, "optimizer",
                     (json_int_t)optimizer, "statistics", (json_int_t)statistics, "average",
                     (json_int_t)average, "activations", (json_int_t)step.activations, "workspace",
                     (json_int_t)step.workspace, "validation", (json_int_t)validation, "loader",
                     (json_int_t)loader, "checkpoint_snapshot", (json_int_t)snapshot, "total",
                     (json_int_t)total);
}

static json_t *describe(const struct trainer *t)
{
    const struct experiment *e = t->experiment;
    const struct program *program = step_program(&t->step);
    double flops = 0;
    uint64_t checkpoint;
    json_t *nodes = nodes_json(program, &flops);
    json_t *memory = memory_json(t, &checkpoint);
    char digest[DIGEST_TEXT];
    return json_pack(
        "{s:s,s:s,s:s,s:{s:s,s:s,s:i},s:s,s:I,s:I,s:I,s:I,s:i,s:I,s:I,s:I,s:I,s:f,s:o,s:o,s:I,s:o}",
        "pawl", "plan/1", "name", e->name, "config_digest", digest_text(&e->digest, digest),
        "device", "name", t->device.name, "description", t->device.description, "threads",
        t->device.threads, "precision", dtype_name(t->dtype), "batch", (json_int_t)e->batch,
        "micro_batch", (json_int_t)t->share.micro, "shards", (json_int_t)e->shards, "ranks",
        t->ranks.comm->size, "rows_per_rank", (json_int_t)t->share.rows, "epoch_steps",
        (json_int_t)t->epoch_steps, "steps", (json_int_t)t->total_steps, "rows",
        (json_int_t)dataset_split(&t->dataset, e->train_split)->rows, "trained",
        (json_int_t)params_trained(&t->params), "flops_per_row", flops / (double)t->step.micro,
        "memory", memory, "parameters", parameters_json(&t->params), "checkpoint_bytes",
        (json_int_t)checkpoint, "nodes", nodes);
}

enum code plan_experiment(json_t **plan, const struct experiment *experiment,
                          const struct plan_opts *how, struct err *err)
{
    int ranks = how->ranks;
    struct comm first = { .size = ranks, .local_size = ranks };
    struct train_opts opts = { .device = how->device,
                               .algorithms = how->algorithms,
                               .comm = ranks > 1 ? &first : NULL };
    struct trainer trainer = { .experiment = experiment, .opts = &opts, .plan_only = true };
    *plan = NULL;
    first.processors = device_processors() / (ranks > 1 ? ranks : 1);
    if (first.processors < 1) first.processors = 1;
    enum code code = trainer_compile(&trainer, err);
    if (!code) *plan = describe(&trainer);
    trainer_release(&trainer);
    return code;
}

static void add_bytes(struct str *out, double bytes)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
    int unit = 0;
    while (bytes >= 1024 && unit < 4) {
        bytes /= 1024;
        unit++;
    }
    str_addf(out, unit ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
}

static const char *text_in(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static long long number_in(const json_t *object, const char *key)
{
    return (long long)json_integer_value(json_object_get(object, key));
}

static void add_shape(struct str *out, const json_t *shape, int width)
{
    struct str text = { 0 };
    str_add_char(&text, '[');
    for (size_t d = 0; d < json_array_size(shape); d++)
        str_addf(&text, d ? ", %lld" : "%lld",
                 (long long)json_integer_value(json_array_get(shape, d)));
    str_add_char(&text, ']');
    str_addf(out, "%-*s", width, str_text(&text));
    str_release(&text);
}

static void print_nodes(const json_t *plan, struct str *out)
{
    const json_t *nodes = json_object_get(plan, "nodes");
    str_addf(out, "\n  %-20s %-20s %-5s %-22s %9s  %s\n", "layer", "op", "type", "shape", "MFLOP",
             "implementation");
    for (size_t n = 0; n < json_array_size(nodes); n++) {
        const json_t *node = json_array_get(nodes, n);
        str_addf(out, "  %-20s %-20s %-5s ", text_in(node, "layer"), text_in(node, "op"),
                 text_in(node, "dtype"));
        add_shape(out, json_object_get(node, "shape"), 22);
        str_addf(out, " %9.2f  %s\n", json_number_value(json_object_get(node, "flops")) / 1e6,
                 text_in(node, "algorithm"));
    }
}

void plan_print(const json_t *plan, struct str *out)
{
    const json_t *device = json_object_get(plan, "device"),
                 *memory = json_object_get(plan, "memory");
    str_addf(out, "%s on %s (%s), %s\n", text_in(plan, "name"), text_in(device, "name"),
             text_in(device, "description"), text_in(plan, "precision"));
    str_addf(out, "  %lld rows, batch %lld in passes of %lld, %lld steps an epoch, %lld in all\n",
             number_in(plan, "rows"), number_in(plan, "batch"), number_in(plan, "micro_batch"),
             number_in(plan, "epoch_steps"), number_in(plan, "steps"));
    if (number_in(plan, "ranks") > 1 || number_in(plan, "shards") > 1)
        str_addf(out,
                 "  %lld ranks with %lld rows of each batch, %lld shards; what follows is of "
                 "the first\n",
                 number_in(plan, "ranks"), number_in(plan, "rows_per_rank"),
                 number_in(plan, "shards"));
    str_addf(out,
             "  %lld trained parameters, %.2f MFLOP a row and step (forward, backward, update)\n",
             number_in(plan, "trained"),
             json_number_value(json_object_get(plan, "flops_per_row")) / 1e6);
    str_add(out, "  checkpoint tensors ");
    add_bytes(out, json_number_value(json_object_get(plan, "checkpoint_bytes")));
    str_add(out, "\n\n  memory\n");
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)memory, name, value)
    {
        str_addf(out, "    %-20s ", name);
        add_bytes(out, json_number_value(value));
        str_add(out, "\n");
    }
    str_addf(out, "\n  %-28s %-22s %12s\n", "parameter", "shape", "numbers");
    const json_t *parameters = json_object_get(plan, "parameters");
    for (size_t i = 0; i < json_array_size(parameters); i++) {
        const json_t *item = json_array_get(parameters, i);
        str_addf(out, "  %-28s ", text_in(item, "name"));
        add_shape(out, json_object_get(item, "shape"), 22);
        str_addf(out, " %12lld%s\n", number_in(item, "count"),
                 json_is_true(json_object_get(item, "trained")) ? "" : "  (statistic)");
    }
    print_nodes(plan, out);
}
