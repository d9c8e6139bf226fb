"""The cases of bench/train_step in PyTorch: channels-last, fused AdamW, clip, eager and compiled.

Needs PyTorch and numpy.  python torch_step.py [--precision f32|bf16] [--compile] [--threads 2] [CASE...]
"""
import argparse
import statistics
import time

import torch
from torch import nn
from torch.nn import functional as F


def demo_cnn():
    def block(i, o):
        return [nn.Conv2d(i, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*block(1, 32), *block(32, 64), *block(64, 64), nn.Flatten(),
                         nn.Linear(576, 128), nn.ReLU(), nn.Linear(128, 10))


def mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(),
                         nn.Linear(1024, 10))


class Block(nn.Module):
    def __init__(self, i, o, stride):
        super().__init__()
        self.a = nn.Conv2d(i, o, 3, stride, 1, bias=False)
        self.na = nn.BatchNorm2d(o)
        self.b = nn.Conv2d(o, o, 3, 1, 1, bias=False)
        self.nb = nn.BatchNorm2d(o)
        self.short = nn.Sequential()
        if stride != 1 or i != o:
            self.short = nn.Sequential(nn.Conv2d(i, o, 1, stride, bias=False), nn.BatchNorm2d(o))

    def forward(self, x):
        y = self.nb(self.b(F.relu(self.na(self.a(x)))))
        return F.relu(y + self.short(x))


def resnet18():
    layers = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    width = 64
    for stage in range(4):
        out = 64 << stage
        layers += [Block(width, out, 2 if stage else 1), Block(out, out, 1)]
        width = out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))


CASES = {"demo-cnn": (demo_cnn, (1, 28, 28), 256, True), "mlp": (mlp, (1, 28, 28), 256, False),
         "resnet18": (resnet18, (3, 32, 32), 128, False)}


def run(name, precision, compiled, seconds):
    build, shape, batch, flips = CASES[name]
    torch.manual_seed(1)
    model = build().to(memory_format=torch.channels_last)
    step_model = torch.compile(model) if compiled else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05, fused=True)
    raw = torch.randint(0, 256, (batch, *shape), dtype=torch.uint8)
    label = torch.randint(0, 10, (batch,))

    def step():
        x = ((raw.float() - 127.5) / 73.6).contiguous(memory_format=torch.channels_last)
        if flips:  # the demo's augmentation: half of the rows are mirrored
            x = torch.where(torch.rand(batch, 1, 1, 1) < 0.5, x.flip(3), x)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
            loss = F.cross_entropy(step_model(x).float(), label)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    for _ in range(4):
        step()
    ms, begin = [], time.monotonic()
    while len(ms) < 6 or time.monotonic() - begin < seconds:
        start = time.monotonic()
        step()
        ms.append((time.monotonic() - start) * 1e3)
    mode = "compiled" if compiled else "eager"
    print(f"{name:10} {precision:5} batch {batch:<4} median {statistics.median(ms):9.3f} ms  fastest "
          f"{min(ms):9.3f}  slowest {max(ms):9.3f}  ({len(ms)} steps, {mode})", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--precision", default="f32")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("cases", nargs="*")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(f"PyTorch {torch.__version__}, {args.threads} threads")
    for name in args.cases or CASES:
        run(name, args.precision, args.compile, args.seconds)


if __name__ == "__main__":
    main()
