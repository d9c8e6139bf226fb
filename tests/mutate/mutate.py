#!/usr/bin/env python3
"""Changes the code in small ways and asks whether the tests notice.

  python3 tests/mutate/mutate.py SET [--count 300] [--seed 1] [--workers 2] [--only GLOB] [--out FILE]

A set names files and the tests that must notice (see SETS); --only takes a part of its files. The places are drawn with a seed;
a change that does not compile, or that compiles to the same code, is drawn again; conditions of REQUIRE,
which only a bug can break, and sizes in declarations are left alone. What the tests let pass is asked of them once more under
the sanitizers, as in CI, where leaks and reads beyond an array count. A change that passes there too is a survivor: it is printed with its line. A survivor that changes nothing that can be
seen stands in reasons.txt with its reason. The exit code is 1 when fewer than 90 % of the changes are
noticed, or when a survivor in a rule file has no reason.
"""
import argparse
import concurrent.futures
import fnmatch
import hashlib
import json
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
REASONS = pathlib.Path(__file__).with_name("reasons.txt")
LEAST_SHARE = 0.9
TEST_SECONDS = 300
# A test is a process of its own and takes a few seconds of processor time: one that takes this much
# does not end. Processor time, because the machine may be busy.
LOOP_SECONDS = 25
# Build folder -> what it is built with, what its tests run under, how much longer they take, what
# else in their output says that they failed.
BUILDS = {"b": (["-DCMAKE_C_FLAGS=-O1 -g0"], [], 1, None),
          "asan": (["-DCMAKE_C_FLAGS=-O1 -g0", "-DPAWL_SANITIZE=address,undefined"],
                   [sys.executable, "tests/criterion_leaks.py"], 4,
                   re.compile(r"ERROR: (?:Address|Leak)Sanitizer|runtime error:"))}
ENVIRONMENT = dict(os.environ, ASAN_OPTIONS="hard_rss_limit_mb=8192",
                   LSAN_OPTIONS="suppressions=tests/lsan.supp:print_suppressions=0")
MOST_MEMORY = 8 << 30

# The tests that can see the files, the quickest first; the others only cost time, and what they would
# notice besides counts as not noticed.
GATE = ("test_eval", ["gate*/*", "@(rules|refused)/*"])
METHOD = ("test_eval", ["@(method|gate)*/*", "stats/*", "rules/*", "faults/a_failing_alloc*"])
STATS = ("test_eval", ["@(method|gate)*/*", "stats/*", "faults/a_failing_alloc*"])
RULES = ("test_registry", ["@(policy|promote|rollback|resolve|channel)*/*", "@(trust|registry|score)/*"])

# set -> list of (files, tests, whether a survivor needs a reason)
SETS = {
    "eval": [
        ("eval/gate*.c", GATE, True),
        ("eval/method*.c", METHOD, False),
        ("eval/stats*.c", STATS, False),
        ("registry/promote*.c", RULES, True),
        ("registry/channel*.c", RULES, True),
        ("registry/policy*.c", RULES, True),
    ],
}

# name -> (what to look for, what to put there)
SWAPS = {
    "compare": [(r" < ", " <= "), (r" <= ", " < "), (r" > ", " >= "), (r" >= ", " > "),
                (r" == ", " != "), (r" != ", " == ")],
    "turn": [(r" < ", " > "), (r" > ", " < "), (r" <= ", " >= "), (r" >= ", " <= ")],
    "logic": [(r" && ", " || "), (r" \|\| ", " && ")],
    "sum": [(r" \+ ", " - "), (r" - ", " + "), (r" \+= ", " -= "), (r" -= ", " += ")],
    "product": [(r" \* ", " / "), (r" / ", " * ")],
    "number": [(r"(?<![\w.])0(?![\w.])", "1"), (r"(?<![\w.])1(?![\w.])", "2"),
               (r"(?<![\w.])2(?![\w.])", "3"), (r"(?<![\w.])0\.5(?![\w.])", "0.4")],
    "truth": [(r"\btrue\b", "false"), (r"\bfalse\b", "true")],
    "code": [(r"\bTRY\(", "(void)("), (r"\bcontinue;", ";"), (r"\bbreak;", ";")],
}
STATEMENT = re.compile(r"^\s+(?!return|case|default|goto|else|static|const|struct|double|int|enum|bool|size_t)"
                       r"[\w>.\-\[\]*()]+( [+\-*|&]?= |\().*;$")


# A member or an array without a first value: nothing is computed there.
DECLARED = re.compile(r"^\s+(?!return\b|goto\b)(?:const |static |struct |enum |unsigned )*\w+ [^=()]*;")


