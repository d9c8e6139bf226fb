#!/usr/bin/env bash
# White space is what .clang-format says. Versions differ in taste, so only the one that the files
# were laid out with judges; without it this test says so and is skipped.
. tests/tidy/sources.bash

VERSION=14
for tool in clang-format-$VERSION clang-format; do
    command -v $tool > /dev/null && $tool --version | grep -q "version $VERSION\." && break
    tool=
done
if [ -z "$tool" ]; then
    echo "format: SKIPPED, clang-format $VERSION is not installed"
    exit 77
fi

# shellcheck disable=SC2046
files 'c|h' $(rooms) tests bench | xargs -r -n 32 $tool --dry-run 2>&1 |
    sed -nE 's/^([^:]+:[0-9]+):[0-9]+: (warning|error): .*/\1: not laid out/p' |
    sort -t: -u -k1,1 | verdict format "Run \`./dev format\` (clang-format -i)."
