#!/usr/bin/env bash
# The main way under fire: two at once, kill -9 at any moment, a full disk. Afterwards the same
# command succeeds, and the registry is sound.
source "$(dirname "$0")/lib.bash" "$1"
export PAWL_ACTOR=ana
RANDOM=7
make_data
make_experiment small.yaml
make_suite easy.yaml 'goals:
  - {id: quality, metric: accuracy, at_least: 0.1, why: any model will do}'
cat >>small.yaml <<'END'
eval: {suite: easy.yaml}
registry: {path: registry, model: small, channel: staging}
deploy: {path: live}
END
expect 0 train small.yaml --quiet
expect 0 train small.yaml --run runs/two --set train.seed=2 --quiet
expect 0 registry init registry
export PAWL_REGISTRY=registry
for run in small two; do expect 0 registry add runs/$run --as small; done
for version in 1 2; do expect 0 eval easy.yaml --model small@$version; done

sound() {
    expect 0 registry verify
    says 'sound'
}

# aside N ARGS...: `pawl ARGS` whose output goes to outN and exit code to codeN
aside() {
    local n=$1 code=0
    shift
    "$pawl" "$@" --quiet >"out$n" 2>&1 </dev/null || code=$?
    echo $code >"code$n"
}

# --- two promoters who saw the same: one wins, the other is told to look again
for round in $(seq 1 12); do
    for version in 1 2; do
        aside $version promote small@$version "race$round" --from none --reason "racer $version" &
    done
    wait
    codes=$(sort code1 code2 | tr '\n' ' ')
    [ "$codes" = '0 7 ' ] || fail "round $round: exit codes $codes"
    grep -q "'race$round' is no longer empty" out1 out2 || fail "round $round: the loser does not know why"
done
sound

# --- two releases of one run at the same time
for round in 1 2 3; do
    for process in 1 2; do
        aside $process release small.yaml --run "runs/both$round" --set "registry.model=both$round" \
            --set "deploy.path=both$round" &
    done
    wait
    codes=$(sort code1 code2 | tr '\n' ' ')
    [ "$codes" = '0 7 ' ] || fail "round $round: exit codes $codes"
    expect 0 release small.yaml --run "runs/both$round" --set "registry.model=both$round" --set "deploy.path=both$round"
    says 'promote  skipped' 'deploy   skipped'
done
sound

# killed LONGEST_MS ARGS...: `pawl ARGS`, killed at a random moment, then again to its end
killed() {
    local longest=$1 pid
    shift
    "$pawl" "$@" >/dev/null 2>&1 &
    pid=$!
    sleep "$(printf '0.%03d' $((RANDOM % longest)))"
    { kill -9 $pid && kills=$((kills + 1)); wait $pid; } 2>/dev/null || true
    "$pawl" registry verify --quiet >out 2>err || fail "unsound after a kill of: pawl $*"
    expect 0 "$@"
}

# --- kill -9
kills=0
for i in $(seq 1 15); do killed 40 registry add runs/small --as "add$i"; done
says 'add15@1'
for i in $(seq 1 15); do killed 80 eval easy.yaml --model small@1; done
for i in $(seq 1 15); do
    killed 40 deploy "small@$((i % 2 + 1))" live
    expect 0 deploy --status live
    says "live/current holds small@$((i % 2 + 1))"
done
for i in $(seq 1 12); do
    killed 150 release small.yaml --set "registry.model=whole$i" --set "deploy.path=whole$i"
done
for i in 1 2 3; do
    killed 600 release small.yaml --run "runs/train$i" --set "registry.model=train$i" --set "deploy.path=train$i"
done
echo "$kills of 60 commands were still running when they were killed"
[ "$kills" -ge 15 ] || fail "only $kills commands were still running when they were killed"
sound
expect 0 registry list whole1
says 'whole1@1'
expect 0 registry history whole1
[ "$(grep -c ' register ' out)" = 1 ] && [ "$(grep -c ' promote ' out)" = 1 ] || fail "steps were done twice"

# --- a full disk
mkdir disk
if ! mount -t tmpfs -o size=1m tmpfs disk 2>/dev/null; then
    echo "no tmpfs here: the full disk is skipped"
    exit 0
fi
trap 'cd / && umount "$work/disk" && rm -rf "$work"' EXIT
# full PAGES: leaves so many pages of 4 KiB free
full() {
    rm -f disk/filler
    cat /dev/zero >disk/filler 2>/dev/null || true
    truncate -s "-$(($1 * 4))K" disk/filler
}
# tries ARGS...: with more and more room: exit 1 and the reason until it fits; then, with room, it works
tries() {
    local pages code failed=0
    for pages in 0 1 2 3 5 8 12 16 24 40; do
        full $pages
        code=0
        "$pawl" "$@" >out 2>err || code=$?
        rm -f disk/filler
        [ "$code" = 0 ] && break
        [ "$code" = 1 ] || fail "exit code $code with $pages free pages of: pawl $*"
        says 'o space left on device'
        failed=$((failed + 1))
        unfinished "$@"
    done
    [ "$failed" -gt 0 ] || fail "the disk was never full for: pawl $*"
    expect 0 "$@"
}
unsound() { "$pawl" registry verify --registry disk/registry >out 2>err || fail "unsound after a full disk: pawl $*"; }
unfinished() { unsound "$@"; }
expect 0 registry init disk/registry
tries registry add runs/small --as small --registry disk/registry
[ -z "$(ls disk/registry/staging | grep -v '^hold\.')" ] || fail "unfinished work is left in staging"
expect 0 eval easy.yaml --model small@1 --registry disk/registry --out disk/first
unfinished() { [ ! -e disk/report ] || fail "half a report is visible"; }
full 3
expect 1 eval easy.yaml --model runs/small --out disk/report
says 'o space left on device'
rm disk/filler
[ -z "$(ls -A disk | grep report)" ] || fail "half a report is left"
expect 0 eval easy.yaml --model runs/small --out disk/report
unfinished() { unsound "$@"; }
tries promote small@1 staging --reason first --registry disk/registry
unfinished() { [ ! -e disk/live/current ] || fail "half a bundle is in use"; }
tries deploy small@1 disk/live --registry disk/registry
expect 0 deploy --status disk/live
unfinished() { [ ! -e disk/d.h5 ] || fail "half a dataset is visible"; }
tries data import idx idx --out disk/d.h5
expect 0 data check disk/d.h5
expect 0 registry verify --registry disk/registry
says 'sound'
