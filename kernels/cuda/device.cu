// The CUDA device: opening it or saying why not, its memory, copies through pinned staging.
//
// One stream carries everything in order but the slots' uploads (queue.cu), so a run is a launch
// and nothing waits but copy_out and wait, which are counted. Copies go through two pinned halves:
// the host fills one while the card reads the other. What a kernel did wrong shows at the next
// wait.
#include "kernels/cuda/library.cuh"

extern "C" {
#include "kernels/cuda_module.h"
}

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const size_t staging_half = 4 << 20;

struct cuda_device {
    struct cuda_state shared; // first: what cuda_state_of() gives
    char *staging;            // two pinned halves
    cudaEvent_t done[2];      // the card is through with that half
    struct kernel kernels[OP_COUNT];
};

static struct cuda_device *cuda_device_of(struct device *device)
{
    return static_cast<struct cuda_device *>(device->state);
}

static enum code device_alloc(struct device *device, void **memory, size_t size, const char *what,
                              struct err *err)
{
    *memory = NULL;
    cudaError_t error = cudaMalloc(memory, size ? size : 1);
    if (error == cudaSuccess) {
        char doing[200];
        snprintf(doing, sizeof doing, "clear %s", what);
        return cuda_check(cudaMemsetAsync(*memory, 0, size ? size : 1, cuda_stream(device)), doing,
                          err);
    }
    size_t free_bytes = 0, total = 0;
    (void)cudaGetLastError(); // a refused allocation is not sticky
    if (error != cudaErrorMemoryAllocation) return cuda_check(error, "allocate memory", err);
    (void)cudaMemGetInfo(&free_bytes, &total);
    err_set(err, NO_MEMORY,
            "cannot allocate %s on device 'cuda': %.1f MiB wanted, %.1f of %.1f MiB free", what,
            (double)size / (1 << 20), (double)free_bytes / (1 << 20), (double)total / (1 << 20));
    return err_hint(err, "Lower the batch or the precision; `pawl plan` lists what takes the most "
                         "memory, `nvidia-smi` who else uses the card.");
}

static void device_free(struct device *device, void *memory)
{
    if (ranks_free(device, memory)) return;
    (void)cudaFree(memory); // an earlier failure was reported where it showed
}

static enum code copy_in(struct device *device, void *to, const void *from, size_t size,
                         struct err *err)
{
    static const char doing[] = "copy to the card";
    struct cuda_device *own = cuda_device_of(device);
    for (size_t at = 0, n = 0; at < size; at += staging_half, n++) {
        size_t part = size - at < staging_half ? size - at : staging_half;
        char *half = own->staging + n % 2 * staging_half;
        TRY(cuda_check(cudaEventSynchronize(own->done[n % 2]), doing, err));
        memcpy(half, static_cast<const char *>(from) + at, part);
        TRY(cuda_check(cudaMemcpyAsync(static_cast<char *>(to) + at, half, part,
                                       cudaMemcpyHostToDevice, own->shared.stream),
                       doing, err));
        TRY(cuda_check(cudaEventRecord(own->done[n % 2], own->shared.stream), doing, err));
    }
    return OK;
}

static enum code copy_out(struct device *device, void *to, const void *from, size_t size,
                          struct err *err)
{
    static const char doing[] = "copy from the card";
    struct cuda_device *own = cuda_device_of(device);
    size_t parts = (size + staging_half - 1) / staging_half;
    device->waits++;
    // Part n is on its way while part n - 1 is taken out of the other half.
    for (size_t n = 0; n <= parts; n++) {
        if (n < parts) {
            size_t at = n * staging_half,
                   part = size - at < staging_half ? size - at : staging_half;
            TRY(cuda_check(cudaMemcpyAsync(own->staging + n % 2 * staging_half,
                                           static_cast<const char *>(from) + at, part,
                                           cudaMemcpyDeviceToHost, own->shared.stream),
                           doing, err));
            TRY(cuda_check(cudaEventRecord(own->done[n % 2], own->shared.stream), doing, err));
        }
        if (n == 0) continue;
        size_t at = (n - 1) * staging_half,
               part = size - at < staging_half ? size - at : staging_half;
        TRY(cuda_check(cudaEventSynchronize(own->done[(n - 1) % 2]), doing, err));
        memcpy(static_cast<char *>(to) + at, own->staging + (n - 1) % 2 * staging_half, part);
    }
    return ranks_failed(device, err);
}

