/* The table of choices, and what a call takes from it.
 *
 * The key of a call is a text that people can read. The attributes of each op that has choices
 * somewhere are a row here; another op has no key, and so never a choice. */
#include "kernels/algorithm.h"

#include "base/log.h"
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add_act(struct str *out, enum activation act)
{
    static const char *const names[ACT_COUNT] = {
        [ACT_NONE] = "none", [ACT_RELU] = "relu", [ACT_GELU] = "gelu",
        [ACT_SILU] = "silu", [ACT_TANH] = "tanh", [ACT_SIGMOID] = "sigmoid",
    };
    str_addf(out, " act=%s", names[act]);
}

static void add_linear(struct str *out, const union op_attr *attr)
{
    add_act(out, attr->linear.act);
}

static void add_nothing(struct str *out, const union op_attr *attr)
{
    (void)out;
    (void)attr;
}

/* 0 and 1 mean the same. */
static int at_least_one(int value)
{
    return value ? value : 1;
}

static void add_window(struct str *out, const union op_attr *attr)
{
    str_addf(out, " stride=%d,%d dilation=%d,%d pad=%d,%d,%d,%d groups=%d",
             at_least_one(attr->conv.stride[0]), at_least_one(attr->conv.stride[1]),
             at_least_one(attr->conv.dilation[0]), at_least_one(attr->conv.dilation[1]),
             attr->conv.pad[0], attr->conv.pad[1], attr->conv.pad[2], attr->conv.pad[3],
             at_least_one(attr->conv.groups));
}

static void add_conv(struct str *out, const union op_attr *attr)
{
    add_window(out, attr);
    add_act(out, attr->conv.act);
}

/* Backward ops read nothing of the activation: it has an op of its own there. */
static const struct {
    enum op_kind op;
    void (*add)(struct str *out, const union op_attr *attr);
} with_choices[] = {
    { OP_LINEAR, add_linear },
    { OP_LINEAR_BWD_DATA, add_nothing },
    { OP_LINEAR_BWD_WEIGHT, add_nothing },
    { OP_CONV2D, add_conv },
    { OP_CONV2D_BWD_DATA, add_window },
    { OP_CONV2D_BWD_WEIGHT, add_window },
};

enum { WITH_CHOICES = sizeof with_choices / sizeof *with_choices };

/* " bf16[64,784]", or " -" for what is absent; false for a layout of the device's own. */
static bool add_tensor(struct str *out, const struct tensor *tensor, bool there)
{
    if (!there) {
        str_add(out, " -");
        return true;
    }
    str_addf(out, " %s[", dtype_name(tensor->dtype));
    for (int d = 0; d < tensor->shape.rank; d++)
        str_addf(out, d ? ",%lld" : "%lld", (long long)tensor->shape.dim[d]);
    str_add_char(out, ']');
    return tensor->layout == 0;
}

const char *algorithm_call_text(char text[ALGORITHM_CALL], const struct device *device,
                                const struct op_call *call)
{
    struct str out = { 0 };
    int row = 0;
    bool canonical = true;
    while (row < WITH_CHOICES && with_choices[row].op != call->op) row++;
    if (row == WITH_CHOICES) return NULL;
    str_add(&out, ops[call->op].name);
    for (int i = 0; i < call->ins; i++)
        canonical &= add_tensor(&out, &call->in[i], call_has_in(call, i));
    str_add(&out, " ->");
    for (int i = 0; i < call->outs; i++)
        canonical &= add_tensor(&out, &call->out[i], call_has_out(call, i));
    with_choices[row].add(&out, call->attr);
    if (call->accumulate) str_addf(&out, " add=%u", (unsigned)call->accumulate);
    if (device->tf32 && call->in[0].dtype == DTYPE_F32) str_add(&out, " tf32");
    REQUIRE(out.len < ALGORITHM_CALL); /* eight tensors of six dimensions are shorter */
    snprintf(text, ALGORITHM_CALL, "%s", str_text(&out));
    str_release(&out);
    return canonical ? text : NULL;
}

void algorithms_init(struct algorithms *table, const char *path)
{
    memset(table, 0, sizeof *table);
    table->path = arena_copy(&table->arena, path);
}

void algorithms_release(struct algorithms *table)
{
    arena_release(&table->arena);
    memset(table, 0, sizeof *table);
}

