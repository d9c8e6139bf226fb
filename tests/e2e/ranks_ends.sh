#!/usr/bin/env bash
# However ranks end, all of them end, nothing is left, and the same command goes on: a request to the
# parent or to one rank, a rank that is killed or stands still, mpirun or the parent killed.
source "$(dirname "$0")/lib.bash" "$1"
command -v mpirun >/dev/null || { echo "skipped: no mpirun"; exit 77; }
make_data
make_experiment long.yaml
sed -i -e 's/micro_batch: 16/micro_batch: 8\n  shards: 2\n  determinism: world/; /threads: 1/d' \
    -e 's/epochs: 2/epochs: 4000/; s/every: 5st/every: 300st/' long.yaml

# Starts two ranks and waits until they step: $parent, $mpirun, ${rank[0]} and ${rank[1]}.
start() {
    rm -rf run
    timeout --foreground -k 5 90 "$pawl" train long.yaml --run run --ranks 2 --quiet "$@" >out 2>err </dev/null &
    limit=$!
    for _ in $(seq 200); do
        sleep 0.1
        [ -e run/view/status.json ] && break
    done
    parent=$(pgrep -P "$limit")
    mpirun=$(pgrep -P "$parent")
    # shellcheck disable=SC2207
    rank=($(pgrep -P "$mpirun"))
    [ "${#rank[@]}" = 2 ] || fail "mpirun has ${#rank[@]} children"
}

# ends CODE SECONDS: the parent ends with that code, and within that time nothing is left.
ends() {
    local got=0 begin=$SECONDS pid left=yes
    wait "$limit" || got=$?
    case " $1 " in *" $got "*) ;; *) fail "exit code $got, not $1" ;; esac
    while [ "$left" ] && [ $((SECONDS - begin)) -lt "$2" ]; do
        left=
        for pid in "$parent" "$mpirun" "${rank[@]}"; do kill -0 "$pid" 2>/dev/null && left=$pid; done
        sleep 0.1
    done
    [ -z "$left" ] || fail "process $left is still there after $2 s"
}

# Nothing of the exchange is left in memory either.
nothing_left() {
    ! compgen -G "/dev/shm/.pawl-ranks-$parent.*" >/dev/null || fail "/dev/shm/.pawl-ranks-$parent.* is left"
}

# The newest checkpoint is whole: a start goes on from it.
goes_on() {
    expect 75 train long.yaml --run run --time-limit 1ms
    says 'the checkpoint is complete'
}

start
kill -TERM "$parent"
ends 75 20
nothing_left
says 'the checkpoint is complete'
goes_on

start
kill -USR1 "${rank[1]}"
ends 75 20
says 'the checkpoint is complete'

start
kill -KILL "${rank[1]}"
ends 1 30
nothing_left
says "rank 1 is gone or stopped"
[ -s run/view/rank-0000.json ] || fail "no report of the last exchanges"
json run/view/rank-0000.json
goes_on

start --rank-timeout 1s
kill -STOP "${rank[0]}"
ends 1 35
says 'rank 1 gave up' 'rank 0 is gone or stopped'

start
kill -KILL "$mpirun"
ends '75 1' 30
nothing_left
goes_on

start
kill -KILL "$parent"
ends 137 30
expect 75 train long.yaml --run run --ranks 2 --time-limit 1ms
nothing_left

# without mpirun
mkdir bin
got=0
PATH=$work/bin "$pawl" train long.yaml --ranks 2 >out 2>err || got=$?
[ "$got" = 2 ] || fail "exit code $got without mpirun"
says 'there is no mpirun on the path' 'openmpi-bin'
