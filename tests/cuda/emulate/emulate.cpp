// The scheduler of the emulation and a device of two processors on host memory.
#include "kernels/cuda/library.cuh"

extern "C" {
#include "kernels/cuda/table.h"
}

#include <stdio.h>

#include <vector>

dim3 threadIdx, blockIdx, blockDim, gridDim;

enum { STACK = 64 << 10, MOST_THREADS = 1024, WARP = 32 };

// Saves the caller's registers and stack in *from, goes on with `to`.
extern "C" void emulated_switch(void **from, void *to);
asm(".globl emulated_switch\n"
    "emulated_switch:\n"
    "  pushq %rbp\n  pushq %rbx\n  pushq %r12\n  pushq %r13\n  pushq %r14\n  pushq %r15\n"
    "  movq %rsp, (%rdi)\n  movq %rsi, %rsp\n"
    "  popq %r15\n  popq %r14\n  popq %r13\n  popq %r12\n  popq %rbx\n  popq %rbp\n"
    "  ret\n");

struct fiber {
    void *stack; // where it stands
    char *memory;
    dim3 index;
    bool ended;
};

// One barrier: who has come, how often it opened.
struct gate {
    int come;
    unsigned opened;
};

static struct {
    std::vector<fiber> fibers;
    void *scheduler;
    const std::function<void()> *thread;
    int current, count, live;
    gate block, warp[MOST_THREADS / WARP];
    int warp_live[MOST_THREADS / WARP];
    uint64_t slots[MOST_THREADS];
    bool moved; // somebody got past a gate or ended
    unsigned launches;
    std::vector<void *> dynamic;
} state;

int emulated_dynamic(void *memory)
{
    state.dynamic.push_back(memory);
    return 0;
}

static void yield(void)
{
    int me = state.current;
    emulated_switch(&state.fibers[(size_t)me].stack, state.scheduler);
}

static void open_if_full(gate *gate, int wanted)
{
    if (gate->come < wanted || wanted == 0) return;
    gate->come = 0;
    gate->opened++;
    state.moved = true;
}

static void pass(gate *gate, const int *wanted)
{
    unsigned before = gate->opened;
    gate->come++;
    open_if_full(gate, *wanted);
    while (gate->opened == before) yield();
}

void __syncthreads(void)
{
    pass(&state.block, &state.live);
}

int emulated_lane(void)
{
    return state.current % WARP;
}

uint64_t emulated_exchange(uint64_t bits, int from)
{
    int warp = state.current / WARP, first = warp * WARP;
    int size = state.count - first < WARP ? state.count - first : WARP;
    if (from >= size || state.warp_live[warp] != size) {
        fprintf(stderr, "emulation: a shuffle with lane %d, which is not there\n", from);
        abort();
    }
    state.slots[state.current] = bits;
    pass(&state.warp[warp], &size);
    uint64_t got = state.slots[first + from];
    pass(&state.warp[warp], &size);
    return got;
}

static void fiber_main(void)
{
    (*state.thread)();
    int me = state.current;
    state.fibers[(size_t)me].ended = true;
    state.live--;
    state.warp_live[me / WARP]--;
    state.moved = true;
    open_if_full(&state.block, state.live); // the ended are not waited for
    yield();
    abort();
}

static void fiber_begin(fiber *fiber)
{
    if (!fiber->memory) fiber->memory = static_cast<char *>(aligned_alloc(64, STACK));
    void **top = reinterpret_cast<void **>(fiber->memory + STACK) - 2;
    *top = reinterpret_cast<void *>(fiber_main); // aligned as after a call
    fiber->stack = top - 6;
    memset(fiber->stack, 0, 6 * sizeof *top);
    fiber->ended = false;
}

static void run_block(bool backwards)
{
    for (void *memory : state.dynamic) memset(memory, 0xFF, EMULATED_SHARED);
    state.live = state.count;
    state.block = {};
    for (int i = 0; i < state.count; i++) {
        fiber *fiber = &state.fibers[(size_t)i];
        fiber_begin(fiber);
        unsigned at = (unsigned)i;
        fiber->index = dim3(at % blockDim.x, at / blockDim.x % blockDim.y,
                            at / blockDim.x / blockDim.y);
        if (i % WARP == 0) {
            state.warp[i / WARP] = {};
            state.warp_live[i / WARP] = state.count - i < WARP ? state.count - i : WARP;
        }
    }
    while (state.live > 0) {
        state.moved = false;
        for (int n = 0; n < state.count; n++) {
            int i = backwards ? state.count - 1 - n : n;
            if (state.fibers[(size_t)i].ended) continue;
            state.current = i;
            threadIdx = state.fibers[(size_t)i].index;
            emulated_switch(&state.scheduler, state.fibers[(size_t)i].stack);
        }
        if (state.moved) continue;
        fprintf(stderr, "emulation: every thread of a block waits\n");
        abort();
    }
}

void emulated_launch(dim3 grid, dim3 block, size_t shared, const std::function<void()> &thread)
{
    unsigned size = block.x * block.y * block.z;
    if (size < 1 || size > MOST_THREADS || shared > EMULATED_SHARED || grid.y > 65535 ||
        grid.z > 65535 || (uint64_t)grid.x * grid.y * grid.z == 0) {
        fprintf(stderr, "emulation: a launch of %u threads with %zu bytes cannot be\n", size,
                shared);
        abort();
    }
    if (state.fibers.size() < size) state.fibers.resize(size);
    state.count = (int)size;
    state.thread = &thread;
    blockDim = block, gridDim = grid;
    state.launches++;
    for (unsigned z = 0; z < grid.z; z++)
        for (unsigned y = 0; y < grid.y; y++)
            for (unsigned x = 0; x < grid.x; x++) {
                blockIdx = dim3(x, y, z);
                run_block(state.launches % 2);
            }
}

// The module's device without a card.

static enum code host_alloc(struct device *, void **memory, size_t size, const char *what,
                            struct err *err)
{
    return block_alloc(memory, size, what, err);
}

static void host_free(struct device *, void *memory)
{
    block_free(memory);
}

static enum code host_copy(struct device *, void *to, const void *from, size_t size, struct err *)
{
    memcpy(to, from, size);
    return OK;
}

static void nothing_to_close(struct device *)
{
}

// There is no clock: the device around this one says what a run takes.
static const struct device_choices choices = { list_choices, NULL, NULL, NULL };

extern "C" enum code device_open_emulated(struct device *device)
{
    static struct cuda_state own;
    static struct kernel kernels[OP_COUNT];
    own.processors = 2;
    own.l2_bytes = 1 << 20;
    own.shared_limit = EMULATED_SHARED;
    for (int op = 0; op < OP_COUNT; op++)
        if (cuda_kernels[op]) kernels[op] = *cuda_kernels[op];
    memset(device, 0, sizeof *device);
    device->name = "cuda";
    snprintf(device->description, sizeof device->description, "emulation of the CUDA kernels");
    device->threads = 1;
    device->fast_dtypes = DTYPE_BIT(DTYPE_F32) | DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_F16);
    device->fast_tf32 = true;
    device->kernels = kernels;
    device->alloc = host_alloc;
    device->free = host_free;
    device->copy_in = host_copy;
    device->copy_out = host_copy;
    device->close = nothing_to_close;
    device->choices = &choices;
    device->cache_bytes = own.l2_bytes;
    device->state = &own;
    return OK;
}
