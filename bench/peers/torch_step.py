"""The cases of bench/train_step in PyTorch: channels-last, fused AdamW, clip, eager and compiled.

Needs PyTorch and numpy.
  python torch_step.py [--device cuda] [--precision f32|tf32|bf16|f16] [--compile] [--threads 2] [CASE...]
On a card the time is that of windows of steps between two synchronisations, under autocast (AMP), with
the batch uploaded from pinned memory in every step, as pawl does it.
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


class Bottleneck(nn.Module):
    def __init__(self, i, width, stride):
        super().__init__()
        o = 4 * width
        self.a = nn.Conv2d(i, width, 1, bias=False)
        self.na = nn.BatchNorm2d(width)
        self.b = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.nb = nn.BatchNorm2d(width)
        self.c = nn.Conv2d(width, o, 1, bias=False)
        self.nc = nn.BatchNorm2d(o)
        self.short = nn.Sequential()
        if stride != 1 or i != o:
            self.short = nn.Sequential(nn.Conv2d(i, o, 1, stride, bias=False), nn.BatchNorm2d(o))

    def forward(self, x):
        y = F.relu(self.nb(self.b(F.relu(self.na(self.a(x))))))
        return F.relu(self.nc(self.c(y)) + self.short(x))


def resnet50():
    layers = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
              nn.MaxPool2d(3, 2, 1)]
    width = 64
    for stage, blocks in enumerate([3, 4, 6, 3]):
        for block in range(blocks):
            layers.append(Bottleneck(width, 64 << stage, 2 if stage and not block else 1))
            width = 256 << stage
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, 1000))


def mlp4096():
    layers = []
    for _ in range(3):
        layers += [nn.Linear(4096, 4096), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(4096, 10))


WINDOW = 20
LARGE = {"mlp4096", "resnet50"}
CASES = {"demo-cnn": (demo_cnn, (1, 28, 28), 256, True), "mlp": (mlp, (1, 28, 28), 256, False),
         "resnet18": (resnet18, (3, 32, 32), 128, False),
         "mlp4096": (mlp4096, (4096,), 4096, False), "resnet50": (resnet50, (3, 224, 224), 256, False)}


def run(name, precision, compiled, seconds, device):
    build, shape, batch, flips = CASES[name]
    card = device != "cpu"
    torch.manual_seed(1)
    torch.backends.cudnn.benchmark = card
    if card:
        torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
        torch.backends.cudnn.allow_tf32 = precision == "tf32"
    model = build().to(device=device, memory_format=torch.channels_last)
    step_model = torch.compile(model) if compiled else model
    if name == "resnet50":
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, fused=card)
    else:
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05, fused=True)
    raw_host = torch.randint(0, 256, (batch, *shape), dtype=torch.uint8)
    label_host = torch.randint(0, 10, (batch,))
    if card:
        raw_host, label_host = raw_host.pin_memory(), label_host.pin_memory()
    half = {"bf16": torch.bfloat16, "f16": torch.float16}.get(precision)
    scaler = torch.amp.GradScaler(device, enabled=precision == "f16")

    def step():
        raw = raw_host.to(device, non_blocking=True)
        label = label_host.to(device, non_blocking=True)
        x = (raw.float() - 127.5) / 73.6
        if x.dim() == 4:
            x = x.contiguous(memory_format=torch.channels_last)
        if flips:  # the demo's augmentation: half of the rows are mirrored
            x = torch.where(torch.rand(batch, 1, 1, 1, device=device) < 0.5, x.flip(3), x)
        with torch.autocast(device, dtype=half or torch.bfloat16, enabled=half is not None):
            loss = F.cross_entropy(step_model(x).float(), label)
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()
        if name != "resnet50":  # as bench/configs say
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()

    def window():
        start = time.monotonic()
        for _ in range(WINDOW if card else 1):
            step()
        if card:
            torch.cuda.synchronize()
        return (time.monotonic() - start) * 1e3 / (WINDOW if card else 1)

    for _ in range(2 if card else 4):
        window()
    ms, begin = [], time.monotonic()
    while len(ms) < 6 or time.monotonic() - begin < seconds:
        ms.append(window())
    mode = "compiled" if compiled else "eager"
    print(f"{name:10} {precision:5} batch {batch:<4} median {statistics.median(ms):9.3f} ms  fastest "
          f"{min(ms):9.3f}  slowest {max(ms):9.3f}  ({len(ms)} {'windows' if card else 'steps'}, {mode})",
          flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="f32")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("cases", nargs="*")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(f"PyTorch {torch.__version__}, {args.threads} threads")
    for name in args.cases or [case for case in CASES if case not in LARGE]:
        run(name, args.precision, args.compile, args.seconds, args.device)


if __name__ == "__main__":
    main()