class Mutant:
    def __init__(self, path, line, before, after, kind):
        self.path, self.line, self.before, self.after, self.kind = path, line, before, after, kind

    def key(self):
        return f"{self.path} | {self.before.strip()} | {self.after.strip()}"


def code_lines(text):
    """The lines with comments and strings blanked, so that only code is changed."""
    def blank(match):
        return re.sub(r"[^\n]", "\0", match.group(0))
    text = re.sub(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])+'", blank, text, flags=re.S)
    return text.split("\n")


def negate_condition(line):
    """`if (a) b;` with its condition turned, where the condition ends on the line."""
    at = line.find("if (")
    depth = 0
    for i in range(at + 3, len(line)):
        depth += {"(": 1, ")": -1}.get(line[i], 0)
        if depth == 0:
            return line[:at] + "if (!" + line[at + 3:i + 1] + ")" + line[i + 1:]
    return None


def mutants_of(path):
    text = (ROOT / path).read_text()
    found = []
    for number, (line, code) in enumerate(zip(text.split("\n"), code_lines(text))):
        if "REQUIRE(" in code or DECLARED.match(code) or not line.startswith(" ") or code.lstrip().startswith("#") or code.rstrip().endswith("\\"):
            continue
        for kind, swaps in SWAPS.items():
            for pattern, put in swaps:
                for match in re.finditer(pattern, code):
                    if code[match.start() - 2:match.end() + 2] == "{ 0 }":
                        continue
                    after = line[:match.start()] + put + line[match.end():]
                    found.append(Mutant(path, number, line, after, kind))
        if "if (" in code and negate_condition(line):
            found.append(Mutant(path, number, line, negate_condition(line), "condition"))
        if STATEMENT.match(code) and "{ 0 }" not in line:
            found.append(Mutant(path, number, line, re.match(r"\s*", line).group(0) + ";", "statement"))
    return found


class Worker:
    """A copy of the sources with a build folder of its own."""

    def __init__(self, index, tests):
        programs = sorted({program for program, _ in tests})
        self.tree = ROOT / "build" / "mutate" / str(index)
        self.copy_sources()
        for folder, (options, *_) in BUILDS.items():
            self.run(["cmake", "-G", "Ninja", "-B", folder, "-DPAWL_BENCH=OFF", "-DCMAKE_BUILD_TYPE=None",
                      *options], 300)
            if self.run(["cmake", "--build", folder, "--target", *programs, "--", "-j1"], 3600):
                sys.exit(f"the sources do not build in {self.tree}/{folder}")
        self.objects = {}
        if index == 0:
            self.check_tests(tests)

    def check_tests(self, tests):
        """The unchanged sources pass, and no pattern is one that nothing fits."""
        for folder in BUILDS:
            for program, parts in tests:
                for part in parts:
                    if self.fails(folder, program, part):
                        sys.exit(f"{folder}/tests/{program} --filter '{part}' does not pass:\n{self.told()}")

    def told(self):
        return (self.tree / "told").read_text(errors="replace")[-4000:]

    def copy_sources(self):
        """What differs only, so that an earlier build serves again."""
        files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
        names = {name for name in files.decode().split("\0") if name and (ROOT / name).is_file()}
        for old in self.tree.rglob("*"):
            name = str(old.relative_to(self.tree))
            if name.split("/")[0] not in (*BUILDS, "told") and old.is_file() and name not in names:
                old.unlink()
        for name in names:
            target = self.tree / name
            if not target.is_file() or target.read_bytes() != (ROOT / name).read_bytes():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, target)

    def run(self, command, seconds, processor_seconds=resource.RLIM_INFINITY, memory=MOST_MEMORY):
        """The exit code; -1 where it took too long. A changed loop must not eat the machine's memory."""
        def limit():
            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
            resource.setrlimit(resource.RLIMIT_CPU, (processor_seconds, processor_seconds))
        with open(self.tree / "told", "w") as told:
            process = subprocess.Popen(command, cwd=self.tree, env=ENVIRONMENT, stdout=told,
                                       stderr=subprocess.STDOUT, start_new_session=True, preexec_fn=limit)
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return -1

    def fails(self, folder, program, part):
        """Whether tests do not pass. The sanitizers reserve far more memory than they use and have a
        limit of their own. A filter that fits nothing passes nothing."""
        _, under, longer, bad = BUILDS[folder]
        command = [*under, f"{folder}/tests/{program}", "--fail-fast", "-j1", "--filter", part]
        if self.run(command, TEST_SECONDS * longer, LOOP_SECONDS * longer,
                    resource.RLIM_INFINITY if bad else MOST_MEMORY):
            return True
        told = self.told()
        return "Tested: 0" in told or bool(bad and bad.search(told))

    def object_digest(self, path):
        room = path.split("/")[0]
        file = self.tree / "b" / "CMakeFiles" / f"room_{room}.dir" / (path + ".o")
        return hashlib.sha256(file.read_bytes()).hexdigest()

    def build(self, folder, program):
        return self.run(["cmake", "--build", folder, "--target", program, "--", "-j1"], 600) == 0

    def notices(self, folder, tests):
        program, parts = tests
        return any(self.fails(folder, program, part) for part in parts)

    def fate(self, mutant, tests):
        """'invalid', 'same code', 'killed' or 'survived'."""
        file = self.tree / mutant.path
        clean = file.read_text()
        if mutant.path not in self.objects:
            self.objects[mutant.path] = self.object_digest(mutant.path)
        lines = clean.split("\n")
        lines[mutant.line] = mutant.after
        file.write_text("\n".join(lines))
        try:
            if not self.build("b", tests[0]):
                return "invalid"
            if self.object_digest(mutant.path) == self.objects[mutant.path]:
                return "same code"
            if self.notices("b", tests):
                return "killed"
            return "killed" if self.build("asan", tests[0]) and self.notices("asan", tests) else "survived"
        finally:
            file.write_text(clean)


