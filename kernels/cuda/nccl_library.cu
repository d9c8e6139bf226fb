// Loading NCCL, and its codes in words.
//
// Where results are to be equal bits each time, the algorithm and the protocol are fixed; NCCL
// takes these from the environment only, at its first call, so they are set here just before it is
// loaded, over what the user has set. Without that wish its own choice and the user's stand.
#include "kernels/cuda/nccl.cuh"

#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OLDEST = NCCL_VERSION(2, 19, 0) }; // ncclMemAlloc, ncclCommRegister

static const struct {
    const char *name;
    size_t at;
} names[] = {
    { "ncclGetVersion", offsetof(struct nccl_calls, get_version) },
    { "ncclGetUniqueId", offsetof(struct nccl_calls, get_unique_id) },
    { "ncclCommInitRankConfig", offsetof(struct nccl_calls, comm_init) },
    { "ncclCommFinalize", offsetof(struct nccl_calls, comm_finalize) },
    { "ncclCommDestroy", offsetof(struct nccl_calls, comm_destroy) },
    { "ncclCommAbort", offsetof(struct nccl_calls, comm_abort) },
    { "ncclCommGetAsyncError", offsetof(struct nccl_calls, comm_state) },
    { "ncclCommRegister", offsetof(struct nccl_calls, comm_register) },
    { "ncclCommDeregister", offsetof(struct nccl_calls, comm_deregister) },
    { "ncclMemAlloc", offsetof(struct nccl_calls, mem_alloc) },
    { "ncclMemFree", offsetof(struct nccl_calls, mem_free) },
    { "ncclGroupStart", offsetof(struct nccl_calls, group_start) },
    { "ncclGroupEnd", offsetof(struct nccl_calls, group_end) },
    { "ncclAllReduce", offsetof(struct nccl_calls, all_reduce) },
    { "ncclReduceScatter", offsetof(struct nccl_calls, reduce_scatter) },
    { "ncclAllGather", offsetof(struct nccl_calls, all_gather) },
    { "ncclBroadcast", offsetof(struct nccl_calls, broadcast) },
    { "ncclGetErrorString", offsetof(struct nccl_calls, error_string) },
    { "ncclGetLastError", offsetof(struct nccl_calls, last_error) },
};

// Equal bits: one algorithm whose order of sums is that of the ranks. Several ranks on a card look
// to NCCL like ranks of different machines: it refuses two on one card otherwise, and of the ways
// between them only sockets work.
static const struct {
    const char *name, *value;
    bool exact, shared;
} settings[] = {
    { "NCCL_ALGO", "Ring", true, true },         { "NCCL_PROTO", "Simple", true, true },
    { "NCCL_NVLS_ENABLE", "0", true, true },     { "NCCL_NET", "Socket", false, true },
    { "NCCL_SOCKET_IFNAME", "lo", false, true }, { "NCCL_IB_DISABLE", "1", false, true },
    { "NCCL_P2P_DISABLE", "1", false, true },    { "NCCL_SHM_DISABLE", "1", false, true },
};

static void set_environment(const struct collective_opts *opts)
{
    char host[32];
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        if ((settings[i].exact && opts->exact) || (settings[i].shared && opts->shared))
            (void)setenv(settings[i].name, settings[i].value, 1);
    if (!opts->shared) return;
    snprintf(host, sizeof host, "pawl-rank-%d", opts->rank);
    (void)setenv("NCCL_HOSTID", host, 1);
}

static enum code find_calls(struct nccl_calls *calls, void *library, struct err *err)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        void *call = dlsym(library, names[i].name);
        if (!call) {
            err_set(err, DEVICE, "cannot join ranks on device 'cuda': libnccl.so.2 has no %s",
                    names[i].name);
            return err_hint(err, "Install NCCL 2.19 or newer.");
        }
        memcpy(reinterpret_cast<char *>(calls) + names[i].at, &call, sizeof call);
    }
    return OK;
}

