// NCCL as the module sees it: a table of functions that is filled when ranks are asked for.
//
// The library is loaded then and not before (libnccl.so.2), so that one card needs none. Only
// nccl*.cu include this file.
#pragma once

#include "kernels/cuda/library.cuh"

#include <nccl.h>

struct nccl_calls {
    decltype(&ncclGetVersion) get_version;
    decltype(&ncclGetUniqueId) get_unique_id;
    decltype(&ncclCommInitRankConfig) comm_init;
    decltype(&ncclCommFinalize) comm_finalize;
    decltype(&ncclCommDestroy) comm_destroy;
    decltype(&ncclCommAbort) comm_abort;
    decltype(&ncclCommGetAsyncError) comm_state;
    decltype(&ncclCommRegister) comm_register;
    decltype(&ncclCommDeregister) comm_deregister;
    decltype(&ncclMemAlloc) mem_alloc;
    decltype(&ncclMemFree) mem_free;
    decltype(&ncclGroupStart) group_start;
    decltype(&ncclGroupEnd) group_end;
    decltype(&ncclAllReduce) all_reduce;
    decltype(&ncclReduceScatter) reduce_scatter;
    decltype(&ncclAllGather) all_gather;
    decltype(&ncclBroadcast) broadcast;
    decltype(&ncclGetErrorString) error_string;
    decltype(&ncclGetLastError) last_error;
};

// Sets the environment variables that NCCL has for what its calls have no argument for, then loads
// it, for the life of the process. NOT_FOUND without the library, DEVICE when it is too old.
enum code nccl_load(struct nccl_calls *calls, const struct collective_opts *opts, int *version,
                    struct err *err);

// Who asks, for messages.
struct nccl_place {
    const struct nccl_calls *calls;
    int card, rank, ranks;
};

// OK for success and for work in progress, else DEVICE: what was done where, what NCCL and its last
// error say, what to change.
enum code nccl_check(ncclResult_t result, const struct nccl_place *place, const char *doing,
                     struct err *err);

enum { GROUP_TEXT = COLLECTIVE_TEXT + 40 };

// "all_reduce sum of 40 f32 and 1 more".
const char *group_text(const struct collective *group, int count, char text[GROUP_TEXT]);

// One call of a collective on a stream.
ncclResult_t nccl_issue(const struct nccl_calls *calls, const struct collective *collective,
                        ncclComm_t comm, cudaStream_t stream);
