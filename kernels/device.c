/* Devices by name, and the checks before an op is prepared or run.
 *
 * What the op table says holds on every device, so it is checked here once; a kernel's own
 * `supports` adds only what its device cannot do. */
#include "kernels/device.h"

#include "base/str.h"
#include "kernels/algorithm.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cuda_module.h"
#include "kernels/ref/ref.h"

#include <sched.h>
#include <string.h>

static const struct {
    const char *name;
    enum code (*open)(struct device *device, int threads, struct err *err);
    enum code (*open_at)(struct device *device, int threads, const struct device_place *place,
                         struct err *err);
} devices[] = {
    { "cpu", device_open_cpu, NULL },
    { "ref", device_open_ref, NULL },
    { "cuda", NULL, device_open_cuda },
};

enum { DEVICES = sizeof devices / sizeof *devices };

enum code device_open(struct device *device, const char *name, int threads, struct err *err)
{
    return device_open_at(device, name, threads, &(struct device_place){ 0, 1, false }, err);
}

enum code device_open_at(struct device *device, const char *name, int threads,
                         const struct device_place *place, struct err *err)
{
    const char *names[DEVICES + 1] = { 0 };
    *device = (struct device){ 0 };
    if (threads < 0) return err_set(err, USAGE, "cannot use %d threads", threads);
    for (size_t i = 0; i < DEVICES; i++) {
        names[i] = devices[i].name;
        if (strcmp(devices[i].name, name) != 0) continue;
        return devices[i].open ? devices[i].open(device, threads, err)
                               : devices[i].open_at(device, threads, place, err);
    }
    err_set(err, USAGE, "unknown device '%s'", name);
    const char *nearest = text_nearest(name, names);
    struct str known = { 0 };
    for (size_t i = 0; i < DEVICES; i++) str_addf(&known, i ? ", %s" : "%s", names[i]);
    if (nearest)
        err_hint(err, "Did you mean '%s'? Known devices: %s.", nearest, str_text(&known));
    else
        err_hint(err, "Known devices: %s.", str_text(&known));
    str_release(&known);
    return USAGE;
}

void device_close(struct device *device)
{
    if (device->close) device->close(device);
    *device = (struct device){ 0 };
}

/* Whether the row allows this call: arity, presence, type of input 0, accumulation. */
static bool row_allows(const struct op_call *call)
{
    const struct op *op = &ops[call->op];
    if (call->ins < op->ins - op->optional_ins || call->ins > op->ins) return false;
    if (call->outs < op->outs - op->optional_outs || call->outs > op->outs) return false;
    for (int i = 0; i < op->ins - op->optional_ins; i++)
        if (!call_has_in(call, i)) return false;
    for (int i = 0; i < op->outs - op->optional_outs; i++)
        if (!call_has_out(call, i)) return false;
    return (call->accumulate & ~op->accumulates) == 0 &&
           (op->dtypes & DTYPE_BIT(call->in[0].dtype)) != 0;
}

bool device_supports(const struct device *device, const struct op_call *call)
{
    const struct kernel *kernel = &device->kernels[call->op];
    return kernel->run && row_allows(call) && (!kernel->supports || kernel->supports(device, call));
}

enum code call_prepare(struct device *device, struct op_call *call, struct err *err)
{
    char text[SHAPE_TEXT];
    const struct kernel *kernel = &device->kernels[call->op];
    if (!device_supports(device, call)) {
        bool any = call->ins > 0 && call->in[0].shape.rank >= 0;
        err_set(err, USAGE, "device '%s' cannot run %s on %s %s", device->name, ops[call->op].name,
                any ? dtype_name(call->in[0].dtype) : "no",
                any ? shape_text(&call->in[0].shape, text) : "input");
        return err_hint(err, kernel->run ? "Types, shapes or attributes are not supported there."
                                         : "The op does not exist there.");
    }
    const struct algorithm_row *row = NULL;
    if (device->algorithms && device->choices && !call->choice)
        TRY(algorithms_choose(&row, device, call, err));
    if (row) call->choice = row->choice;
    call->workspace_bytes = 0;
    call->algorithm = device->name;
    enum code code = kernel->prepare ? kernel->prepare(device, call, err) : OK;
    if (code) call_release(device, call); /* what was made before it failed */
    if (!code || !row || code == NO_MEMORY || !err) return code;
    return algorithms_refused(device->algorithms, row, err);
}

enum code call_run(struct device *device, struct op_call *call, struct err *err)
{
    for (int i = 0; i < call->ins; i++) REQUIRE(!call_has_in(call, i) || call->in[i].data);
    for (int i = 0; i < call->outs; i++) REQUIRE(!call_has_out(call, i) || call->out[i].data);
    REQUIRE(call->workspace_bytes == 0 || call->workspace);
    REQUIRE(call->block || !ops[call->op].reads_block);
    return device->kernels[call->op].run(device, call, err);
}

void call_release(struct device *device, struct op_call *call)
{
    const struct kernel *kernel = device->kernels ? &device->kernels[call->op] : NULL;
    if (kernel && kernel->release) kernel->release(device, call);
    call->state = NULL;
}

int device_processors(void)
{
    cpu_set_t set;
    /* Fails only where there are more processors than the set holds; then one is safe. */
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
    return CPU_COUNT(&set);
}