enum code nccl_load(struct nccl_calls *calls, const struct collective_opts *opts, int *version,
                    struct err *err)
{
    set_environment(opts);
    void *library = dlopen("libnccl.so.2", RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        const char *reason = dlerror();
        err_set(err, NOT_FOUND, "cannot join ranks on device 'cuda': %s",
                reason ? reason : "libnccl.so.2 cannot be loaded");
        return err_hint(err, "Install NCCL 2.19 or newer, or put its folder into LD_LIBRARY_PATH; "
                             "one card alone needs none.");
    }
    TRY(find_calls(calls, library, err));
    if (calls->get_version(version) == ncclSuccess && *version >= OLDEST) return OK;
    err_set(err, DEVICE, "cannot join ranks on device 'cuda': NCCL %d.%d is too old",
            *version / 10000, *version / 100 % 100);
    return err_hint(err, "Install NCCL 2.19 or newer.");
}

static const struct {
    ncclResult_t result;
    const char *hint;
} hints[] = {
    { ncclUnhandledCudaError, "Another error on this card usually comes before: look at all "
                              "ranks' messages. NCCL_DEBUG=WARN names the failed call." },
    { ncclSystemError, "A call of the system failed: look at the network interface "
                       "(NCCL_SOCKET_IFNAME), the size of /dev/shm and the limit of open files. "
                       "NCCL_DEBUG=INFO says more." },
    { ncclInternalError, "NCCL or the driver failed: try another version of NCCL; NCCL_DEBUG=INFO "
                         "says more." },
    { ncclInvalidArgument, "This is a bug of pawl, or memory was overwritten." },
    { ncclInvalidUsage, "Two ranks may use one card only with --share-device. Otherwise the ranks "
                        "differ in what they compute: start all with the same program." },
    { ncclRemoteError, "Another rank ended or lost its network: look at its message first." },
};

enum code nccl_check(ncclResult_t result, const struct nccl_place *place, const char *doing,
                     struct err *err)
{
    if (result == ncclSuccess || result == ncclInProgress) return OK;
    const char *last = place->calls->last_error(NULL);
    int length = last ? static_cast<int>(strcspn(last, "\n")) : 0;
    err_set(err, DEVICE, "cannot %s on device 'cuda' %d (rank %d of %d): NCCL says %s%s%.*s", doing,
            place->card, place->rank, place->ranks, place->calls->error_string(result),
            length ? ": " : "", length < 200 ? length : 200, last ? last : "");
    for (size_t i = 0; i < sizeof hints / sizeof *hints; i++)
        if (hints[i].result == result) err_hint(err, "%s", hints[i].hint);
    return DEVICE;
}

const char *group_text(const struct collective *group, int count, char text[GROUP_TEXT])
{
    char first[COLLECTIVE_TEXT];
    if (count == 1)
        snprintf(text, GROUP_TEXT, "%s", collective_text(group, first));
    else
        snprintf(text, GROUP_TEXT, "%s and %d more", collective_text(group, first), count - 1);
    return text;
}

static ncclDataType_t type_of(enum dtype dtype)
{
    switch (dtype) {
    case DTYPE_BF16:
        return ncclBfloat16;
    case DTYPE_F16:
        return ncclFloat16;
    case DTYPE_F64:
        return ncclFloat64;
    case DTYPE_I64:
        return ncclInt64;
    default:
        return ncclFloat32;
    }
}

static ncclRedOp_t op_of(enum collective_op op)
{
    return op == COLLECTIVE_MAX ? ncclMax : op == COLLECTIVE_MEAN ? ncclAvg : ncclSum;
}

ncclResult_t nccl_issue(const struct nccl_calls *calls, const struct collective *c, ncclComm_t comm,
                        cudaStream_t stream)
{
    size_t count = static_cast<size_t>(c->count);
    ncclDataType_t type = type_of(c->dtype);
    switch (c->kind) {
    case COLLECTIVE_ALL_REDUCE:
        return calls->all_reduce(c->in, c->out, count, type, op_of(c->op), comm, stream);
    case COLLECTIVE_REDUCE_SCATTER:
        return calls->reduce_scatter(c->in, c->out, count, type, op_of(c->op), comm, stream);
    case COLLECTIVE_ALL_GATHER:
        return calls->all_gather(c->in, c->out, count, type, comm, stream);
    default:
        return calls->broadcast(c->in, c->out, count, type, c->root, comm, stream);
    }
}
