#!/usr/bin/env bash
# Several ranks train what one would: equal bits under `determinism: world` on 1, 2 and 4 ranks, also
# across a kill and a resume with another number of them; equal up to the order of sums under `run`.
# Every start of ranks has a time limit.
source "$(dirname "$0")/lib.bash" "$1"
command -v mpirun >/dev/null || { echo "skipped: no mpirun"; exit 77; }
printf '#!/bin/sh\nexec timeout --foreground -k 5 60 "%s" "$@"\n' "$pawl" >limited
chmod +x limited
pawl=$work/limited
make_data
make_experiment small.yaml
sed -e 's/micro_batch: 16/micro_batch: 4\n  shards: 4\n  determinism: world/; /threads: 1/d' small.yaml >world.yaml
make_experiment plain.yaml '    - conv: {filters: 4}
    - relu
    - flatten
    - dropout: {rate: 0.1}
    - dense: {units: 4}'
sed -i '/micro_batch/d' plain.yaml

# --- world: the same bits, with more ranks than this machine may have cores, as root or not
expect 0 train world.yaml --run one
for ranks in 2 4; do
    expect 0 train world.yaml --run "world-$ranks" --ranks "$ranks"
    says "--ranks=$ranks" 'step 30'
    same_end one "world-$ranks"
    [ "$(member "world-$ranks/manifest.json" "['ranks']")" = \
        "{'determinism': 'world', 'shards': 4, 'world': $ranks}" ] || fail "the manifest's ranks"
done
expect 0 train world.yaml --run world-4 --ranks 2
says 'complete already'
expect 2 train world.yaml --run eight --ranks 8
says 'Set train.shards to 8' 'world.yaml:'
[ ! -e eight ] || fail "a refused start left a run"

# --- killed and resumed, each time with another number of ranks
expect 137 train world.yaml --run killed --ranks 2 --kill-at-step 7
expect 137 train world.yaml --run killed --ranks 4 --kill-at-step 16
expect 75 train world.yaml --run killed --ranks 2 --time-limit 1ms
says 'time limit'
expect 0 train world.yaml --run killed
same_end one killed
expect 0 verify-resume world.yaml --ranks 2 --kills 2

# --- run: equal bits each time, the same curve as one rank's within 1e-4, no other number on resume
expect 0 train plain.yaml --run plain-1
expect 0 train plain.yaml --run plain-2 --ranks 2 --format json
json out
expect 0 train plain.yaml --run plain-2b --ranks 2
same_end plain-2 plain-2b
python3 - plain-1 plain-2 <<'PY' || fail "the loss curves differ"
import json, sys
def losses(run):
    lines = [json.loads(line)["record"] for line in open(run + "/log-0001.jsonl")]
    return [line["loss"] for line in lines if line["kind"] == "step"]
a, b = map(losses, sys.argv[1:])
assert len(a) == len(b) == 30
assert all(abs(x - y) <= 1e-4 * max(1, x) for x, y in zip(a, b)), list(zip(a, b))
PY
expect 75 train plain.yaml --run moved --ranks 2 --time-limit 1ms
expect 2 train plain.yaml --run moved
says 'by 2 ranks and would be by 1' '--allow-inexact'
expect 0 train plain.yaml --run moved --allow-inexact
expect 0 plan plain.yaml --ranks 2
says '2 ranks with 16 rows of each batch'
expect 2 train plain.yaml --run uneven --ranks 3
says 'a batch that 3 divides: 33'
expect 2 train small.yaml --run coupled --ranks 2
says 'batch_norm' 'Set train.shards to 2'
expect 0 train small.yaml --run coupled --ranks 2 --set train.shards=2

# --- a user's own mpirun: codes come through, nothing is said twice
root=
[ "$(id -u)" != 0 ] || root=--allow-run-as-root
own() {
    local want=$1 got=0
    shift
    timeout -k 5 60 mpirun -np 2 --bind-to none --oversubscribe $root "$pawl" "$@" >out 2>err </dev/null || got=$?
    [ "$got" = "$want" ] || fail "exit code $got, not $want, of: mpirun pawl $*"
}
own 75 train world.yaml --run own --time-limit 1ms
says 'OMPI_COMM_WORLD_RANK=0 of OMPI_COMM_WORLD_SIZE=2'
[ "$(grep -c 'the checkpoint is complete' err)" = 1 ] || fail "both ranks speak"
own 0 train world.yaml --run own
same_end one own
own 2 train world.yaml --run own --set train.shards=1 --set train.micro_batch=8
own 2 train world.yaml --ranks 2
says 'Leave --ranks out'

# --- the shell of a batch job is no rank
export SLURM_JOB_ID=7 SLURM_NTASKS=4 SLURM_PROCID=0
expect 2 train plain.yaml --run batch
says 'srun --mpi=pmix --ntasks=4 pawl train'
expect 0 train plain.yaml --run batch --no-launch-detection
unset SLURM_JOB_ID SLURM_NTASKS SLURM_PROCID

# --- the job script: what srun ended with, and a requeue on 75 alone
mkdir bin
printf '#!/bin/sh\necho "srun $*" >>calls\nexit "$SRUN_CODE"\n' >bin/srun
printf '#!/bin/sh\necho "scontrol $*" >>calls\n' >bin/scontrol
chmod +x bin/*
for code in 0 1 75; do
    got=0
    SRUN_CODE=$code SLURM_JOB_ID=9 PATH=$work/bin:$PATH \
        bash "$here/../../configs/slurm/train.sbatch" plain.yaml --quiet || got=$?
    [ "$got" = "$code" ] || fail "the job script ends with $got, not $code"
done
printf 'srun --mpi=pmix pawl train plain.yaml --quiet\n%.0s' 1 2 3 >wanted
echo 'scontrol requeue 9' >>wanted
diff wanted calls >&2 || fail "the job script's calls"

expect 2 train plain.yaml --ranks 0
says "'--ranks' must be at least 1"
expect 0 doctor
says 'Open MPI'
