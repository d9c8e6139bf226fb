#!/usr/bin/env bash
# The commands that ask and keep, through the binary: find, diff, lineage, repair, gc, their exit
# codes and documents. Arguments: the tests' helper program, and pawl.
set -euo pipefail
[ $# -ge 2 ] || { echo "SKIPPED: pawl itself is not built"; exit 77; }
tool=$(realpath "$1") pawl=$(realpath "$2")
work=$(mktemp -d "${TMPDIR:-/tmp}/pawl-keep.XXXXXX")
trap 'chmod -R u+w "$work" && rm -rf "$work"' EXIT
cd "$work"
export PAWL_REGISTRY=$work/registry OMP_NUM_THREADS=1

fail() {
    echo "FAILED: $1" >&2
    cat out err >&2
    exit 1
}

# expect CODE ARGS...: `pawl registry ARGS` ends with that code; says TEXT: its output has it.
expect() {
    local want=$1 got=0
    shift
    "$pawl" registry "$@" >out 2>err </dev/null || got=$?
    [ "$got" = "$want" ] || fail "exit code $got, not $want, of: registry $*"
}
says() { grep -qF -- "$1" out err || fail "the output does not say '$1'"; }
is_json() { python3 -m json.tool out >/dev/null || fail "no JSON"; }

"$tool" make "$work" >digests

# --- asking
expect 0 find 'seed = 2 and channel = production'
says 'fashion@2'
expect 0 find 'verdict = pass' --format json
is_json
says '"pawl": "find/1"'
expect 0 find 'number > 7'
says 'no version matches'
expect 2 find 'seedd > 1'
says "Did you mean 'seed'?"
expect 2 find 'seed >'
says 'position 7'
expect 0 diff fashion@1 fashion@2
says 'seed: 1 -> 2'
says 'model.safetensors: differs'
expect 0 diff fashion@1 fashion@production --format json
is_json
expect 0 lineage fashion@production
says 'channel  production'
expect 0 lineage "$(sed -n 1p digests)" --format json
is_json
says '"named_as"'
expect 2 lineage nonsense
expect 2 lineage "sha256:$(printf 0%.0s {1..64})"

# --- keeping
expect 0 verify
says 'sound'
rm -rf registry/models/fashion/index.json registry/cache/channels.json
expect 0 repair
expect 0 repair --format json
is_json
expect 0 verify
chmod u+w registry/models/fashion/oci-layout
echo x >registry/models/fashion/oci-layout
expect 6 verify
expect 0 repair
says 'models/fashion'
expect 0 verify
head=$(tail -n 2 out | sed -n 's/^head //p')
expect 0 verify --expect "$head"
expect 6 verify --expect "9:${head#*:}"
echo stray >stray
digest=$(sha256sum <stray | cut -d' ' -f1)
cp stray "registry/store/sha256/$digest"
touch -d '3 days ago' "registry/store/sha256/$digest"
expect 0 gc --dry-run --format json
is_json
[ -e "registry/store/sha256/$digest" ] || fail "a dry run took content"
expect 0 gc --wait 0
says 'removed 1 files of content'
[ ! -e "registry/store/sha256/$digest" ] || fail "the stray content is still there"
expect 2 gc --grace 5
expect 0 export fashion@1 fashion@production --out bundle.tar
says "2 versions"
expect 0 import bundle.tar --as copied --format json
is_json
expect 0 import bundle.tar --as copied
says "was there already"
expect 0 lineage copied@1
says "origin   registry sha256:"
expect 6 import digests
expect 2 import nothing.tar
expect 0 verify
last=$(ls registry/journal/000 | tail -n 1)
mv -f "registry/journal/000/$last" .
expect 6 verify
expect 6 repair
says '--accept-loss'
expect 0 repair --accept-loss --reason 'the disk is gone'
says 'lost: entries'
expect 0 verify
expect 0 history
says 'the disk is gone'
echo "find, diff, lineage, repair and gc do what they say"

# --- after a move, and after a swap
mkdir hooks
printf '#!/bin/sh\ncat >>"%s/told"\n' "$work" >hooks/tell
chmod +x hooks/tell
"$pawl" rollback fashion production --to fashion@2 --reason 'to see hooks' --hooks hooks >out 2>err ||
    fail "the rollback failed"
grep -q '"reason":"to see hooks"' told || fail "the hook was not told"
expect 0 hooks hooks
says 'called 0'
got=0
"$pawl" deploy fashion@2 srv --probe 'exit 3' >out 2>err || got=$?
[ "$got" = 8 ] || fail "exit code $got, not 8, of a failed probe"
[ ! -e srv/current ] || fail "a failed probe left its bundle in use"
"$pawl" deploy fashion@2 srv --probe 'test -s "$1/model.safetensors"' >out 2>err || fail "deploy failed"
"$pawl" deploy --status srv >out 2>err || fail "status failed"
says 'fashion@2'
echo "hooks and probes are asked"
