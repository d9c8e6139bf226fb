#!/usr/bin/env bash
# A sample of the drills that `./dev drill registry` does whole: crash states of every operation,
# the same without fsync (which must be noticed), damage, and races of promoters.
set -euo pipefail
tool=$(realpath "$1")
place=$(mktemp -d "$([ -d /dev/shm ] && echo /dev/shm || echo /tmp)/pawl-drill.XXXXXX")
trap 'chmod -R u+w "$place" && rm -rf "$place"' EXIT
export OMP_NUM_THREADS=1
"$tool" crashes "$place/crashes" 3 9 "${SEED:-1}"
"$tool" forgetful "$place/forgetful" 3 9 "${SEED:-1}"
"$tool" damage "$place/damage" 97 60 "${SEED:-1}"
"$tool" races "$place/races" 60 "${SEED:-1}"
