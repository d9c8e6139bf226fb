// Convolution by our own loops: one thread per element of the result, grid-stride, each gathering
// all that reaches it.
//
// For shapes that cuDNN has no engine for (some odd or one-sided ones): right, not fast. Bytes
// moved: every factor is read once per use, from L1 and L2 where it is shared. Sums are f64, so the
// length of a sum does not matter.
#include "kernels/cuda/direct.cuh"
#include "kernels/cuda/launch.cuh"

// The window in 32 bits, which every size of one dimension fits: half the registers.
struct geometry {
    int batch, channels, filters, groups;
    int in[2], out[2], size[2], stride[2], dilation[2], pad[2];
};

static struct geometry geometry_of(const struct window *window)
{
    struct geometry at = {};
    at.batch = (int)window->batch, at.groups = (int)window->groups;
    at.channels = (int)window->channels, at.filters = (int)window->filters;
    for (int i = 0; i < 2; i++) {
        at.in[i] = (int)window->in[i], at.out[i] = (int)window->out[i];
        at.size[i] = (int)window->size[i], at.stride[i] = (int)window->stride[i];
        at.dilation[i] = (int)window->dilation[i], at.pad[i] = (int)window->pad[2 * i];
    }
    return at;
}

// Reads element `at` as f64.
template <class T> static __device__ __forceinline__ double get(const T *from, int64_t at)
{
    return to_f32(from[at]);
}

template <class T, class R>
__global__ static void __launch_bounds__(THREADS)
    direct_forward(R *y, const T *x, const T *w, const __grid_constant__ struct geometry at,
                   int64_t count, bool add)
{
    int per_group = at.channels / at.groups, filters = at.filters / at.groups;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < count;
         i += (int64_t)gridDim.x * blockDim.x) {
        int64_t pixel = i / at.filters, line = pixel / at.out[1];
        int k = (int)(i % at.filters), column = (int)(pixel % at.out[1]);
        int row = (int)(line % at.out[0]);
        int64_t n = line / at.out[0];
        double sum = add ? (double)to_f32(y[i]) : 0;
        for (int r = 0; r < at.size[0]; r++)
            for (int s = 0; s < at.size[1]; s++) {
                int h = row * at.stride[0] - at.pad[0] + r * at.dilation[0];
                int v = column * at.stride[1] - at.pad[1] + s * at.dilation[1];
                if (h < 0 || h >= at.in[0] || v < 0 || v >= at.in[1]) continue;
                int64_t from = ((n * at.in[0] + h) * at.in[1] + v) * at.channels +
                               k / filters * per_group;
                int64_t weight = (((int64_t)k * at.size[0] + r) * at.size[1] + s) * per_group;
                for (int c = 0; c < per_group; c++) sum += get(x, from + c) * get(w, weight + c);
            }
        y[i] = from_f32<R>((float)sum);
    }
}

template <class T, class R>
__global__ static void __launch_bounds__(THREADS)
    direct_bwd_data(R *dx, const T *dy, const T *w, const __grid_constant__ struct geometry at,
                    int64_t count, bool add)
{
    int per_group = at.channels / at.groups, filters = at.filters / at.groups;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < count;
         i += (int64_t)gridDim.x * blockDim.x) {
        int64_t pixel = i / at.channels, line = pixel / at.in[1];
        int c = (int)(i % at.channels), column = (int)(pixel % at.in[1]);
        int row = (int)(line % at.in[0]), group = c / per_group;
        int64_t n = line / at.in[0];
        double sum = add ? (double)to_f32(dx[i]) : 0;
        for (int r = 0; r < at.size[0]; r++)
            for (int s = 0; s < at.size[1]; s++) {
                int h = row + at.pad[0] - r * at.dilation[0];
                int v = column + at.pad[1] - s * at.dilation[1];
                if (h < 0 || v < 0 || h % at.stride[0] || v % at.stride[1]) continue;
                h /= at.stride[0], v /= at.stride[1];
                if (h >= at.out[0] || v >= at.out[1]) continue;
                int64_t from = ((n * at.out[0] + h) * at.out[1] + v) * at.filters;
                for (int k = group * filters; k < (group + 1) * filters; k++)
                    sum += get(dy, from + k) *
                           get(w, (((int64_t)k * at.size[0] + r) * at.size[1] + s) * per_group +
                                      c % per_group);
            }
        dx[i] = from_f32<R>((float)sum);
    }
}

