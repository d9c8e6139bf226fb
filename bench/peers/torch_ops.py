#!/usr/bin/env python3
"""Times single ops in PyTorch, one line per op in the form of bench_kernels (peer of bench/kernels.c).

Run with the interpreter of an environment that has PyTorch:
    python bench/peers/torch_ops.py [--threads 2] [--repeats 15] [--filter TEXT] [--clock wall|cpu]
Columns: op, case, milliseconds (median, least), GFLOP/s. The cpu clock is the process's, for one thread on a
machine that others use.
"""
import argparse
import statistics
import time

import torch
import torch.nn.functional as F

parser = argparse.ArgumentParser()
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--repeats", type=int, default=15)
parser.add_argument("--filter", default="")
parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
args = parser.parse_args()
torch.set_num_threads(args.threads)
now = time.process_time if args.clock == "cpu" else time.perf_counter

# name, batch, side, in, out, kernel, stride (padding keeps the side at stride 1)
CONVS = [
    ("demo1", 256, 28, 1, 32, 3, 1),
    ("demo2", 256, 14, 32, 64, 3, 1),
    ("demo3", 256, 7, 64, 64, 3, 1),
    ("r18.stem", 128, 32, 3, 64, 3, 1),
    ("r18.1", 128, 32, 64, 64, 3, 1),
    ("r18.2a", 128, 32, 64, 128, 3, 2),
    ("r18.2s", 128, 32, 64, 128, 1, 2),
    ("r18.2", 128, 16, 128, 128, 3, 1),
    ("r18.3", 128, 8, 256, 256, 3, 1),
    ("r18.4", 128, 4, 512, 512, 3, 1),
]
LINEARS = [
    ("demo.d1", 256, 576, 128),
    ("demo.d2", 256, 128, 10),
    ("mlp1", 256, 784, 1024),
    ("mlp2", 256, 1024, 1024),
    ("mlp3", 256, 1024, 10),
]
NORMS = [("demo1", 256, 28, 32), ("demo2", 256, 14, 64), ("demo3", 256, 7, 64)]


def measure(op, case, flops, run):
    if args.filter not in f"{op} {case}":
        return
    for _ in range(3):
        run()
    times = []
    for _ in range(args.repeats):
        start = now()
        run()
        times.append(now() - start)
    ms = statistics.median(times) * 1e3
    print(f"{op:<20} {case:<10} f32 {ms:9.3f} {min(times) * 1e3:9.3f} ms {flops / ms / 1e6:9.1f} GFLOP/s", flush=True)


def bench_conv(case, batch, side, cin, cout, kernel, stride):
    x = torch.randn(batch, cin, side, side).to(memory_format=torch.channels_last)
    w = torch.randn(cout, cin, kernel, kernel).to(memory_format=torch.channels_last)
    pad = kernel // 2
    y = F.conv2d(x, w, stride=stride, padding=pad)
    dy = torch.randn_like(y)
    flops = 2 * y.numel() * cin * kernel * kernel

    def backward(mask):
        return torch.ops.aten.convolution_backward(
            dy, x, w, None, [stride] * 2, [pad] * 2, [1, 1], False, [0, 0], 1, mask)

    with torch.no_grad():
        measure("conv2d", case, flops, lambda: F.conv2d(x, w, stride=stride, padding=pad))
        if cin > 3:
            measure("conv2d_bwd_data", case, flops, lambda: backward([True, False, False]))
        measure("conv2d_bwd_weight", case, flops, lambda: backward([False, True, False]))


def bench_linear(case, rows, cin, cout):
    x, w, dy = torch.randn(rows, cin), torch.randn(cout, cin), torch.randn(rows, cout)
    flops = 2 * rows * cin * cout
    with torch.no_grad():
        measure("linear", case, flops, lambda: F.linear(x, w))
        measure("linear_bwd_data", case, flops, lambda: dy @ w)
        measure("linear_bwd_weight", case, flops, lambda: dy.t() @ x)


def bench_norm(case, batch, side, channels):
    """Batch norm, ReLU and 2x2 max pool, forward and backward, as eager PyTorch runs them."""
    x = torch.randn(batch, channels, side, side).to(memory_format=torch.channels_last)
    x.requires_grad_()
    norm = torch.nn.BatchNorm2d(channels)

    def forward():
        return F.max_pool2d(F.relu(norm(x)), 2)

    dy = torch.randn_like(forward())

    def both():
        x.grad = None
        forward().backward(dy)

    with torch.no_grad():
        measure("bn_act_pool", case, 0, forward)
    measure("bn_act_pool+bwd", case, 0, both)


for row in CONVS:
    bench_conv(*row)
for row in LINEARS:
    bench_linear(*row)
for row in NORMS:
    bench_norm(*row)
