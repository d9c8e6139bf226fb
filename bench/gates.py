#!/usr/bin/env python3
"""The simulation study of gate methods as a table and a picture.

  python3 bench/gates.py [--threads 2] [--work 1] [--lines FILE] [--command TEXT]

Runs build/release/bench/bench_gates (or takes its output from FILE) and writes docs/gates-study.md,
docs/gates-study.svg and bench/results/gates.json. The rule: false passes at most alpha + 0.01 + 3
standard errors at every size from a method's smallest n on. Exit 1 when a method breaks it.
"""
import argparse
import datetime
import json
import math
import subprocess
import sys

ALPHA, SLACK = 0.05, 0.01
KEYS = ["method", "scenario", "n", "experiments", "false_pass", "false_fail", "passes", "fails",
        "unusable", "smallest_n"]


def limit(experiments):
    return ALPHA + SLACK + 3 * math.sqrt(ALPHA * (1 - ALPHA) / experiments)


def read(text):
    rows = []
    for line in text.splitlines():
        row = dict(zip(KEYS, line.split("\t")))
        for key in KEYS[2:]:
            row[key] = int(row[key])
        row["limit"] = limit(row["experiments"])
        row["over"] = row["false_pass"] / row["experiments"] > row["limit"]
        rows.append(row)
    return rows


def by_method(rows):
    methods = {}
    for row in rows:
        methods.setdefault(row["method"], []).append(row)
    return methods


def percent(count, total):
    return f"{100 * count / total:.1f}"


def holds_from(rows):
    """The least size from which on the rule holds at every size that was looked at."""
    sizes = sorted({row["n"] for row in rows})
    bad = [row["n"] for row in rows if row["over"]]
    left = [n for n in sizes if not bad or n > max(bad)]
    return left[0] if left else None


HEAD = """# Error rates of the gate methods

A gate that says *pass* at the 5 % level should let a model that lies exactly at the bar through in
at most 5 % of evaluations. This study draws experiments from distributions whose truth is known and
counts. `false pass` and `false fail` are measured with the truth exactly at the bar (a better
model passes, a worse one fails more often than that); `power` is the share of passes, and of fails,
where a method without loss would reach 80 %. A method may be used from its `smallest n` on: there
the rule is that false passes are at most alpha + 0.01 + 3 standard errors of the simulation.
Below it a gate is inconclusive.

What it decided: BCa of a log loss with 3 % confident errors passes falsely in every fifth
experiment of 50 rows, so means want 1,000. Tango's interval is at its worst at a margin of +0.02
with 100 rows. Clusters of exponential losses want 50, not 30. Ratios that a few long documents
carry passed falsely in 10 % of cases with 1,000 documents, so they want 100 rows of the heaviest
kind; areas of 0.98 did in 9 % with 100 positives, so they want 10 / (1 - bar) of them. Such
experiments count as *without an answer*. What no study of this kind can exclude: an error too rare
to be in the rows at all.

"""


def markdown(rows, command, date):
    text = HEAD + f"Made on {date} with `{command}`.\n\n![false passes by size](gates-study.svg)\n\n"
    text += ("## Methods\n\n| method | smallest n | rule holds from | worst false pass from there | "
             "worst false fail from there |\n|---|---|---|---|---|\n")
    for method, found in by_method(rows).items():
        used = [row for row in found if row["n"] >= row["smallest_n"]]
        worst = [f"{100 * max((row[key] / row['experiments'] for row in used), default=0):.1f} %"
                 for key in ("false_pass", "false_fail")]
        text += (f"| `{method}` | {found[0]['smallest_n']} | {holds_from(found)} | {worst[0]} | "
                 f"{worst[1]} |\n")
    text += ("\nSizes are rows; of `miettinen_nurminen` and `bca_gap` those of the smaller slice; of other gaps those "
             "of both slices; for cluster methods clusters; "
             "measurements and versions for the last two. Sizes below the smallest n are in "
             "brackets.\n\n## Everything\n\n| method | scenario | n | experiments | false pass % | "
             "allowed % | false fail % | power: pass %, fail % | without an answer % |\n"
             "|---|---|---|---|---|---|---|---|---|\n")
    for row in rows:
        total = row["experiments"]
        size = f"{row['n']:,}" if row["n"] >= row["smallest_n"] else f"({row['n']:,})"
        mark = " **over**" if row["over"] else ""
        power = (f"{percent(row['passes'], total)}, {percent(row['fails'], total)}"
                 if row["method"] != "mcnemar" else "only for margin 0")
        text += (f"| `{row['method']}` | {row['scenario']} | {size} | {total:,} | "
                 f"{percent(row['false_pass'], total)}{mark} | {100 * row['limit']:.1f} | "
                 f"{percent(row['false_fail'], total)} | {power} | "
                 f"{percent(row['unusable'], total)} |\n")
    return text


WIDE, HIGH, ACROSS, TOP = 250, 150, 3, 46
COLORS = ["#1b6ca8", "#c2571a", "#3a7d44", "#7a4fa3"]


