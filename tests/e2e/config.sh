#!/usr/bin/env bash
# Configuration: what is rendered can be checked, planned and trained and is the same experiment; the
# plan's numbers for the demo are those counted by hand.
source "$(dirname "$0")/lib.bash" "$1"
make_data
make_experiment small.yaml
cat >base.yaml <<'EOF'
pawl: part/1
train:
  batch: 32
  seed: 7
EOF
sed -i '1a extends: base.yaml' small.yaml
sed -i '/^  batch: 32/d' small.yaml

digest() { sed -n 's/.*configuration digest //p' out; }
expect 0 config check small.yaml
before=$(digest)
expect 0 config check base.yaml
says 'part/1'
expect 0 config render small.yaml
says '# base.yaml:4' '# small.yaml:' '# default'
mkdir elsewhere
cp out elsewhere/rendered.yaml
sed -i 's#data.h5#../data.h5#' elsewhere/rendered.yaml
expect 0 config check elsewhere/rendered.yaml
[ "$(digest)" = "$before" ] || fail "the rendered file has another digest"
expect 0 config render elsewhere/rendered.yaml --set train.epochs=9
expect 0 config check small.yaml --set train.epochs=9 --set train.threads=2
[ "$(digest)" = "$before" ] || fail "epochs or threads are in the digest"
expect 0 config check small.yaml --set train.seed=8
[ "$(digest)" != "$before" ] || fail "the seed is not in the digest"
expect 0 train small.yaml --run first
expect 0 train elsewhere/rendered.yaml --run first
says 'complete already'
expect 0 train first/config.yaml --run second
same_end first second

expect 0 config explain train.optimizer.adamw.lr
says 'learning rate'
expect 2 config explain train.optimiser
says "optimizer"
expect 0 config schema
json out

# --- the demo's network on pictures of its size: 131,050 numbers
# conv 32 (9 x 32) + norm, conv 64 (9 x 32 x 64) + norm, conv 64 (9 x 64 x 64) + norm,
# dense 128 (576 x 128 + 128), dense 10 (128 x 10 + 10)
[ $((288 + 64 + 18432 + 128 + 36864 + 128 + 73728 + 128 + 1280 + 10)) = 131050 ]
mkdir mnist
perl -e 'for my $p (["train", 60], ["t10k", 20]) { my ($name, $n) = @$p;
    open(my $f, ">:raw", "mnist/$name-images-idx3-ubyte"); print $f pack("NNNN", 2051, $n, 28, 28), chr(1) x (784 * $n);
    open($f, ">:raw", "mnist/$name-labels-idx1-ubyte"); print $f pack("NN", 2049, $n), map { chr($_ % 10) } 1 .. $n; }'
expect 0 data import idx mnist --out fashion-mnist.h5 --validate 20
cp "$here/../../configs/fashion-cnn.yaml" .
expect 0 plan fashion-cnn.yaml --set train.batch=20 --set train.precision=f32
says '131050 trained parameters' '[64, 3, 3, 64]' '36864' '[128, 576]' '73728' '2 steps an epoch, 10 in all'
expect 0 plan fashion-cnn.yaml --set train.batch=20 --format json
[ "$(member out "['trained']")" = 131050 ] || fail "the plan counts another number"
[ "$(member out "['memory']['weights']")" -ge $((131050 * 4)) ] || fail "the plan's weights are too few"
[ ! -e runs ] || fail "the plan made a run"
expect 0 doctor
says 'ok' 'exclusive creation'
[ -z "$(ls -A | grep tmp)" ] || fail "doctor left something"
