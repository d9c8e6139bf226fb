"""Records what PyTorch computes in f64 for the ops that it has: inputs, outputs, gradients.

Needs PyTorch and numpy. Run from the root of the repository:

    python3 tests/torch/record_ops.py tests/torch/ops.json

tests/kernels/torch.c reads the file and holds the `ref` device and the gradient recipes to it.
Layouts are pawl's (images NHWC, filters [K, R, S, C / groups], labels i32). Constants that pawl
keeps in f32 (eps, momentum, rates) are powers of two or short fractions, so that nothing is lost.
Numbers are written so that they read back as the same f64.
"""

import json
import sys

import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
torch.manual_seed(20240607)

ACTIVATIONS = {"relu": F.relu, "gelu": F.gelu, "silu": F.silu, "tanh": torch.tanh,
               "sigmoid": torch.sigmoid}
cases = []


def draw(*shape, low=-2.0, high=2.0):
    """Random multiples of 2^-10 (short to write, exact in f32), never 0."""
    steps = torch.randint(int(low * 1024), int(high * 1024), shape)
    return (steps.double() + 0.5) / 1024


def labels(classes, *shape):
    return torch.randint(0, classes, shape, dtype=torch.int32)


def pack(tensor):
    if tensor is None:
        return None
    kinds = {torch.float64: "f64", torch.int32: "i32", torch.uint8: "u8"}
    flat = tensor.detach().contiguous().reshape(-1).tolist()
    return {"dtype": kinds[tensor.dtype], "shape": list(tensor.shape), "values": flat}


def nchw(x):
    return x.permute(0, 3, 1, 2)


def nhwc(x):
    return x.permute(0, 2, 3, 1)


