#!/usr/bin/env bash
# What a run does when somebody else holds it, when files are damaged or gone, and when the disk is
# full: it never loses what was saved, and says what is wrong.
source "$(dirname "$0")/lib.bash" "$1"
make_data
make_experiment small.yaml
expect 0 train small.yaml --run straight

# --- one run, one process
"$pawl" train small.yaml --run held --set train.epochs=100000 --quiet >/dev/null 2>&1 &
pid=$!
for wait in $(seq 1 200); do
    ls held/checkpoints 2>/dev/null | grep -q step && break || sleep 0.05
done
expect 7 train small.yaml --run held --set train.epochs=100000
says "process $pid" 'holds it' '--take-over'
{ kill -9 "$pid" && wait "$pid" || true; } 2>/dev/null
expect 75 train small.yaml --run held --set train.epochs=100000 --time-limit 1s
says 'resuming run held'

# --- another configuration, other data, another machine in the same folder
for change in train.seed=2 train.batch=64 model.layers.0.conv.filters=8; do
    expect 2 train small.yaml --run straight --set "$change"
    says 'its configuration differs in' '--run DIR'
done
expect 2 train small.yaml --run straight --set train.seed=2 --set train.clip.norm=2
says 'train.clip.norm, train.seed'
expect 0 train small.yaml --run straight --set train.log_every=5s --set train.checkpoint.every=7st
says 'complete already'
mkdir idx2 && make_idx idx2 640
expect 0 data import idx idx2 --out other.h5 --validate 120 --classes a,b,c,d
sed 's/data.h5/other.h5/' small.yaml >other.yaml
expect 2 train other.yaml --run straight
says "the dataset 'other.h5' is not the one"
{ "$pawl" train small.yaml --run moved --kill-at-step 17 --quiet >/dev/null || true; } 2>/dev/null
expect 2 train small.yaml --run moved --set train.threads=2
says 'device' 'threads' '--allow-inexact'
expect 0 train small.yaml --run moved --set train.threads=2 --allow-inexact
grep -q '"kind":"inexact"' moved/log-0002.jsonl || fail "the log does not tell of it"

# --- a damaged checkpoint is named, skipped and kept
flip() { perl -e 'open(my $f, "+<:raw", $ARGV[0]) or die; seek($f, $ARGV[1], 0); read($f, my $c, 1);
                  seek($f, $ARGV[1], 0); print $f chr(ord($c) ^ 1)' "$1" "$2"; }
for file in state.h5 manifest.json trainer.json model.json; do
    rm -rf hurt
    { "$pawl" train small.yaml --run hurt --kill-at-step 23 --quiet >/dev/null || true; } 2>/dev/null
    newest=$(newest hurt)
    flip "hurt/checkpoints/$newest/$file" 333
    expect 0 train small.yaml --run hurt
    says "$newest" 'an older checkpoint is tried' 'resuming run hurt at step'
    same_end straight hurt
    [ -e "hurt/checkpoints/$newest" ] || fail "the damaged checkpoint is gone"
done
rm -rf hurt
{ "$pawl" train small.yaml --run hurt --kill-at-step 23 --quiet >/dev/null || true; } 2>/dev/null
for checkpoint in hurt/checkpoints/*; do truncate -s -1 "$checkpoint/state.h5"; done
expect 0 train small.yaml --run hurt
says 'training begins again'
same_end straight hurt

# --- other files of the run
cp -r straight broken && flip broken/manifest.json 200
expect 6 train small.yaml --run broken
says 'broken/manifest.json'
rm -rf broken && cp -r straight broken && flip broken/incarnations/0001.json 50
expect 0 train small.yaml --run broken # it is finished: nobody needs to know who held it
expect 6 train small.yaml --run broken --set train.epochs=3
says 'broken/incarnations/0001.json'
rm -rf broken && cp -r straight broken && flip broken/checkpoints/"$(newest broken)"/state.h5 5000
expect 6 train small.yaml --run broken
says 'state.h5 does not match its digest'
rm -rf broken && cp -r straight broken
rm -r broken/view && printf '{"crc":"00000000","rec' >>broken/log-0001.jsonl
expect 0 train small.yaml --run broken
says 'complete already'

# --- folders that cannot be written
: >file
expect 1 train small.yaml --run file/run
says 'file' 'not a directory'
if [ "$(id -u)" != 0 ]; then
    mkdir closed && chmod 500 closed
    expect 1 train small.yaml --run closed/run
    says 'closed/run' 'ermission denied'
fi

# --- the limit on file sizes strikes while a checkpoint is written: like a full disk
for blocks in 5 8; do
    rm -rf small-disk
    code=0
    (ulimit -f "$blocks" && exec "$pawl" train small.yaml --run small-disk) >out 2>err || code=$?
    [ "$code" = 1 ] || fail "exit code $code with files of at most $blocks blocks"
    says 'state.h5' 'file too large'
    [ -z "$(ls -A small-disk/checkpoints 2>/dev/null)" ] || fail "something half written is left"
    expect 0 train small.yaml --run small-disk --take-over
    same_end straight small-disk
done

# --- a full disk: training goes on with the checkpoint before; room made, the run ends as it would
mkdir disk
if mount -t tmpfs -o size=512k tmpfs disk 2>/dev/null; then
    trap 'cd / && umount "$work/disk" && rm -rf "$work"' EXIT
    "$pawl" train small.yaml --run disk/run --set train.epochs=100000 --quiet >out 2>err &
    pid=$!
    for wait in $(seq 1 200); do
        ls disk/run/checkpoints 2>/dev/null | grep -q step && break || sleep 0.02
    done
    head -c 1M /dev/zero >disk/filler 2>/dev/null || true
    for wait in $(seq 1 200); do grep -q 'goes on with the checkpoint before' err && break || sleep 0.02; done
    kill -0 "$pid" || fail "training did not go on"
    rm disk/filler
    sleep 0.1
    kill -TERM "$pid"
    code=0
    wait "$pid" || code=$?
    [ "$code" = 75 ] || fail "exit code $code"
    says 'o space left on device'
    [ -z "$(find disk/run/checkpoints -name '.*.tmp')" ] || fail "a temporary is left"
    expect 75 train small.yaml --run disk/run --set train.epochs=100000 --time-limit 100ms
    says 'resuming run disk/run'
else
    echo "no tmpfs here: the full disk is skipped"
fi