def draw(chosen, only, seed):
    """All mutants with their tests, in the order in which they are tried."""
    pool = []
    for pattern, tests, strict in chosen:
        for path in sorted(ROOT.glob(pattern)):
            name = str(path.relative_to(ROOT))
            if fnmatch.fnmatch(name, only):
                pool += [(m, tests, strict) for m in mutants_of(name)]
    random.Random(seed).shuffle(pool)
    return pool


def known_reasons():
    rows = {}
    for line in REASONS.read_text().split("\n") if REASONS.exists() else []:
        if line and not line.startswith("#"):
            key, reason = line.rsplit(" | ", 1)
            rows[key] = reason
    return rows


def work(worker, queue, results, count):
    while queue and sum(r["fate"] in ("killed", "survived") for r in results) < count:
        mutant, tests, strict = queue.pop(0)
        fate = worker.fate(mutant, tests)
        results.append({"file": mutant.path, "line": mutant.line + 1, "kind": mutant.kind, "fate": fate,
                        "before": mutant.before.strip(), "after": mutant.after.strip(),
                        "strict": strict, "key": mutant.key()})
        print(f"{fate}: {mutant.path}:{mutant.line + 1}: {mutant.after.strip()}", file=sys.stderr, flush=True)


def report(results, reasons, seconds, out):
    tried = [r for r in results if r["fate"] in ("killed", "survived")]
    killed = [r for r in tried if r["fate"] == "killed"]
    unexplained = []
    for row in sorted(tried, key=lambda r: (r["file"], r["line"])):
        if row["fate"] != "survived":
            continue
        row["reason"] = reasons.get(row["key"])
        if row["strict"] and not row["reason"]:
            unexplained.append(row)
        print(f"survived {row['file']}:{row['line']} ({row['kind']})\n  - {row['before']}\n  + {row['after']}"
              f"\n  = {row['reason'] or 'no reason given'}")
    share = len(killed) / len(tried) if tried else 0
    skipped = len(results) - len(tried)
    print(f"{len(killed)} of {len(tried)} changes noticed ({100 * share:.1f} %), {skipped} drawn again, "
          f"{len(unexplained)} survivors in rule files without a reason, {seconds:.0f} s")
    if out:
        pathlib.Path(out).write_text(json.dumps({"killed": len(killed), "tried": len(tried), "results": results},
                                                indent=1))
    return share >= LEAST_SHARE and not unexplained


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("set", choices=sorted(SETS))
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", default="*", help="files of the set, as a glob: 'registry/*'")
    parser.add_argument("--out", help="a JSON file for all results")
    args = parser.parse_args()
    begin = time.monotonic()
    chosen = SETS[args.set]
    queue = draw(chosen, args.only, args.seed)
    tests = []
    for _, of_mutant, _ in queue:
        if of_mutant not in tests:
            tests.append(of_mutant)
    results = []
    with concurrent.futures.ThreadPoolExecutor(args.workers) as pool:
        workers = list(pool.map(lambda index: Worker(index, tests), range(args.workers)))
        for job in [pool.submit(work, worker, queue, results, args.count) for worker in workers]:
            job.result()
    sys.exit(0 if report(results, known_reasons(), time.monotonic() - begin, args.out) else 1)


if __name__ == "__main__":
    main()
