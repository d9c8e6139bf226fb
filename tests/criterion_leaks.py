#!/usr/bin/env python3
"""Runs a Criterion program under LeakSanitizer and leaves out what Criterion itself leaks.

  criterion_leaks.py PROGRAM [ARGUMENTS]

libcriterion 2.4.1 now and then loses a small block of its own at exit. A suppression cannot say so: every
test's stack goes through libcriterion, so it would hide our leaks too. Here a leak is left out only when
nothing but the allocator and libcriterion stands in its stack; all other output passes through unchanged.
"""
import os
import re
import subprocess
import sys

FRAME = re.compile(r"^\s+#\d+ .*")
THEIRS = re.compile(r"interceptor_|libcriterion\.so")


def without_theirs(report):
    """The report's blocks without Criterion's own; empty when nothing else is left."""
    head, *blocks = re.split(r"(?m)^(?=(?:Direct|Indirect) leak of )", report)
    kept = []
    for block in blocks:
        frames = [line for line in block.splitlines() if FRAME.match(line)]
        if not frames or not all(THEIRS.search(line) for line in frames):
            kept.append(block)
    return head + "".join(kept) if kept else ""


def main():
    # the exit code of a leak says nothing about whose it is: the text decides below
    options = os.environ.get("LSAN_OPTIONS", "")
    environment = dict(os.environ, LSAN_OPTIONS=options + ":exitcode=0")
    run = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment)
    text = run.stdout.decode("utf-8", "replace")
    report = re.compile(r"(?ms)^=+\n==\d+==ERROR: LeakSanitizer.*?^SUMMARY: AddressSanitizer[^\n]*\n")
    text = report.sub(lambda match: without_theirs(match.group()), text)
    sys.stdout.write(text)
    if run.returncode:
        sys.exit(run.returncode if run.returncode > 0 else 128 - run.returncode)
    sys.exit("ERROR: LeakSanitizer" in text)


if __name__ == "__main__":
    main()