template <class T, class R>
__global__ static void __launch_bounds__(THREADS)
    direct_bwd_weight(R *dw, const T *dy, const T *x, const __grid_constant__ struct geometry at,
                      int64_t count, bool add)
{
    int per_group = at.channels / at.groups, filters = at.filters / at.groups;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < count;
         i += (int64_t)gridDim.x * blockDim.x) {
        int64_t cell = i / per_group, line = cell / at.size[1];
        int c = (int)(i % per_group), s = (int)(cell % at.size[1]);
        int r = (int)(line % at.size[0]), k = (int)(line / at.size[0]);
        double sum = add ? (double)to_f32(dw[i]) : 0;
        for (int64_t n = 0; n < at.batch; n++)
            for (int row = 0; row < at.out[0]; row++) {
                int h = row * at.stride[0] - at.pad[0] + r * at.dilation[0];
                if (h < 0 || h >= at.in[0]) continue;
                for (int column = 0; column < at.out[1]; column++) {
                    int v = column * at.stride[1] - at.pad[1] + s * at.dilation[1];
                    if (v < 0 || v >= at.in[1]) continue;
                    sum += get(dy, ((n * at.out[0] + row) * at.out[1] + column) * at.filters + k) *
                           get(x, ((n * at.in[0] + h) * at.in[1] + v) * at.channels +
                                      k / filters * per_group + c);
                }
            }
        dw[i] = from_f32<R>((float)sum);
    }
}

template <class T, class R>
static void start(cudaStream_t stream, const struct dnn_spec *spec, const void *x, const void *w,
                  const void *y)
{
    const struct window *at = &spec->window;
    const T *from_x = static_cast<const T *>(x), *from_w = static_cast<const T *>(w);
    const T *from_y = static_cast<const T *>(y);
    int64_t count = at->batch * at->out[0] * at->out[1] * at->filters;
    if (spec->pass == OP_CONV2D_BWD_DATA) count = at->batch * at->in[0] * at->in[1] * at->channels;
    if (spec->pass == OP_CONV2D_BWD_WEIGHT)
        count = at->filters * at->size[0] * at->size[1] * (at->channels / at->groups);
    const struct geometry sizes = geometry_of(at);
    int64_t wanted = ceil_div(count, THREADS);
    unsigned blocks = (unsigned)(wanted < 65536 ? wanted : 65536);
    if (spec->pass == OP_CONV2D)
        direct_forward<<<blocks, THREADS, 0, stream>>>(static_cast<R *>(const_cast<void *>(y)),
                                                       from_x, from_w, sizes, count, spec->add);
    else if (spec->pass == OP_CONV2D_BWD_DATA)
        direct_bwd_data<<<blocks, THREADS, 0, stream>>>(static_cast<R *>(const_cast<void *>(x)),
                                                        from_y, from_w, sizes, count, spec->add);
    else
        direct_bwd_weight<<<blocks, THREADS, 0, stream>>>(static_cast<R *>(const_cast<void *>(w)),
                                                          from_y, from_x, sizes, count, spec->add);
}

void direct_run(cudaStream_t stream, const struct dnn_spec *spec, const void *x, const void *w,
                const void *y)
{
    with_float(spec->factors, [&](auto zero) {
        using T = decltype(zero);
        if (spec->result == DTYPE_F32)
            start<T, float>(stream, spec, x, w, y);
        else
            start<T, T>(stream, spec, x, w, y);
    });
}
