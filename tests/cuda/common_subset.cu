// The scalar maths that CPU and CUDA share, compiled for the device: which draw belongs to which
// element is the same code on both. Building it (preset `cuda`) proves the common subset.
#include "base/rng.h"
#include "kernels/scalar.h"

// One thread per element of a sample: the words that dropout reads. Launch: any shape.
extern "C" __global__ void shared_draws(uint32_t *out, uint64_t key, uint64_t ordinal, int count)
{
    int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (i >= count) return;
    struct philox draw = draw_words(draw_key(key, 1, 0), (int64_t)ordinal, i / 4);
    out[i] = dropout_keeps(draw.word[i % 4], 0.5f) ? draw.word[i % 4] : 0;
}
