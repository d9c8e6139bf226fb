#!/usr/bin/env python3
"""Step times of pawl and PyTorch side by side, in one run on one machine.

  python3 bench/compare.py --torch PYTHON [--out FILE] [--seconds 8] [--rounds 3] [CASE...]

PYTHON is an interpreter that has PyTorch. The programs take turns, round after round; each figure is the
median of the rounds' medians. A ratio above 1 says that pawl is faster than the faster of PyTorch's two
modes. Needs build/release/bench/bench_train_step (./dev bench builds it).
"""
import argparse
import datetime
import json
import platform
import re
import statistics
import subprocess
import sys

LINE = re.compile(r"^(\S+)\s+(f32|bf16)\s+batch (\d+)\s+median\s+([\d.]+) ms", re.M)
CASES = ["demo-cnn", "mlp", "resnet18"]


def medians(command):
    out = subprocess.run(command, capture_output=True, text=True)
    if out.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{out.stdout}{out.stderr}")
    return {(m[0], m[1]): float(m[3]) for m in LINE.findall(out.stdout)}


def cpu_name():
    with open("/proc/cpuinfo") as info:
        names = [line.split(":", 1)[1].strip() for line in info if line.startswith("model name")]
        info.seek(0)
        flags = next((line for line in info if line.startswith("flags")), "").split()
    return (names or ["unknown"])[0], "avx512_bf16" in flags


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--torch", required=True)
    parser.add_argument("--out")
    parser.add_argument("--seconds", default="8")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("cases", nargs="*", default=CASES)
    args = parser.parse_args()
    cpu, has_bf16 = cpu_name()
    precisions = ["f32", "bf16"] if has_bf16 else ["f32"]
    rows = []
    for case in args.cases or CASES:
        for precision in precisions:
            tail = ["--precision", precision, "--seconds", args.seconds, case]
            programs = {
                "pawl": ["build/release/bench/bench_train_step", *tail],
                "eager": [args.torch, "bench/peers/torch_step.py", *tail],
                "compiled": [args.torch, "bench/peers/torch_step.py", "--compile", *tail],
            }
            seen = {name: [] for name in programs}
            for _ in range(args.rounds):
                for name, command in programs.items():
                    seen[name].append(medians(command)[(case, precision)])
            row = {"case": case, "precision": precision}
            row.update({name: round(statistics.median(values), 3) for name, values in seen.items()})
            row["ratio"] = round(min(row["eager"], row["compiled"]) / row["pawl"], 3)
            rows.append(row)
            print(f"{case:10} {precision:5} pawl {row['pawl']:9.2f} ms  eager {row['eager']:9.2f}  compiled "
                  f"{row['compiled']:9.2f}  ratio {row['ratio']:.2f}", flush=True)
    version = subprocess.run([args.torch, "-c", "import torch; print(torch.__version__)"],
                             capture_output=True, text=True).stdout.strip()
    result = {"pawl": "bench/1", "what": "median ms of a whole training step, 2 threads", "cpu": cpu,
              "system": platform.release(), "torch": version, "rows": rows,
              "date": datetime.date.today().isoformat(),
              "command": "python3 bench/compare.py --torch PYTHON " + " ".join(args.cases)}
    if args.out:
        with open(args.out, "w") as file:
            json.dump(result, file, indent=1)
            file.write("\n")


if __name__ == "__main__":
    main()
