#!/usr/bin/env bash
# A report counts for a second time only under a bar that the registry sealed. Baselines that are not
# there are mistakes unless the suite names a channel that nobody has moved yet.
source "$(dirname "$0")/lib.bash" "$1"
make_data
make_experiment small.yaml
cat >>small.yaml <<'EOT'
eval: {suite: suite.yaml}
registry: {path: registry, model: small, channel: staging}
EOT
cat >suite.yaml <<'EOT'
pawl: suite/1
name: bar
data: {file: data.h5, split: validate}
alpha: 0.05
first: pass
goals:
  - {id: quality, metric: accuracy, at_least: 0.1, why: the test}
guards:
  - {metric: accuracy, against: small@production, not_worse_by: 0.5}
EOT
expect 0 registry init registry

# --- a report without a seal, of weights that are no version yet, does not stand in for a sealed one
expect 0 train small.yaml
expect 0 registry add runs/small --as small --registry registry
expect 0 eval suite.yaml --model runs/small --registry registry
expect 0 release small.yaml
grep -q '^eval *done' out || fail 'an unsealed report was taken'
expect 0 registry history --registry registry
says seal look
expect 0 release small.yaml
grep -q '^eval *skipped' out || fail 'a sealed report was not taken'

# --- baselines that are not there
for name in small@9 small@sha256:$(printf '0%.0s' {1..64}); do
    sed "s/small@production/$name/" suite.yaml >wrong.yaml
    expect 2 eval wrong.yaml --model small@1 --registry registry
    silent 'no baseline yet'
done
sed 's/small@production/baseline/' suite.yaml >named.yaml
expect 2 eval named.yaml --model small@1 --registry registry --baseline small@canary
says 'canary'
expect 2 eval suite.yaml --model runs/small --registry nowhere
says 'nowhere'
sed 's/small@production/small@canary/' suite.yaml >first.yaml
expect 0 eval first.yaml --model small@1 --registry registry
says 'no baseline yet'

# --- a place that is taken costs no look
mkdir taken
"$pawl" registry history --registry registry | wc -l >before
expect 7 eval suite.yaml --model small@1 --registry registry --out taken
"$pawl" registry history --registry registry | wc -l >after
cmp -s before after || fail 'a look was written down for nothing'

# --- the linear baseline of data in a folder whose name needs quotes in YAML
mkdir "it's here" && cp data.h5 data.h5.json "it's here"
sed "s/small@production/linear/; s/better_by/not_worse_by/; s|{file: data.h5, split: validate}|{file: \"it's here/data.h5\", split: validate, train_split: train}|" \
    suite.yaml >linear.yaml
expect 4 eval linear.yaml --model runs/small # too few rows to decide
