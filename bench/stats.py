#!/usr/bin/env python3
"""BCa bounds of pawl and SciPy side by side, in one run on one machine.

  python3 bench/stats.py --scipy PYTHON [--rows 1000000] [--resamples 10000] [--threads 2] [--out FILE]

PYTHON is an interpreter that has numpy and scipy. SciPy runs its percentile method on fewer
resamples and is scaled to the same number: its BCa would need rows x rows numbers for the
jackknife. pawl's time holds the whole answer: resamples, full jackknife, bounds and p-values.
Other work on the machine stretches wall clocks; processor times stay comparable.
Needs build/release/bench/bench_stats.
"""
import argparse
import datetime
import json
import os
import re
import subprocess
import sys

PEER = """
import sys, time
import numpy as np
from scipy import stats
rows, resamples = int(sys.argv[1]), int(sys.argv[2])
rng = np.random.default_rng(1)
for name, a, b in [("paired 0/1 scores", rng.random(rows) < 0.92, rng.random(rows) < 0.90),
                   ("paired real-valued scores", rng.random(rows), rng.random(rows))]:
    gain = a.astype(float) - b.astype(float)
    start, work = time.monotonic(), time.process_time()
    stats.bootstrap((gain,), np.mean, n_resamples=resamples, confidence_level=0.9, batch=4,
                    method="percentile", rng=rng)
    print(name, time.monotonic() - start, time.process_time() - work, sep="|")
"""
LINE = re.compile(r"^(.{26}) (\S+)\s+wall\s+([\d.]+) s  processor\s+([\d.]+) s  +([\d.]+) ns", re.M)


def cpu_name():
    with open("/proc/cpuinfo") as info:
        names = [line.split(":", 1)[1].strip() for line in info if line.startswith("model name")]
    return names[0] if names else "unknown"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--scipy", required=True)
    parser.add_argument("--rows", type=int, default=1000000)
    parser.add_argument("--resamples", type=int, default=10000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peer-resamples", type=int, default=40)
    parser.add_argument("--out")
    args = parser.parse_args()
    load = round(os.getloadavg()[0], 1)
    command = ["build/release/bench/bench_stats", str(args.rows), str(args.resamples),
               str(args.threads), "1"]
    ours = subprocess.run(command, capture_output=True, text=True)
    theirs = subprocess.run([args.scipy, "-c", PEER, str(args.rows), str(args.peer_resamples)],
                            capture_output=True, text=True)
    if ours.returncode or theirs.returncode:
        sys.exit(ours.stderr + theirs.stderr)
    scale = args.resamples / args.peer_resamples
    peer = {}
    for line in theirs.stdout.splitlines():
        name, wall, work = line.split("|")
        peer[name] = (float(wall) * scale, float(work) * scale)
    found = []
    for name, method, wall, work, draw in LINE.findall(ours.stdout):
        row = {"case": name.strip(), "method": method, "wall_s": float(wall),
               "processor_s": float(work), "ns_a_draw": float(draw)}
        if name.strip() in peer:
            row["scipy_wall_s"], row["scipy_processor_s"] = peer[name.strip()]
        found.append(row)
        print(f"{row['case']:26} wall {row['wall_s']:8.2f} s, processor {row['processor_s']:8.2f} s", end="")
        if "scipy_wall_s" in row:
            print(f"   SciPy (scaled) wall {row['scipy_wall_s']:8.1f} s, processor "
                  f"{row['scipy_processor_s']:8.1f} s: {row['scipy_wall_s'] / row['wall_s']:.0f} times", end="")
        print()
    if args.out:
        result = {"command": f"bench/stats.py --scipy PYTHON --rows {args.rows} --resamples "
                             f"{args.resamples} --threads {args.threads}",
                  "date": datetime.date.today().isoformat(), "cpu": cpu_name(),
                  "load_before": load, "rows": args.rows, "resamples": args.resamples,
                  "threads": args.threads, "peer_resamples": args.peer_resamples, "found": found}
        with open(args.out, "w") as out:
            json.dump(result, out, indent=1)
            out.write("\n")


if __name__ == "__main__":
    main()
