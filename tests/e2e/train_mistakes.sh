#!/usr/bin/env bash
# Mistakes in files, on the command line and in the data: each is found before anything is started,
# with the place, the reason and what was probably meant.
source "$(dirname "$0")/lib.bash" "$1"
make_data
make_experiment small.yaml

# wrong SED TEXT...: the experiment with one line changed is refused with these words
wrong() {
    local change=$1
    shift
    sed "$change" small.yaml >wrong.yaml
    cmp -s small.yaml wrong.yaml && fail "'$change' changes nothing"
    expect 2 train wrong.yaml --run never
    says "$@"
    [ ! -e never ] || fail "a run was made"
}

# --- keys and values
wrong 's/optimizer:/optimiser:/' "unknown key 'optimiser'" "did you mean 'optimizer'?" 'wrong.yaml:19:3'
wrong 's/adamw:/adam:/' "did you mean 'adamw'?"
wrong 's/batch: 32/batch: many/' 'wrong.yaml:17'
wrong 's/batch: 32/batch: -1/' 'must be'
wrong 's/epochs: 2/epochs: 2\n  steps: 5/' "both 'epochs' and 'steps'" 'wrong.yaml:17'
wrong 's/^  epochs: 2$//' "without 'epochs' or 'steps'"
wrong 's/micro_batch: 16/micro_batch: 5/' 'micro_batch does not divide batch' 'wrong.yaml:18'
wrong 's/{adamw: {lr: 1e-2}}/{sgd: {lr: 1e-2, momentum: 0, nesterov: true}}/' 'nesterov without a momentum' \
    'wrong.yaml:19:54'
wrong 's/every: 5st/every: 5Mtok/' 'cannot count tokens in rows'
wrong 's/metric: accuracy/metric: acuracy/' "cannot watch 'acuracy'" "Did you mean 'accuracy'?" 'wrong.yaml:'
wrong 's/epochs: 2/epochs: 2\n  early_stop: {metric: f1, mode: max}/' "cannot watch 'f1'" 'accuracy, log_loss, loss'
wrong 's/split: train/split: trian/' "has no split 'trian'"
wrong 's/^model:/  validate: {split: valid}\nmodel:/' "has no split 'valid'" 'wrong.yaml:6'
wrong 's/^train:/  loss: mse\ntrain:/' "loss 'mse'" 'classes' 'cross_entropy'
wrong 's/precision: f32/precision: f33/' 'f32'
wrong 's/batch: 32/batch: 32\n  last_batch: pad/' 'cannot pad the last batch' 'last_batch: drop'
wrong 's/batch: 32/batch: 960/;s/micro_batch: 16/micro_batch: 960/' '480'
wrong 's/^train:/  init: nowhere\ntrain:/' "cannot find model 'nowhere'"

# --- layers
wrong 's/dense: {units: 4}/dense: {units: 5}/' 'gives [16, 5]' '[batch, 4]' 'units: 4' 'wrong.yaml:14'
wrong 's/- flatten/- relu/' "layer 'dense_1'" 'flatten' 'wrong.yaml:14'
wrong 's/max_pool: {size: 2}/max_pool: {size: 9}/' "layer 'max_pool_1'" 'wrong.yaml:11'
wrong 's/conv: {filters: 4}/conv: {filters: 4, groups: 3}/' 'groups 3 does not divide' 'wrong.yaml:8'
wrong 's/- relu/- permute: [0, 0, 1]/' "layer 'permute_1'" 'wrong.yaml:10'
wrong 's/- relu/- residual: [{conv: {filters: 7}}]/' 'the branch gives' 'wrong.yaml:10'
printf 'a,b,c,y\n' >table.csv
for i in $(seq 1 60); do echo "$i,$((i * 7 % 11)),$((i * 5 % 13)),$((i % 2))"; done >>table.csv
expect 0 data import csv table.csv --target y --out table.h5 --validate 12
wrong 's/data.h5/table.h5/; s/, augment.*}/}/' 'conv needs rows of [height, width, channels]' "layer 'conv_1'" 'wrong.yaml:8'
wrong 's/data.h5/table.h5/; /conv:/d; /batch_norm/d; /pool/d; s/units: 4/units: 2/' "layer 'augment_1_padded_crop'"

# --- data
wrong 's/data.h5/missing.h5/' "cannot open" 'missing.h5' 'pawl data import'
cp data.h5 cut.h5
sed 's/data.h5/cut.h5/' small.yaml >wrong.yaml
expect 2 train wrong.yaml
says 'cut.h5.json'
cp data.h5.json cut.h5.json
truncate -s -100 cut.h5
expect 6 train wrong.yaml
says 'cut.h5'
cp data.h5 cut.h5
printf 'x' | dd of=cut.h5 bs=1 seek=30000 conv=notrunc status=none
expect 6 train wrong.yaml
says 'cut.h5'
expect 6 data check cut.h5
expect 6 data import idx idx --out few.h5 --classes a,b,c
says 'label'

# --- the command line
expect 2 train
says 'needs EXPERIMENT'
expect 2 train nowhere.yaml
says 'nowhere.yaml'
expect 2 train small.yaml another.yaml
expect 2 trian small.yaml
says "Did you mean \`pawl train\`?"
expect 2 train small.yaml --sed train.seed=2
says "Did you mean '--set'?"
expect 2 train small.yaml --set train.sead=2
says "unknown key 'sead'" "did you mean 'seed'?"
expect 2 train small.yaml --set train.optimizer.sgdd.lr=2
says "sgd"
expect 2 train small.yaml --set train.batch
expect 2 train small.yaml --set train.batch=ten
says 'overridden by --set'
expect 2 train small.yaml --set 'model.layers=[flatten]'
says 'the last layer gives' '  --> --set'
silent 'set:0'
expect 2 train small.yaml --set model.layers.9.conv.filters=2
expect 2 train small.yaml --unset train.nothing
expect 2 train small.yaml --device gpu
says 'gpu'
expect 2 train small.yaml --kill-at-step two
expect 2 train small.yaml --algorithms here.json --no-tune
says 'exclude each other'
for command in train plan; do
    expect 2 $command small.yaml --device cpu --algorithms here.json
    says 'here.json' 'one way'
done
expect 2 train small.yaml --format xml
says 'text or json'
expect 2 train small.yaml --set train.sead=2 --format json
json out
says '"code": "configuration"' "unknown key 'sead'"
expect 2 train --fromat json --format json
json out

# --- a model whose numbers leave the range: it stops, names the way out, and does not start for ever
make_experiment wild.yaml '    - flatten
    - dense: {units: 16}
    - relu
    - dense: {units: 4}'
for start in 1 2 3; do
    expect 8 train wild.yaml --run wild --set train.optimizer.adamw.lr=1e3 --unset train.clip \
        --unset train.checkpoint --set 'train.optimizer={sgd: {lr: 1e3, momentum: 0.99}}'
    says 'not finite at step' 'Lower the learning rate'
done
expect 8 train wild.yaml --run wild --unset train.clip --unset train.checkpoint \
    --set 'train.optimizer={sgd: {lr: 1e3, momentum: 0.99}}'
says 'the last 3 starts made no progress' '--take-over'
grep -q '"kind":"alarm"' wild/log-0001.jsonl || fail "no alarm in the log"
[ -z "$(ls wild/checkpoints)" ] || fail "a checkpoint of a broken state"