def window_place(index, width, size, stride, pad):
    """PyTorch's index of a maximum (its place in the plane) as its place in the window."""
    rows = torch.arange(index.shape[2]).view(1, 1, -1, 1) * stride - pad
    columns = torch.arange(index.shape[3]).view(1, 1, 1, -1) * stride - pad
    return ((index // width - rows) * size + index % width - columns).to(torch.uint8)


def record(name, op, attr, inputs, function, loss_scale=None, updated=None):
    """`function` maps the inputs to pawl's outputs. Gradients are those of a random combination of
    the outputs that carry one; for a loss, of loss_scale times the sum of output 0. `updated` gives
    the inputs as the op leaves them (None: untouched)."""
    leaves = [x.clone().requires_grad_(x.is_floating_point()) if x is not None else None
              for x in inputs]
    outputs = function(*leaves)
    outputs = list(outputs) if isinstance(outputs, (tuple, list)) else [outputs]
    cotangents, total = [], 0
    for y in outputs:
        carries = loss_scale is None and y is not None and y.requires_grad
        cotangents.append(draw(*y.shape, low=-1, high=1) if carries else None)
        if carries:
            total = total + (y * cotangents[-1]).sum()
    if loss_scale is not None:
        total = outputs[0].sum() * loss_scale
    gradients = [None] * len(leaves)
    wanted = [x for x in leaves if x is not None and x.requires_grad]
    if torch.is_tensor(total) and total.requires_grad:
        found = iter(torch.autograd.grad(total, wanted, allow_unused=True))
        gradients = [next(found) if x is not None and x.requires_grad else None for x in leaves]
    cases.append({
        "name": name, "op": op, "attr": attr,
        "in": [pack(x) for x in inputs], "out": [pack(y) for y in outputs],
        "cotangent": [pack(c) for c in cotangents], "gradient": [pack(g) for g in gradients],
        "updated": [pack(u) for u in updated()] if updated else [],
    })


def products():
    x, w, b = draw(4, 5), draw(3, 5), draw(3)
    record("linear", "linear", {}, [x, w, b], F.linear)
    record("linear without bias, tokens", "linear", {}, [draw(2, 3, 4), w[:, :4].clone()], F.linear)
    for name, act in ACTIVATIONS.items():
        with torch.no_grad():  # the recipe is that of the op before an activation is fused into it
            record("linear with " + name, "linear", {"act": name}, [x, w, b],
                   lambda *a, f=act: f(F.linear(*a)))

    def conv(stride=(1, 1), dilation=(1, 1), pad=(0, 0, 0, 0), groups=1):
        def run(x, w, b=None):
            top, bottom, left, right = pad
            padded = F.pad(nchw(x), (left, right, top, bottom))
            return nhwc(F.conv2d(padded, nchw(w), b, stride, 0, dilation, groups))
        attr = {"stride": stride, "dilation": dilation, "pad": pad, "groups": groups}
        return attr, run

    for name, options, inputs in (
            ("same", {"pad": (1, 1, 1, 1)}, [draw(2, 5, 4, 3), draw(4, 3, 3, 3), draw(4)]),
            ("valid, no bias", {}, [draw(1, 5, 6, 2), draw(3, 2, 3, 2)]),
            ("stride 2", {"stride": (2, 2), "pad": (1, 1, 1, 1)},
             [draw(2, 7, 6, 2), draw(3, 3, 3, 2), draw(3)]),
            ("dilated and lopsided", {"stride": (1, 2), "dilation": (2, 1), "pad": (1, 2, 0, 1)},
             [draw(1, 6, 5, 2), draw(2, 3, 2, 2), draw(2)]),
            ("groups", {"groups": 2, "pad": (1, 0, 0, 1)},
             [draw(2, 4, 4, 4), draw(6, 2, 2, 2), draw(6)]),
            ("depthwise", {"groups": 3, "pad": (1, 1, 1, 1)},
             [draw(1, 4, 5, 3), draw(3, 3, 3, 1)])):
        attr, run = conv(**options)
        record("conv2d " + name, "conv2d", attr, inputs, run)


def norms():
    eps, momentum = 2.0 ** -10, 0.125

    def batch(x, gamma, beta, mean, variance, act=None, pool=0):
        """Batch norm over all but the last axis, activation, pool; updates mean and variance."""
        moved = [mean.detach().clone(), variance.detach().clone()]
        planes = x.movedim(-1, 1)
        y = F.batch_norm(planes, moved[0], moved[1], gamma, beta, True, momentum, eps)
        y = y.movedim(1, -1)
        batch.moved = moved
        axes = tuple(range(x.dim() - 1))
        mean = x.detach().mean(axes)
        rstd = 1 / torch.sqrt(x.detach().var(axes, unbiased=False) + eps)
        y = act(y) if act else y
        if pool <= 1:
            return y, mean, rstd
        y, index = F.max_pool2d(nchw(y), pool, return_indices=True)
        return nhwc(y), mean, rstd, nhwc(window_place(index, x.shape[2], pool, pool, 0))

    def updated():
        return [None, None, None] + batch.moved

    attr = {"eps": eps, "momentum": momentum}
    for name, shape in (("rows", (6, 3)), ("images", (2, 3, 4, 3))):
        inputs = [draw(*shape), draw(3), draw(3), draw(3), draw(3, low=0.5, high=2)]
        record("batch_norm of " + name, "batch_norm", attr, inputs, batch, updated=updated)
        record("batch_norm_infer of " + name, "batch_norm_infer", {"eps": eps}, inputs,
               lambda x, g, b, m, v: F.batch_norm(x.movedim(-1, 1), m.detach(), v.detach(), g, b,
                                                  False, 0, eps).movedim(1, -1))
    for name, act, pool in (("relu", F.relu, 2), ("gelu", F.gelu, 2), ("relu", F.relu, 1),
                            ("none", None, 3)):
        inputs = [draw(2, 5, 6, 2), draw(2), draw(2), draw(2), draw(2, low=0.5, high=2)]
        record(f"bn_act_pool {name} {pool}", "bn_act_pool", {**attr, "act": name, "pool": pool},
               inputs, lambda *a, f=act, p=pool: batch(*a, act=f, pool=p), updated=updated)

    def layer(x, gamma, beta=None):
        mean = x.detach().mean(-1)
        rstd = 1 / torch.sqrt(x.detach().var(-1, unbiased=False) + eps)
        return F.layer_norm(x, x.shape[-1:], gamma, beta, eps), mean, rstd

    record("layer_norm", "layer_norm", {"eps": eps}, [draw(3, 5), draw(5), draw(5)], layer)
    record("layer_norm without beta", "layer_norm", {"eps": eps}, [draw(2, 2, 7), draw(7)], layer)


def activations():
    x = draw(3, 7, low=-4, high=4)
    for name, act in ACTIVATIONS.items():
        record(name, name, {}, [x], act)
    record("softmax", "softmax", {}, [draw(4, 5)], lambda z: F.softmax(z, -1))


def pools():
    for size, stride, pad in ((2, 2, 0), (3, 2, 1)):
        attr = {"size": (size, size), "stride": (stride, stride), "pad": (pad,) * 4}

        def most(x):
            y, index = F.max_pool2d(nchw(x), size, stride, pad, return_indices=True)
            return nhwc(y), nhwc(window_place(index, x.shape[2], size, stride, pad))

        record(f"max_pool {size}", "max_pool", attr, [draw(2, 5, 6, 2)], most)
        for counts in (False, True):
            record(f"avg_pool {size} {counts}", "avg_pool", {**attr, "count_padding": counts},
                   [draw(2, 5, 6, 2)],
                   lambda x: nhwc(F.avg_pool2d(nchw(x), size, stride, pad,
                                               count_include_pad=counts)))
    record("global_avg_pool", "global_avg_pool", {}, [draw(2, 3, 4, 2)], lambda x: x.mean((1, 2)))


def moves():
    record("add", "add", {}, [draw(2, 3), draw(2, 3)], torch.add)
    record("multiply", "multiply", {}, [draw(2, 3), draw(2, 3)], torch.mul)
    record("concat", "concat", {"axis": 1}, [draw(2, 3, 2), draw(2, 1, 2)],
           lambda a, b: torch.cat((a, b), 1))
    record("split", "split", {"axis": 1}, [draw(2, 6)], lambda x: torch.chunk(x, 3, 1))
    record("reshape", "reshape", {"shape": (0, -1)}, [draw(2, 3, 2)], lambda x: x.reshape(2, 6))
    record("permute", "permute", {"order": (2, 0, 1)}, [draw(2, 3, 4)],
           lambda x: x.permute(2, 0, 1))
    record("reduce_sum", "reduce_sum", {"axes": 5}, [draw(2, 3, 4)], lambda x: x.sum((0, 2)))
    record("reduce_mean", "reduce_mean", {"axes": 2}, [draw(2, 3, 4)], lambda x: x.mean(1))
    table = draw(5, 3)
    record("embedding", "embedding", {}, [labels(5, 2, 4), table],
           lambda i, t: F.embedding(i.long(), t))


def attentions():
    def attend(causal, scale):
        def run(q, k, v):
            group = q.shape[2] // k.shape[2]
            q, k, v = (a.permute(0, 2, 1, 3) for a in (q, k, v))
            k, v = (a.repeat_interleave(group, 1) for a in (k, v))
            factor = scale or q.shape[-1] ** -0.5
            score = q @ k.transpose(-1, -2) * factor
            mask = torch.ones(score.shape[-2:], dtype=torch.bool).tril(k.shape[2] - q.shape[2])
            if causal:
                score = score.masked_fill(~mask, float("-inf"))
            y = F.scaled_dot_product_attention(q, k, v, mask if causal else None, scale=factor)
            return y.permute(0, 2, 1, 3), torch.logsumexp(score.detach(), -1)
        return run

    record("attention", "attention", {}, [draw(2, 3, 2, 4), draw(2, 4, 2, 4), draw(2, 4, 2, 4)],
           attend(False, None))
    record("attention, causal, shared keys", "attention", {"causal": True, "scale": 0.75},
           [draw(1, 3, 4, 2), draw(1, 5, 2, 2), draw(1, 5, 2, 2)], attend(True, 0.75))


def losses():
    def xent(smoothing=0.0, ignore=-1):
        attr = {"smoothing": smoothing, "ignore_index": ignore, "nominal": 8}
        skip = ignore if ignore >= 0 else -100

        def run(z, label, weight=None, second=None, share=None):
            if weight is not None:
                weight = weight.detach()
            each = weight if weight is not None else torch.ones(z.shape[-1])
            if second is None:
                loss = F.cross_entropy(z, label.long(), weight, ignore_index=skip,
                                       label_smoothing=smoothing, reduction="none")
                return loss, torch.where(label == skip, 0.0, each[label.long()])
            hot = [F.one_hot(i.long(), z.shape[-1]).double() for i in (label, second)]
            share = share.detach()
            target = share[:, None] * hot[0] + (1 - share[:, None]) * hot[1]
            loss = F.cross_entropy(z, target, weight, label_smoothing=smoothing, reduction="none")
            return loss, share * each[label.long()] + (1 - share) * each[second.long()]
        return attr, run

    z, label, second = draw(8, 4), labels(4, 8), labels(4, 8)
    weight, share = draw(4, low=0.5, high=2), draw(8, low=0, high=1)
    for name, options, inputs in (
            ("plain", {}, [z, label]),
            ("smoothing", {"smoothing": 0.125}, [z, label]),
            ("class weights and smoothing", {"smoothing": 0.125}, [z, label, weight]),
            ("ignored label", {"ignore": 2}, [z, label, weight]),
            ("two labels", {}, [z, label, None, second, share]),
            ("two labels, weights, smoothing", {"smoothing": 0.25},
             [z, label, weight, second, share])):
        attr, run = xent(**options)
        record("softmax_xent " + name, "softmax_xent", attr, inputs, run, loss_scale=4 / 8)

    def rows(function):
        return lambda p, t: (function(p, t.detach()).flatten(1).mean(1), torch.ones(p.shape[0]))

    p, t = draw(4, 3), draw(4, 3, low=0, high=1)
    record("mse", "mse", {"nominal": 4}, [p, t],
           rows(lambda a, b: F.mse_loss(a, b, reduction="none")), loss_scale=4 / 4)
    record("huber", "huber", {"nominal": 4, "delta": 0.75}, [p, t],
           rows(lambda a, b: F.huber_loss(a, b, reduction="none", delta=0.75)), loss_scale=4 / 4)
    record("bce", "bce", {"nominal": 4}, [p, t],
           rows(lambda a, b: F.binary_cross_entropy_with_logits(a, b, reduction="none")),
           loss_scale=4 / 4)


def optimizers():
    def follow(name, op, attr, make, states):
        """Four steps of a PyTorch optimizer from zero state."""
        start, gradients = draw(7), [draw(7) for _ in range(4)]
        value = torch.nn.Parameter(start.clone())
        optimizer = make([value])
        for gradient in gradients:
            value.grad = gradient.clone()
            optimizer.step()
        after = [value, None] + [optimizer.state[value][s] for s in states]
        cases.append({
            "name": name, "op": op, "attr": attr, "out": [], "cotangent": [], "gradient": [],
            "in": [pack(start), pack(gradients[0])] + [pack(torch.zeros(7)) for _ in states],
            "steps": [pack(g) for g in gradients], "updated": [pack(a) for a in after]})

    rate, decay = 2.0 ** -5, 0.25
    momentum = ["momentum_buffer"]
    follow("sgd", "sgd", {"rate": rate, "weight_decay": decay},
           lambda p: torch.optim.SGD(p, rate, weight_decay=decay), [])
    for nesterov in (False, True):
        follow(f"sgd momentum {nesterov}", "sgd",
               {"rate": rate, "weight_decay": decay, "momentum": 0.875, "nesterov": nesterov},
               lambda p: torch.optim.SGD(p, rate, 0.875, weight_decay=decay, nesterov=nesterov),
               momentum)
    for weight_decay in (0.0, decay):
        follow(f"adamw {weight_decay}", "adamw",
               {"rate": rate, "weight_decay": weight_decay, "beta1": 0.875, "beta2": 0.96875,
                "eps": 2.0 ** -20},
               lambda p: torch.optim.AdamW(p, rate, (0.875, 0.96875), 2.0 ** -20, weight_decay),
               ["exp_avg", "exp_avg_sq"])
    average = torch.optim.swa_utils.get_ema_multi_avg_fn(0.875)
    held, value = [draw(7)], draw(7)
    before = held[0].clone()
    average(held, [value], 1)
    cases.append({"name": "ema", "op": "ema", "attr": {"decay": 0.875}, "out": [], "cotangent": [],
                  "gradient": [], "in": [pack(before), pack(value)],
                  "updated": [pack(held[0]), None]})
    gradient = torch.nn.Parameter(torch.zeros(9))
    gradient.grad = draw(9)
    before = gradient.grad.clone()
    norm = torch.nn.utils.clip_grad_norm_([gradient], 1.5)
    scale = (gradient.grad / before).mean()
    cases.append({"name": "grad_norm", "op": "grad_norm", "attr": {"clip_norm": 1.5, "nominal": 1},
                  "in": [pack(before)], "out": [], "cotangent": [], "gradient": [], "updated": [],
                  "block": {"gradient_norm": norm.item(), "gradient_scale": scale.item()}})


def main():
    products()
    norms()
    activations()
    pools()
    moves()
    attentions()
    losses()
    optimizers()
    with open(sys.argv[1], "w", encoding="ascii") as file:
        file.write('{"pawl":"torch-ops/1","torch":"%s","cases":[\n' % torch.__version__)
        file.write(",\n".join(json.dumps(case, separators=(",", ":")) for case in cases))
        file.write("\n]}\n")


main()