def panel(method, rows, x0, y0):
    """False passes of one method against size; the allowed rate in grey."""
    most = 0.16

    def x(n):
        return x0 + 34 + (WIDE - 50) * (math.log10(n) - math.log10(3)) / (math.log10(50000) -
                                                                        math.log10(3))

    def y(rate):
        return y0 + HIGH - 26 - (HIGH - 52) * min(rate, most) / most

    parts = [f'<text x="{x0 + 34}" y="{y0 + 14}" class="name">{method}</text>']
    smallest = rows[0]["smallest_n"]
    if smallest > 3:
        parts.append(f'<rect x="{x(3):.1f}" y="{y(most):.1f}" width="{x(smallest) - x(3):.1f}" '
                     f'height="{y(0) - y(most):.1f}" class="below"/>')
    for rate in (0, 0.05, 0.1, 0.15):
        kind = "alpha" if rate == 0.05 else "grid"
        parts.append(f'<line x1="{x(3):.1f}" x2="{x(50000):.1f}" y1="{y(rate):.1f}" '
                     f'y2="{y(rate):.1f}" class="{kind}"/>'
                     f'<text x="{x0 + 29}" y="{y(rate) + 3.5:.1f}" class="end">{100 * rate:.0f}</text>')
    for n, name in ((10, "10"), (100, "100"), (1000, "1k"), (10000, "10k")):
        parts.append(f'<text x="{x(n):.1f}" y="{y0 + HIGH - 12}" class="middle">{name}</text>')
    scenarios = {}
    for row in rows:
        scenarios.setdefault(row["scenario"], []).append(row)
    for color, (name, found) in zip(COLORS, scenarios.items()):
        points = [(x(r["n"]), y(r["false_pass"] / r["experiments"]), r) for r in found]
        line = " ".join(f"{a:.1f},{b:.1f}" for a, b, _ in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="1.4">'
                     f"<title>{name.replace('&', '&amp;')}</title></polyline>")
        for a, b, row in points:
            spread = math.sqrt(ALPHA * (1 - ALPHA) / row["experiments"])
            rate = row["false_pass"] / row["experiments"]
            parts.append(f'<line x1="{a:.1f}" x2="{a:.1f}" y1="{y(rate + spread):.1f}" '
                         f'y2="{y(max(0, rate - spread)):.1f}" stroke="{color}" stroke-width="1"/>'
                         f'<circle cx="{a:.1f}" cy="{b:.1f}" r="2.4" fill="{color}"><title>{name}, '
                         f"n {row['n']}: {100 * rate:.1f} %</title></circle>")
    return "\n".join(parts)


def picture(rows):
    methods = by_method(rows)
    down = (len(methods) + ACROSS - 1) // ACROSS
    width, height = ACROSS * WIDE + 10, TOP + down * HIGH + 6
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
             f'height="{height}" role="img" aria-label="False passes of each method by size">',
             "<style>text{font:10px sans-serif;fill:#333}.name{font-weight:bold;font-size:11px}"
             ".title{font-size:13px;font-weight:bold}.end{text-anchor:end}.middle{text-anchor:middle}"
             ".grid{stroke:#ddd}.alpha{stroke:#999;stroke-dasharray:3 2}.below{fill:#f0f0f0}</style>",
             f'<rect width="{width}" height="{height}" fill="#fff"/>',
             '<text x="10" y="18" class="title">False passes (%) of a model exactly at the bar, by '
             "size</text>",
             '<text x="10" y="34">Dashed: the nominal 5 %. Grey: below the smallest n, where a gate '
             "does not decide. Bars: one standard error.</text>"]
    for i, (method, found) in enumerate(methods.items()):
        parts.append(panel(method, found, i % ACROSS * WIDE, TOP + i // ACROSS * HIGH))
    return "\n".join(parts) + "\n</svg>\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work", type=float, default=1)
    parser.add_argument("--lines")
    parser.add_argument("--command")
    args = parser.parse_args()
    program = ["build/release/bench/bench_gates", str(args.threads), str(args.work)]
    command = args.command or " ".join(["bench_gates", *program[1:]])
    if args.lines:
        with open(args.lines) as lines:
            text = lines.read()
    else:
        ran = subprocess.run(program, capture_output=True, text=True)
        if ran.returncode:
            sys.exit(ran.stderr)
        text = ran.stdout
    rows, date = read(text), datetime.date.today().isoformat()
    with open("docs/gates-study.md", "w") as out:
        out.write(markdown(rows, command, date))
    with open("docs/gates-study.svg", "w") as out:
        out.write(picture(rows))
    with open("bench/results/gates.json", "w") as out:
        json.dump({"command": command, "date": date, "alpha": ALPHA, "rows": rows}, out, indent=1)
        out.write("\n")
    broken = [row for row in rows if row["over"] and row["n"] >= row["smallest_n"]]
    for row in broken:
        print(f"{row['method']}, {row['scenario']}, n {row['n']}: "
              f"{percent(row['false_pass'], row['experiments'])} % false passes")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
