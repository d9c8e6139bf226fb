#!/usr/bin/env bash
# Whatever ends a run in the middle, the same command goes on from there, and the end is the same bit
# for bit as without the interruption: signals in every phase, kill -9, time limits, longer runs.
source "$(dirname "$0")/lib.bash" "$1"
make_data
make_experiment small.yaml
# slow enough for a signal to find it: pictures of 8x8, 120 epochs
make_experiment long.yaml
sed -i 's/epochs: 2/epochs: 120/; s/every: 5st/every: 60st/' long.yaml

expect 0 train small.yaml --run straight
says 'step 30'
expect 0 train small.yaml --run straight
says 'complete already'

# --- killed in the first and second epoch, at its border, and while gradients are being summed
for steps in '3 14 16 29' '15 30' '1 7 22'; do
    rm -rf killed
    for step in $steps; do
        code=0
        { "$pawl" train small.yaml --run killed --kill-at-step "$step"; } >out 2>err || code=$?
        [ "$code" = 137 ] || fail "was not killed at step $step"
    done
    expect 0 train small.yaml --run killed
    same_end straight killed
done

# --- a request to stop: at the very start, while it steps, while it validates, while it saves
expect 0 train long.yaml --run long
stopped=0
for delay in 0.02 0.05 0.1 0.15 0.2 0.25 0.3 0.35; do
    for signal in TERM USR1; do
        "$pawl" train long.yaml --run stopped --quiet >out 2>err &
        pid=$!
        sleep "$delay"
        kill -"$signal" "$pid" 2>/dev/null || true
        code=0
        wait "$pid" || code=$?
        case $code in
        75) stopped=$((stopped + 1)); says "on SIG$signal" ;;
        0) break 2 ;;
        143 | 138) ;; # before the program had come to its own first line
        *) fail "exit code $code after SIG$signal" ;;
        esac
    done
done
[ "$stopped" -gt 2 ] || fail "only $stopped of the requests found the run at work"
expect 0 train long.yaml --run stopped
same_end long stopped

# --- a request to stop while it validates: the validation is made up for
mkdir -p wide && make_idx wide 2400
expect 0 data import idx wide --out wide.h5 --validate 2000 --classes a,b,c,d
make_experiment wide.yaml '    - conv: {filters: 48}
    - relu
    - conv: {filters: 48}
    - flatten
    - dense: {units: 4}'
sed -i 's/data.h5/wide.h5/; s/every: 5st/every: 2st/; s/epochs: 2/steps: 10/' wide.yaml
sed -i 's/^  log_every/  validate_every: 1st\n  log_every/' wide.yaml
expect 0 train wide.yaml --run wide-straight
for delay in 0.2 0.3 0.4; do
    "$pawl" train wide.yaml --run wide-stopped >out 2>err &
    pid=$!
    sleep "$delay"
    kill -TERM "$pid" 2>/dev/null || true
    code=0
    wait "$pid" || code=$?
    [ "$code" = 75 ] || [ "$code" = 0 ] || fail "exit code $code"
done
expect 0 train wide.yaml --run wide-stopped
same_end wide-straight wide-stopped

# --- kill -9 from outside, whenever it comes
rm -rf killed
for delay in 0.05 0.12 0.21 0.33; do
    "$pawl" train long.yaml --run killed --quiet >/dev/null 2>&1 &
    pid=$!
    sleep "$delay"
    kill -9 "$pid" 2>/dev/null || true
    { wait "$pid" || true; } 2>/dev/null
done
expect 0 train long.yaml --run killed --take-over
same_end long killed

# --- time limits, of the command and of a Slurm job
expect 75 train long.yaml --run limited --time-limit 1ms
says 'time limit'
SLURM_JOB_END_TIME=$(($(date +%s) + 30)) expect 75 train long.yaml --set train.epochs=100000 --run limit2
says 'time limit'
expect 2 train long.yaml --run limited --time-limit soon
expect 0 train long.yaml --run limited
same_end long limited
expect 75 release long.yaml --to train --run limit3 --time-limit 1ms
says 'time limit'
expect 0 release long.yaml --to train --run limit3
same_end long limit3

# --- a longer run goes on where the schedule permits, and ends like one that was long from the start
expect 0 train small.yaml --run longer
expect 0 train small.yaml --run longer --set train.epochs=3
says 'step 45'
expect 0 train small.yaml --run longer --set train.epochs=3
says 'complete already'
expect 0 train small.yaml --run straight3 --set train.epochs=3
same_end straight3 longer
expect 2 train small.yaml --run longer --set train.epochs=2
says 'longer, not shorter'
expect 0 train small.yaml --run cycle --set train.schedule=one_cycle
expect 2 train small.yaml --run cycle --set train.schedule=one_cycle --set train.epochs=3
says 'differs in train.epochs' 'spreads over the whole run'

# --- the proof that users can run, on two threads
expect 0 verify-resume small.yaml --kills 3 --set train.threads=2 --format json
json out
says '"equal": true' '"kills": 3'
[ ! -e runs/verify-resume ] || fail "the drill's runs are still there"
expect 2 verify-resume small.yaml --kills 40
says 'too few for 40 kills'
