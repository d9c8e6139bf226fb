#!/usr/bin/env bash
# An MLflow file store taken over: the files are written as MLflow 2.22 writes them (compared with the
# package mlflow-skinny 2.22.5 once, by hand).
source "$(dirname "$0")/lib.bash" "$1"
export PAWL_ACTOR=ana

make_data
make_experiment small.yaml
expect 0 train small.yaml --quiet
expect 0 registry init made
expect 0 registry add runs/small --as small --registry made
expect 0 registry evidence small@1 --registry made --out evidence --with-model
rm -rf runs

run=418ed2f217704925b43d4a4d5e3dabe9
exp=mlruns/638952288569093021
mkdir -p "$exp/$run"/{params/layer,metrics/val,tags,artifacts/pickled} mlruns/.trash \
    'mlruns/models/Cloth Sorter'/version-{1,2,3}
cp -r evidence/model "$exp/$run/artifacts/model"
mkdir "$exp/$run/artifacts/bare" && cp evidence/model/model.safetensors "$exp/$run/artifacts/bare"
printf '\200\004pickle' >"$exp/$run/artifacts/pickled/x.pkl"
printf "artifact_location: file:///x/mlruns/1\nexperiment_id: '1'\nlifecycle_stage: active\nname: Cloth sorting\n" \
    >"$exp/meta.yaml"
cat >"$exp/$run/meta.yaml" <<END
artifact_uri: file:///x/$exp/$run/artifacts
end_time: 1795571380011
entry_point_name: ''
lifecycle_stage: active
run_id: $run
run_name: First Try!
start_time: 1795571379956
status: 3
tags: []
user_id: ana
END
printf 0.01 >"$exp/$run/params/lr"
printf 128 >"$exp/$run/params/layer/units"
printf '1795571379981 0.5 0\n1795571379982 0.75 1\n' >"$exp/$run/metrics/accuracy"
printf '1795571379995 0.25 1\n' >"$exp/$run/metrics/val/loss"
printf 'aliases: {}\nname: Cloth Sorter\n' >'mlruns/models/Cloth Sorter/meta.yaml'
for v in 1:model 2:pickled 3:bare; do
    printf 'name: Cloth Sorter\nrun_id: %s\nsource: runs:/%s/%s\nversion: %s\n' \
        $run $run "${v#*:}" "${v%:*}" >"mlruns/models/Cloth Sorter/version-${v%:*}/meta.yaml"
done

before=$(find mlruns -type f -exec sha256sum {} + | sort | sha256sum)
expect 0 registry import-mlflow mlruns
says 'runs/first-try--418ed2f2'
silent 'version '
expect 0 registry init registry
expect 0 registry import-mlflow mlruns --registry registry
says 'was there already' 'Cloth Sorter version 1: cloth-sorter@1' 'version 2: foreign' \
    'version 3: foreign: its weights have no model.json'
expect 0 registry import-mlflow mlruns --registry registry --format json
json out
[ "$(member out "['versions'][0]['existed']")" = True ] || fail "not idempotent"
[ "$(ls runs)" = first-try--418ed2f2 ] || fail "runs: $(ls runs)"
[ "$before" = "$(find mlruns -type f -exec sha256sum {} + | sort | sha256sum)" ] || fail "the store was changed"

# the run can be looked at, and says what it holds that nobody took in
expect 0 runs list
says 'first-try--418ed2f2' 'accuracy 0.7500'
expect 0 runs show runs/first-try--418ed2f2
says 'accuracy 0.75  val/loss 0.25'
[ "$(member runs/first-try--418ed2f2/manifest.json "['config']['params']['layer/units']")" = 128 ] || fail "params"
member runs/first-try--418ed2f2/manifest.json "['mlflow']['artifacts']" >artifacts
grep -q pickled/x.pkl artifacts || fail "the pickle is not named"

# the version is one like any other: the same weights as before, evaluated and verified
[ "$(member registry/journal/000/0000000002.json "['body']['model_digest']")" = \
    "$(member made/journal/000/0000000002.json "['body']['model_digest']")" ] || fail "other weights"
expect 0 registry show cloth-sorter@1 --registry registry
says 'from MLflow: Cloth Sorter version 1'
make_suite pass.yaml 'goals:
  - {id: quality, metric: accuracy, at_least: 0.6}'
expect 0 eval pass.yaml --model cloth-sorter@1 --registry registry
expect 0 registry verify --registry registry
says 'sound'

# what is wrong costs itself alone
ln -s /etc/passwd "$exp/$run/params/secret"
rm -rf runs
expect 6 registry import-mlflow mlruns --registry registry
says "params/secret" 'link' 'the rest was taken over' 'runs/first-try--418ed2f2'
expect 2 registry import-mlflow nowhere --registry registry
expect 6 registry import-mlflow evidence --registry registry