/* Where a key is or belongs; *found says which. */
static int place_of(const struct algorithms *table, const char *device, const char *call,
                    bool *found)
{
    int low = 0, high = table->count;
    *found = false;
    while (low < high && !*found) {
        int middle = low + (high - low) / 2;
        const struct algorithm_row *row = &table->rows[middle];
        int order = strcmp(row->device, device);
        if (!order) order = strcmp(row->call, call);
        *found = order == 0;
        if (order < 0)
            low = middle + 1;
        else if (order > 0)
            high = middle;
        else
            low = middle;
    }
    return low;
}

const struct algorithm_row *algorithms_find(const struct algorithms *table, const char *device,
                                            const char *call)
{
    bool found;
    int at = place_of(table, device, call, &found);
    return found ? &table->rows[at] : NULL;
}

void algorithms_set(struct algorithms *table, const struct algorithm_row *row)
{
    bool found;
    int at = place_of(table, row->device, row->call, &found);
    if (!found && table->count == table->room) {
        struct algorithm_row *old = table->rows;
        table->room = table->room ? 2 * table->room : 64;
        table->rows = ARENA_ARRAY(&table->arena, table->room, struct algorithm_row);
        if (table->count) memcpy(table->rows, old, (size_t)table->count * sizeof *old);
    }
    if (!found) {
        memmove(&table->rows[at + 1], &table->rows[at],
                (size_t)(table->count - at) * sizeof *table->rows);
        table->count++;
    }
    struct arena *arena = &table->arena;
    table->rows[at] = (struct algorithm_row){ .device = arena_copy(arena, row->device),
                                              .call = arena_copy(arena, row->call),
                                              .choice = arena_copy(arena, row->choice),
                                              .name = arena_copy(arena, row->name),
                                              .nanoseconds = row->nanoseconds };
    table->changed = true;
}

static enum code refuse_missing(const struct algorithms *table, const struct device *device,
                                const char *call, struct err *err)
{
    int same = 0;
    for (int i = 0; i < table->count; i++)
        same += strcmp(table->rows[i].device, device->description) == 0;
    err_set(err, CONFIG, "cannot use '%.120s': it has no row for %.240s%s", table->path, call,
            same ? "" : ", nor any other of this device");
    return err_hint(err, "Say --allow-inexact to search what is missing; it gives other bits. Or "
                         "start another run.");
}

/* Whether the device takes the row, tried on a copy of the call. */
static bool still_taken(struct device *device, const struct op_call *call, const char *choice,
                        struct err *why)
{
    struct op_call trial = *call;
    const struct kernel *kernel = &device->kernels[call->op];
    trial.choice = choice;
    trial.state = NULL;
    enum code code = kernel->prepare ? kernel->prepare(device, &trial, why) : OK;
    call_release(device, &trial);
    return code == OK;
}

enum code algorithms_choose(const struct algorithm_row **row, struct device *device,
                            const struct op_call *call, struct err *err)
{
    struct algorithms *table = device->algorithms;
    struct candidates list = { 0 };
    struct err why;
    char text[ALGORITHM_CALL];
    *row = NULL;
    if (!algorithm_call_text(text, device, call)) return OK;
    const struct algorithm_row *kept = algorithms_find(table, device->description, text);
    bool search = table->missing == MISSING_SEARCHED, again = kept && search && table->replace;
    if (again && !still_taken(device, call, kept->choice, &why)) {
        log_warn("%s: '%.80s' for %.200s is not taken any more (%.120s); it is searched anew",
                 table->path, kept->name, text, why.message);
        kept = NULL;
    }
    if (!kept) {
        TRY(device->choices->list(device, call, &list, err));
        if (!list.count || table->missing == MISSING_FIRST) return OK;
        if (!search) return refuse_missing(table, device, text, err);
        TRY(algorithm_search(table, device, call, text, &list, err));
        kept = algorithms_find(table, device->description, text);
    }
    *row = kept;
    return OK;
}

enum code algorithms_refused(const struct algorithms *table, const struct algorithm_row *row,
                             struct err *err)
{
    struct err why = *err;
    err_set(err, CONFIG, "cannot use '%.100s', row %d (%.130s): '%.40s' is refused: %.120s",
            table->path, (int)(row - table->rows), row->call, row->name, why.message);
    return err_hint(err, "Resume with the libraries that it was made with, say --allow-inexact to "
                         "search this call anew, or start another run.");
}