static enum code device_wait(struct device *device, struct err *err)
{
    device->waits++;
    TRY(cuda_check(cudaStreamSynchronize(cuda_stream(device)), "finish the runs", err));
    return ranks_failed(device, err);
}

static void cuda_close(struct device *device)
{
    struct cuda_device *own = cuda_device_of(device);
    if (!own) return;
    ranks_release(device);
    if (own->shared.dnn) (void)cudnnDestroy(static_cast<cudnnHandle_t>(own->shared.dnn));
    if (own->shared.blas_lt)
        (void)cublasLtDestroy(static_cast<cublasLtHandle_t>(own->shared.blas_lt));
    for (int i = 0; i < 2; i++) {
        if (own->done[i]) (void)cudaEventDestroy(own->done[i]);
        if (own->shared.mark[i])
            (void)cudaEventDestroy(static_cast<cudaEvent_t>(own->shared.mark[i]));
    }
    if (own->staging) (void)cudaFreeHost(own->staging);
    if (own->shared.uploads) (void)cudaStreamDestroy(own->shared.uploads);
    if (own->shared.stream) (void)cudaStreamDestroy(own->shared.stream);
    free(own);
    memset(device, 0, sizeof *device);
}

// Both sides share structs by value, so a module of another build must not be used at all.
static enum code check_contract(const struct module_contract *theirs, struct err *err)
{
    struct module_contract here = module_contract_here();
    bool same = strcmp(theirs->version, here.version) == 0 && theirs->ops == here.ops &&
                theirs->device == here.device && theirs->call == here.call &&
                theirs->attr == here.attr && theirs->block == here.block && theirs->err == here.err;
    if (same) return OK;
    err_set(err, USAGE, "module '%s' is of another build: version %s, pawl is %s", MODULE_CUDA_FILE,
            here.version, theirs->version);
    return err_hint(err, "Build and install pawl and its module together.");
}

// The driver, then a device; each absence in its own words.
static enum code check_driver(int *cards, struct err *err)
{
    int driver = 0, count = 0;
    cudaError_t error = cudaDriverGetVersion(&driver);
    if (error != cudaSuccess || driver == 0) {
        err_set(err, DEVICE, "cannot use device 'cuda': there is no NVIDIA driver (libcuda.so.1)");
        return err_hint(err, "Install the driver, or pass the card to the container, or say "
                             "--device cpu.");
    }
    error = cudaGetDeviceCount(&count);
    if (error == cudaErrorInsufficientDriver) {
        err_set(err, DEVICE,
                "cannot use device 'cuda': the driver knows CUDA %d.%d, the module needs %d.%d",
                driver / 1000, driver % 1000 / 10, CUDART_VERSION / 1000,
                CUDART_VERSION % 1000 / 10);
        return err_hint(err, "Install a newer driver, or say --device cpu.");
    }
    if (error == cudaErrorNoDevice || (error == cudaSuccess && count == 0)) {
        err_set(err, DEVICE, "cannot use device 'cuda': the driver shows no card");
        return err_hint(err, "Look at `nvidia-smi` and CUDA_VISIBLE_DEVICES, or say --device cpu.");
    }
    *cards = count;
    return cuda_check(error, "count the cards", err);
}

static enum code check_card(const struct cudaDeviceProp *card, struct err *err)
{
    if (card->major >= 8) return OK;
    err_set(
        err, DEVICE,
        "cannot use device 'cuda': '%s' has architecture %d.%d, pawl is built for 8.0 and newer",
        card->name, card->major, card->minor);
    return err_hint(err, "Choose another card with CUDA_VISIBLE_DEVICES, or say --device cpu.");
}

static enum code open_libraries(struct cuda_device *own, struct err *err)
{
    cublasLtHandle_t blas;
    cudnnHandle_t dnn;
    TRY(blas_check(cublasLtCreate(&blas), NULL, err));
    own->shared.blas_lt = blas;
    TRY(dnn_check(cudnnCreate(&dnn), NULL, err));
    own->shared.dnn = dnn;
    return dnn_check(cudnnSetStream(dnn, own->shared.stream), NULL, err);
}

