#!/usr/bin/env bash
# Every command: its help with an example, its output as JSON, its man page and completion; then the
# whole way from data to a deployed bundle, with every step's JSON parsed.
source "$(dirname "$0")/lib.bash" "$1"

# --- help, of all and of each
expect 0
says 'Usage: pawl COMMAND'
expect 0 --help
expect 0 --version
expect 2 nonsense
says "unknown command 'nonsense'" 'pawl --help'
expect 2 regstry list
says 'Did you mean `pawl registry list`?'
"$pawl" --help | sed -n 's/^  \([a-z-]*\( [a-z-]*\)*\)  .*/\1/p' >names
[ "$(wc -l <names)" -ge 30 ] || fail "only $(wc -l <names) commands"
while read -r name; do
    # shellcheck disable=SC2086
    expect 0 $name --help
    says "Usage: pawl $name" 'Options:' '--format' "Example:" "  pawl ${name%% *}"
    # shellcheck disable=SC2086
    expect 2 $name --no-such-option --format json
    json out
    says "unknown option '--no-such-option' of \`pawl $name\`"
done <names

# --- man page and completion
expect 0 man
if command -v man >/dev/null && command -v groff >/dev/null; then
    man --warnings -l out >page 2>err || fail "man cannot read the page"
    [ ! -s err ] || fail "man warns"
    while read -r name; do grep -q "pawl $name" page || fail "the man page lacks '$name'"; done <names
fi
expect 0 completion
cp out completion.bash
# what completion offers for a line whose last word is being typed
offers() {
    bash -c 'source ./completion.bash; COMP_WORDS=(pawl "$@"); COMP_CWORD=$#; _pawl; printf "%s\n" "${COMPREPLY[@]}"' \
        bash "$@"
}
# whether a line offers a word; through a file, since grep -q in a pipe may leave its writer a SIGPIPE
offered() {
    local word=$1
    shift
    offers "$@" >offers.txt
    grep -qx -- "$word" offers.txt || fail "completion of '$*' does not offer '$word'"
}
offered registry ''
offered train tr
[ "$(offers registry 'ver')" = verify ] || fail "completion does not offer 'registry verify'"
[ "$(offers data import '' | sort | tr '\n' ' ')" = 'csv idx ' ] || fail "completion of 'data import'"
offered --time-limit train --ti
offered --as registry add --as
: >an-experiment.yaml
offered an-experiment.yaml train an-ex

# --- the whole way
make_data
make_experiment small.yaml
cat >suite.yaml <<'EOF'
pawl: suite/1
name: small
data: {file: data.h5, split: test, train_split: train}
alpha: 0.05
goals:
  - {id: quality, metric: accuracy, at_least: 0.6, why: it must be of use}
EOF
cat >>small.yaml <<'EOF'
eval: {suite: suite.yaml}
registry: {path: registry, model: small, channel: staging}
deploy: {path: deploy}
EOF
step() {
    local want=$1
    shift
    expect "$want" "$@" --format json
    json out
    grep -q '"pawl": "[a-z-]*/[0-9]*"' out || [ "$1 $2" = 'config schema' ] || fail "no kind"
}
step 0 data info data.h5
step 0 data check data.h5
step 0 data import idx idx --out data.h5 --validate 120 --classes a,b,c,d
step 0 plan small.yaml
step 0 config check small.yaml
step 0 config check suite.yaml
step 0 config render small.yaml
step 0 config explain train.batch
step 0 config schema
step 0 config schema --kind suite
step 0 doctor
step 0 man
step 0 completion
step 0 train small.yaml
step 0 train small.yaml
says '"already_done": true'
step 0 runs list
says '"state": "done"'
step 0 runs show runs/small
step 2 train nowhere.yaml
step 2 train small.yaml --set train.seed=x
step 2 registry list
step 0 registry init registry
export PAWL_REGISTRY=registry
step 7 registry init registry
step 0 registry add runs/small --as small
step 0 registry list
step 0 registry show small@1
step 0 registry resolve small@1
step 5 promote small@1 staging --reason 'no report yet'
step 0 eval suite.yaml --model small@1
report=$(echo reports/*)
step 0 gate "$report"
step 0 predict small@1 data.h5 --out predictions.h5
step 0 promote small@1 staging --reason 'it passed'
step 0 registry history small
step 0 registry verify
step 0 deploy small@staging deployed
step 0 deploy --status deployed
step 0 train small.yaml --run runs/other --set train.seed=2
step 0 registry add runs/other --as small
step 0 eval suite.yaml --model small@2
step 0 promote small@2 staging --reason 'another seed'
step 0 rollback small staging --reason 'it was better before'
sed 's/at_least: 0.6/at_least: 0.999/' suite.yaml >high.yaml
step 3 eval high.yaml --model runs/small --out reports/high
says '"pawl": "report/1"'
step 3 gate reports/high
unset PAWL_REGISTRY
rm -rf registry runs reports
step 2 release small.yaml --reason test
says 'registry'
expect 0 registry init registry
step 0 release small.yaml --reason test
step 0 release small.yaml --reason test
