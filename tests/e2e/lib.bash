# What the scripts share: a folder that goes away, expectations, small data and experiments.
#
# A script begins with `source "$(dirname "$0")/lib.bash" "$1"`; argument 1 is the binary. Everything
# runs in a folder of its own. The first thing that is not as expected ends the script.
set -euo pipefail
pawl=$(realpath "$1")
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/pawl-e2e.XXXXXX")
trap 'cd / && chmod -R u+w "$work" && rm -rf "$work"' EXIT
cd "$work"
unset PAWL_REGISTRY SLURM_JOB_ID SLURM_RESTART_COUNT SLURM_JOB_END_TIME
export OMP_NUM_THREADS=2

fail() {
    printf 'FAILED: %s (line %s)\n' "$1" "${BASH_LINENO[*]}" >&2
    for file in out err; do
        [ -s "$file" ] && { echo "--- $file"; tail -n 30 "$file"; } >&2
    done
    exit 1
}

# expect CODE ARGS...: `pawl ARGS` ends with that exit code; its output is in ./out and ./err.
expect() {
    local want=$1 got=0
    shift
    "$pawl" "$@" >out 2>err </dev/null || got=$?
    [ "$got" = "$want" ] || fail "exit code $got, not $want, of: pawl $*"
}

# says TEXT...: the last command's output holds each of the texts.
says() {
    local text
    for text in "$@"; do
        grep -qF -- "$text" out err || fail "the output does not say '$text'"
    done
}

# silent TEXT: the last command's output does not hold it.
silent() {
    ! grep -qF -- "$1" out err || fail "the output says '$1'"
}

# json FILE: it is one JSON document.
json() {
    command -v python3 >/dev/null || return 0
    python3 -m json.tool "$1" >/dev/null 2>>err || fail "$1 is not JSON"
}

# member FILE EXPRESSION: prints a member of a JSON document, e.g. member m.json "['tensors']".
member() {
    python3 -c 'import json, sys; print(eval("json.load(open(sys.argv[1]))" + sys.argv[2]))' "$1" "$2"
}

# A dataset of IDX files: `rows` pictures of 8x8 in four classes that can be told apart (a bright
# quarter each, over noise), the same on every machine.
make_idx() {
    perl -e '
        my ($dir, $rows) = @ARGV;
        sub put { my ($name, $bytes) = @_; open(my $f, ">:raw", "$dir/$name") or die; print $f $bytes; }
        for my $part (["train", $rows], ["t10k", $rows / 4]) {
            my ($name, $n) = @$part;
            my ($seed, $pixels, $labels) = ($n, "", "");
            for my $i (0 .. $n - 1) {
                my $label = $i % 4;
                $labels .= chr $label;
                for my $p (0 .. 63) {
                    $seed = ($seed * 1103515245 + 12345) % 2147483648;
                    my $quarter = int($p / 32) * 2 + (($p % 8) >= 4 ? 1 : 0);
                    $pixels .= chr(int($seed / 65536) % 120 + ($quarter == $label ? 60 : 0));
                }
            }
            put("$name-images-idx3-ubyte", pack("NNNN", 2051, $n, 8, 8) . $pixels);
            put("$name-labels-idx1-ubyte", pack("NN", 2049, $n) . $labels);
        }' "$1" "$2"
}

# data.h5 in the working folder: 480 rows to train on, 120 to validate on.
make_data() {
    mkdir -p idx
    make_idx idx 600
    expect 0 data import idx idx --out data.h5 --validate 120 --classes a,b,c,d --quiet
}

# experiment FILE [MODEL LINES]: 15 steps an epoch on data.h5. Without lines: a convolution with
# batch norm, dropout and augmentation, so that every kind of state is there.
make_experiment() {
    local model=${2:-'    - conv: {filters: 4}
    - batch_norm
    - relu
    - max_pool: {size: 2}
    - flatten
    - dropout: {rate: 0.1}
    - dense: {units: 4}'}
    cat >"$1" <<EOF
pawl: experiment/1
name: small
data:
  file: data.h5
  train: {split: train, augment: [{padded_crop: {pad: 1}}]}
model:
  layers:
$model
train:
  epochs: 2
  batch: 32
  micro_batch: 16
  optimizer: {adamw: {lr: 1e-2}}
  schedule: constant
  precision: f32
  ema: {decay: 0.9}
  clip: {norm: 1.0}
  checkpoint: {every: 5st, keep: {best: 1, last: 2}, by: {metric: accuracy, mode: max}}
  log_every: 0s
  threads: 1
EOF
}

# newest RUN: the checkpoint that a resume would try first.
newest() {
    ls "$1/checkpoints" | sort -t- -k3,3r -k2,2r | head -n 1
}

# same_end RUN RUN: both ended in the same weights, optimizer state, statistics and position.
same_end() {
    python3 - "$1/checkpoints/$(newest "$1")" "$2/checkpoints/$(newest "$2")" <<'EOF' || fail "$1 and $2 differ"
import json, sys
a, b = (json.load(open(path + "/manifest.json")) for path in sys.argv[1:])
for name in sorted(set(a["tensors"]) | set(b["tensors"])):
    assert a["tensors"].get(name) == b["tensors"].get(name), name
assert a["model_digest"] == b["model_digest"]
a, b = (json.load(open(path + "/trainer.json")) for path in sys.argv[1:])
for key in ("step", "epoch", "index", "time", "waited", "metrics"):
    assert a[key] == b[key], key
EOF
}

# suite FILE LINES: a suite on data.h5; without a baseline yet, gates that compare with it pass.
make_suite() {
    printf 'pawl: suite/1\nname: small\ndata: {file: data.h5, split: test, train_split: train}\nfirst: pass\n%s\n' \
        "$2" >"$1"
}

# golden NAME CODE ARGS...: `pawl ARGS` ends with that exit code and says, to the letter, what
# tests/golden/cli/NAME.txt holds; digests, times and places are made alike before. With
# PAWL_GOLDEN=write in the environment that text is written instead, to be read in the diff.
golden() {
    local name=$1 code=$2 file=$here/../golden/cli/$1.txt
    shift 2
    expect "$code" "$@"
    {
        echo "\$ pawl $*"
        sed 's/^/out: /' out
        sed 's/^/err: /' err
        echo "exit code $code"
    } | sed -E -e "s|$work|WORK|g" \
        -e 's/sha256:[0-9a-f]{64}/DIGEST/g; s/[0-9a-f]{64}/HEX/g; s/sha256:[0-9a-f]{12}/SHORT/g' \
        -e 's/-[0-9a-f]{12}\b/-MODEL/g; s/(pawl [0-9.]+ ).*/\1BUILD/' \
        -e 's/[0-9.]+ [KM]iB hashed/SIZE hashed/' \
        -e 's/[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z/TIME/g' >told
    if [ "${PAWL_GOLDEN:-}" = write ]; then
        mkdir -p "${file%/*}"
        cp told "$file"
    fi
    diff -u "$file" told >&2 || fail "pawl $* says something else than ${name}.txt"
}