// Each rank of a machine has a card of its own, or says that it shares one.
static enum code choose_card(int *index, const struct device_place *place, int cards,
                             struct err *err)
{
    *index = place->local_rank % cards;
    if (place->local_size <= cards || place->share) return OK;
    err_set(err, USAGE, "cannot use device 'cuda': this machine has %d ranks and %d card%s",
            place->local_size, cards, cards == 1 ? "" : "s");
    return err_hint(err,
                    "Start %d rank%s here; --share-device puts several on one card, for "
                    "tests: they take turns.",
                    cards, cards == 1 ? "" : "s");
}

static enum code open_card(struct cuda_device *own, struct cudaDeviceProp *card, int index,
                           struct err *err)
{
    TRY(cuda_check(cudaGetDeviceProperties(card, index), "ask for the card's properties", err));
    TRY(check_card(card, err));
    TRY(cuda_check(cudaSetDevice(index), "choose the card", err));
    own->shared.index = index;
    own->shared.processors = card->multiProcessorCount;
    own->shared.l2_bytes = (size_t)card->l2CacheSize;
    own->shared.shared_limit = card->sharedMemPerBlockOptin;
    TRY(cuda_check(cudaStreamCreateWithFlags(&own->shared.stream, cudaStreamNonBlocking),
                   "create a stream", err));
    TRY(cuda_check(cudaStreamCreateWithFlags(&own->shared.uploads, cudaStreamNonBlocking),
                   "create a stream", err));
    void *staging;
    TRY(cuda_check(cudaHostAlloc(&staging, 2 * staging_half, cudaHostAllocDefault),
                   "pin host memory", err));
    own->staging = static_cast<char *>(staging);
    for (int i = 0; i < 2; i++) {
        cudaEvent_t timed;
        TRY(cuda_check(cudaEventCreateWithFlags(&own->done[i], cudaEventDisableTiming),
                       "create an event", err));
        TRY(cuda_check(cudaEventCreate(&timed), "create an event", err));
        own->shared.mark[i] = timed;
    }
    return open_libraries(own, err);
}

static void describe(struct device *device, const struct cudaDeviceProp *card)
{
    int driver = 0;
    (void)cudaDriverGetVersion(&driver);
    size_t blas = cublasLtGetVersion(), dnn = cudnnGetVersion();
    snprintf(device->description, sizeof device->description,
             "%.36s sm_%d%d, driver %d.%d, CUDA %d.%d, cuBLASLt %zu.%zu.%zu, cuDNN %zu.%zu.%zu",
             card->name, card->major, card->minor, driver / 1000, driver % 1000 / 10,
             CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10, blas / 10000, blas / 100 % 100,
             blas % 100, dnn / 10000, dnn / 100 % 100, dnn % 100);
}

static enum code open_device(struct device *device, int threads, int index, struct err *err)
{
    struct cudaDeviceProp card;
    struct cuda_device *own = static_cast<struct cuda_device *>(calloc(1, sizeof *own));
    if (!own)
        return err_set(err, NO_MEMORY, "cannot allocate the CUDA device: refused by the system");
    device->state = own;
    device->close = cuda_close;
    enum code code = open_card(own, &card, index, err);
    if (code) {
        cuda_close(device);
        return code;
    }
    for (int op = 0; op < OP_COUNT; op++)
        if (cuda_kernels[op]) own->kernels[op] = *cuda_kernels[op];
    device->name = "cuda";
    device->threads = threads ? threads : 1;
    device->fast_dtypes = DTYPE_BIT(DTYPE_F32) | DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_F16);
    device->fast_tf32 = true;
    device->kernels = own->kernels;
    device->alloc = device_alloc;
    device->free = device_free;
    device->copy_in = copy_in;
    device->copy_out = copy_out;
    device->wait = device_wait;
    device->queue = &cuda_queue;
    device->collective = cuda_collective;
    device->choices = &cuda_choices;
    device->cache_bytes = own->shared.l2_bytes;
    describe(device, &card);
    return OK;
}

extern "C" __attribute__((visibility("default"))) enum code pawl_cuda_open(
    struct device *device, const struct module_contract *contract, int threads,
    const struct device_place *place, struct err *err);

enum code pawl_cuda_open(struct device *device, const struct module_contract *contract, int threads,
                         const struct device_place *place, struct err *err)
{
    int cards = 0, index;
    TRY(check_contract(contract, err));
    TRY(check_driver(&cards, err));
    TRY(choose_card(&index, place, cards, err));
    memset(device, 0, sizeof *device);
    return open_device(device, threads, index, err);
}
