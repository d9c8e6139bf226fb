#!/usr/bin/env bash
# Images under perturbation and attack: a convolutional model, through its own gradients.
source "$(dirname "$0")/lib.bash" "$1"
make_data
make_experiment small.yaml
expect 0 train small.yaml
make_suite hard.yaml 'perturb:
  - {name: noisy, with: {gaussian_noise: 0.1}}
  - {name: blurred, with: {blur: 1}}
  - {name: dark, with: {brightness: {add: -0.1}}}
  - {name: flat, with: {contrast: 0.6}}
  - {name: covered, with: {occlusion: 0.3}}
  - {name: moved, with: {shift: 1}}
  - {name: attacked, with: {fgsm: 0.1}}
  - {name: beaten, with: {pgd: {epsilon: 0.1, steps: 5, step: 0.04}}}
goals: [{id: quality, metric: accuracy, at_least: 0.1}]
guards:
  - {id: noise, metric: accuracy, perturb: noisy, at_least: 0.1}
  - {id: attack, metric: accuracy, perturb: beaten, at_least: 0.99, severity: warn}'
expect 0 eval hard.yaml --model runs/small --out a --threads 1
expect 0 eval hard.yaml --model runs/small --out b --threads 2
[ "$(member a/report.json "['digests']['quality']")" = "$(member b/report.json "['digests']['quality']")" ] ||
    fail 'threads change the quality'
expect 0 gate a --explain noise
says 'under noisy'
python3 - <<'EOT' || fail 'attacks do not weaken the model'
import json
values = json.load(open("a/report.json"))["quality"]["values"]
accuracy = {v["condition"]: v["value"] for v in values
            if v["metric"] == "accuracy" and v["slice"] == "all" and v["subject"] == "candidate"}
assert len(accuracy) == 9, accuracy
assert accuracy["attacked"] < accuracy["clean"] and accuracy["beaten"] < accuracy["clean"], accuracy
EOT
make_suite wrong.yaml 'perturb: [{name: noisy, with: {feature_noise: 0.1}}]
goals: [{id: quality, metric: accuracy, at_least: 0.1}]'
expect 2 eval wrong.yaml --model runs/small
says "'feature_noise' does not change rows like those of" 'wrong.yaml:5:' 'for images: gaussian_noise'
