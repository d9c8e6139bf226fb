#!/usr/bin/env bash
# Gates on what this machine measured: time of a call, rows a second, memory. The numbers hang
# together, bars on either side of them decide either way, and a replay needs no new measurement.
source "$(dirname "$0")/lib.bash" "$1"
make_data
make_experiment small.yaml '    - flatten
    - dense: {units: 2048}
    - relu
    - dense: {units: 2048}
    - relu
    - dense: {units: 4}'
expect 0 train small.yaml --set train.epochs=1
make_suite suite.yaml 'goals:
  - {id: quality, metric: accuracy, at_least: 0.1}
guards:
  - {metric: latency_p50, at_most: 1h}
  - {metric: latency_p99, at_most: 0.1us}
  - {metric: throughput, at_least: 1}
  - {metric: peak_memory, batch: 1, at_most: 1TiB}
  - {metric: peak_memory, batch: 4096, at_most: 1KiB}
  - {metric: weights_bytes, at_most: 1TiB}'
expect 3 eval suite.yaml --model runs/small --out report --threads 1
python3 - report/report.json <<'E2' >>err 2>&1 || fail 'the measurements do not hang together'
import json, sys
report = json.load(open(sys.argv[1]))
gates = [(g["metric"], g.get("batch"), g["verdict"], g["value"]) for g in report["measured"]["gates"]]
verdicts = [g[2] for g in gates]
assert verdicts == ["pass", "fail", "pass", "pass", "fail", "pass"], gates
median, tail, rate, alone, many, weights = (g[3] for g in gates)
assert 0 < median <= tail and rate > 0, gates
assert weights > 16 << 20, gates
# The parameters are copied; 4096 rows of 2048 numbers are 32 MiB, in tiles of 64 rows 512 KiB.
assert weights <= alone <= 3 * weights, gates
assert alone < many + (8 << 20) and many <= 3 * weights, gates
E2
cp report/report.json before.json
expect 3 gate report
cmp -s before.json report/report.json || fail 'the replay wrote other bytes'
grep -q 'peak_memory' report/report.md || fail 'the table lacks peak_memory'
