#!/usr/bin/env bash
# verify-resume kills as often as it is asked to, however few starts reach a checkpoint, and takes
# away only what it made.
source "$(dirname "$0")/lib.bash" "$1"
cp "$here"/../../configs/data/wine.h5* .
cat >table.yaml <<EOT
pawl: experiment/1
name: table
data: {file: wine.h5}
model: {layers: [{dense: {units: 16}}, relu, {dense: {units: 3}}]}
train: {epochs: 40, batch: 16, optimizer: {adamw: {lr: 5e-3}}, schedule: constant, precision: f32}
EOT
mkdir mine && touch mine/kept
expect 0 verify-resume table.yaml --kills 8 --dir mine
says 'resuming is exact' 'killed 8 times'
[ "$(ls mine)" = kept ] || fail 'the folder is not as it was'
expect 0 verify-resume table.yaml --kills 1 --dir own
[ ! -e own ] || fail 'its own folder stayed'

# --- in f16, through overflows and growth of the loss scale
expect 0 verify-resume table.yaml --kills 2 --device ref --set train.epochs=5 --set train.precision=f16 \
    --set 'train.loss_scale={dynamic: {start: 8388608, growth_every: 4}}'
says 'resuming is exact' 'killed 2 times'
