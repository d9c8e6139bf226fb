#!/usr/bin/env python3
"""What the CUDA kernels take of a multiprocessor, from the machine code in the module.

  python3 bench/cuda/resources.py build/cuda/pawl_cuda.so >docs/cuda-kernels.md

Needs cuobjdump (CUDA Toolkit, or the path in CUOBJDUMP) and c++filt. For every kernel and each
architecture: registers of a thread, static shared memory, local memory (spills and arrays that have
no place in registers), and the widest access to global memory in the code. Instances of one template
are one row: the most of each, and the narrowest of their widest loads and stores.
"""
import collections
import os
import re
import subprocess
import sys

CUOBJDUMP = os.environ.get("CUOBJDUMP", "cuobjdump")
ARCHITECTURES = ("sm_80", "sm_90a")
USAGE = re.compile(r"REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+)")
ACCESS = re.compile(r"\b(LDG|STG)((?:\.[A-Z0-9]+)*)")
REGISTERS, THREADS, BLOCKS = 65536, 2048, 32  # of a multiprocessor, sm_80 and sm_90


def dump(module, *options):
    return subprocess.run([CUOBJDUMP, *options, module], check=True, capture_output=True, text=True).stdout


def plain_names(mangled):
    done = subprocess.run(["c++filt", "-p"], input="\n".join(mangled), check=True, capture_output=True, text=True)
    return dict(zip(mangled, (re.sub(r"<.*|^void ", "", re.sub(r"^void ", "", name)).replace("(anonymous namespace)::", "")
                              for name in done.stdout.split("\n"))))


def sections(text):
    """(architecture, lines) of each part of the module."""
    architecture, lines = None, []
    for line in text.split("\n"):
        match = re.match(r"arch = (\w+)", line)
        if match:
            yield architecture, lines
            architecture, lines = match.group(1), []
        lines.append(line)
    yield architecture, lines


def resources(module):
    """{(function, architecture): [registers, shared, local]}"""
    found, function = {}, None
    for architecture, lines in sections(dump(module, "-res-usage")):
        for line in lines:
            match = re.match(r"\s*Function (\w+):", line)
            function = match.group(1) if match else function
            match = USAGE.search(line)
            if match and function:
                registers, stack, shared, local = map(int, match.groups())
                found[function, architecture] = [registers, shared, local + stack]
    return found


def widths(module):
    """{(function, architecture): (bytes of the widest load, of the widest store)}; 0: none."""
    found = collections.defaultdict(lambda: [0, 0])
    function = None
    for architecture, lines in sections(dump(module, "-sass")):
        for line in lines:
            match = re.match(r"\s*Function : (\w+)", line)
            function = match.group(1) if match else function
            match = ACCESS.search(line)
            if not match:
                continue
            parts = match.group(2).split(".")
            width = 16 if "128" in parts else 8 if "64" in parts else 2 if "U16" in parts or "16" in parts else \
                1 if "U8" in parts or "S8" in parts else 4
            widest = found[function, architecture]
            at = match.group(1) == "STG"
            widest[at] = max(widest[at], width)
    return found


def main():
    module = sys.argv[1]
    taken, wide = resources(module), widths(module)
    names = plain_names(sorted({function for function, _ in taken}))
    rows = collections.defaultdict(lambda: {a: [] for a in ARCHITECTURES})
    for (function, architecture), usage in taken.items():
        if architecture in ARCHITECTURES and not names[function].startswith("cub::"):
            rows[names[function]][architecture].append((usage, wide[function, architecture]))
    print("# What each CUDA kernel takes\n")
    print("Read from the machine code: `python3 bench/cuda/resources.py build/cuda/pawl_cuda.so`. Instances of a "
          "template\nare one row with the most that any takes. *Local* is memory for spilled registers and arrays: "
          "the build fails\nwhere there is any. *Access* is the widest load and store of global memory in bytes, in "
          "the instance and on the\narchitecture where that is narrowest and widest. None of this says how fast a "
          "kernel is.\n")
    print("| kernel | instances | registers sm_80 | sm_90a | shared, bytes | local, bytes | load | store |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for name in sorted(rows):
        both = [rows[name][a] for a in ARCHITECTURES]
        most = [[max((usage[i] for usage, _ in of), default=0) for i in range(3)] for of in both]
        every = [w for of in both for _, w in of]
        span = [sorted({w[i] for w in every}) for i in (0, 1)]
        text = ["–" if s == [0] else str(s[0]) if len(s) == 1 else f"{s[0]} to {s[-1]}" for s in span]
        print(f"| `{name}` | {len(both[0])} | {most[0][0]} | {most[1][0]} | {max(m[1] for m in most)} | "
              f"{max(m[2] for m in most)} | {text[0]} | {text[1]} |")
    count = sum(len(of[ARCHITECTURES[0]]) for of in rows.values())
    print(f"\n{len(rows)} kernels, {count} instances; the library's radix sort is not listed.")


if __name__ == "__main__":
    main()
