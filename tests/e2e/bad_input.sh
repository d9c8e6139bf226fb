#!/usr/bin/env bash
# Bad input beyond training: damaged registries, reports and datasets, files that are something else,
# mistyped words. Each gets its exit code and a text that names place and reason; nothing is lost.
source "$(dirname "$0")/lib.bash" "$1"
export PAWL_ACTOR=ana
make_data
make_experiment small.yaml
make_suite pass.yaml 'goals:
  - {id: quality, metric: accuracy, at_least: 0.6, why: the belt needs it}'
make_suite other.yaml 'goals:
  - {id: quality, metric: accuracy, at_least: 0.61}'
expect 0 train small.yaml --quiet
expect 0 registry init registry
export PAWL_REGISTRY=registry
expect 0 registry add runs/small
expect 0 eval pass.yaml --model small@1 --out report
expect 0 eval other.yaml --model small@1 --out other
expect 0 promote small@1 staging --reason first
expect 0 deploy small@staging live

# flip FILE AT: turns one bit of the byte at AT
flip() {
    chmod u+w "$1"
    perl -e 'open(my $f, "+<:raw", $ARGV[0]) or die; seek($f, $ARGV[1], 0); read($f, my $c, 1);
             seek($f, $ARGV[1], 0); print $f chr(ord($c) ^ 1)' "$1" "$2"
}
# fresh: a copy of the registry to be damaged
fresh() { chmod -R u+w r 2>/dev/null || true; rm -rf r && cp -a registry r; }
entry() { printf 'r/journal/000/%010d.json' "$1"; }

# --- a registry that is not there, or is something else
golden registry-mistyped 2 registry list --registry registri
golden registry-none 2 registry list --registry idx
golden registry-file 2 registry list --registry data.h5
golden registry-unnamed 2 registry list --registry ''
for command in 'add runs/small' 'show small@1' history verify; do
    # shellcheck disable=SC2086
    expect 2 registry $command --registry registri
    says "Did you mean 'registry'?"
done
[ ! -e registri ] || fail "a registry was made by accident"
for command in 'eval pass.yaml --model small@1' 'promote small@1 staging --reason x' 'deploy small@1 there' \
    'predict small@1 data.h5 --out p.h5'; do
    # shellcheck disable=SC2086
    expect 2 $command --registry registri
    says "cannot open registry 'registri'"
done
[ ! -e there ] && [ ! -e p.h5 ] || fail "something was begun"

# --- a journal that was touched: every reader stops at it, verify says all
fresh && flip "$(entry 3)" 100
for command in list history 'show small@1' verify; do
    # shellcheck disable=SC2086
    expect 6 registry $command --registry r
    says 'r/journal/000/0000000003.json'
done
golden journal-damaged 6 registry list --registry r
golden journal-damaged-verify 6 registry verify --registry r
expect 6 registry verify --registry r --format json
json out
expect 6 promote small@1 staging --reason x --registry r
expect 6 eval pass.yaml --model small@1 --registry r --out never
expect 6 release small.yaml --set eval.suite=pass.yaml --registry r
says 'r/journal/000/0000000003.json'
[ ! -e never ] || fail "a report was made"
fresh && rm -f "$(entry 3)"
golden journal-gap 6 registry list --registry r
expect 6 registry verify --registry r
last=$(ls registry/journal/000 | wc -l)
fresh && rm -f "$(entry "$last")"
golden journal-cut 6 registry history --registry r
expect 6 registry verify --registry r
says 'lost entries'
expect 5 deploy small@1 live --registry r
says 'it is older than at the last deployment'
fresh && cp "$(entry 4)" x && chmod u+w "$(entry 4)" && sed 's/"ana"/"bob"/' x >"$(entry 4)"
expect 6 registry verify --registry r
says 'do not have the digest'
fresh && cp -a registry/journal/000/0000000004.json "r/journal/000/0000000004.json.bak"
expect 6 registry list --registry r
says "'000/0000000004.json.bak' is no entry"
# a copied journal of another registry is not this one's
expect 0 registry init another
fresh && cp -f another/journal/000/0000000001.json "$(entry 1)"
expect 6 registry list --registry r
fresh && flip r/registry.json 30
golden registry-json-damaged 6 registry list --registry r
rm -f r/registry.json
golden registry-json-missing 2 registry list --registry r
expect 0 registry init r
expect 0 registry verify --registry r

# --- content that was touched
weights=$("$pawl" registry show small@1 --format json | python3 -c 'import json, sys
print([f["digest"][7:] for f in json.load(sys.stdin)["files"] if f["name"] == "model.safetensors"][0])')
fresh && flip "r/store/sha256/$weights" 900
golden content-damaged 6 registry verify --registry r
for command in 'eval pass.yaml --model small@1 --out never' 'deploy small@1 there' 'predict small@1 data.h5 --out p.h5'; do
    # shellcheck disable=SC2086
    expect 6 $command --registry r
    says "$weights" 'is damaged'
done
[ ! -e never ] && [ ! -e there/current ] && [ ! -e p.h5 ] || fail "something was made of damaged weights"
fresh && rm -f "r/store/sha256/$weights" && rm -f r/models/small/blobs/sha256/"$weights"
expect 6 registry verify --registry r
says "$weights"

# --- what is deployed was touched
cp -a live hurt
flip "hurt/current/model.json" 20
expect 6 deploy --status hurt
says 'model.json'
expect 6 deploy small@staging hurt
says 'It is in use'
mkdir nothing && : >nothing/file
golden status-nothing 2 deploy --status nothing
mkdir taken && : >taken/current
expect 2 deploy small@1 taken
says "'current' is not a link to a bundle"

# --- a report that was touched
broken() { rm -rf x && cp -r report x; }
broken && sed -i 's/"at_least"/"at_most"/' x/report.json
expect 6 gate x
broken && python3 - <<'END'
import json
report = json.load(open("x/report.json"))
report["verdict"]["result"] = "fail"
json.dump(report, open("x/report.json", "w"))
END
golden report-edited 6 gate x
broken && truncate -s -100 x/scores.h5
golden report-scores-cut 6 gate x
broken && rm x/scores.h5
golden report-scores-missing 6 gate x
broken && : >x/report.json
expect 6 gate x
broken && cp other/scores.h5 x/ && cmp -s other/scores.h5 report/scores.h5 || true
expect 0 registry add runs/small --as twin
make_experiment second.yaml
expect 0 train second.yaml --run runs/second --set train.seed=5 --quiet
expect 0 eval pass.yaml --model runs/second --out second
broken && cp second/scores.h5 x/
golden report-scores-swapped 6 gate x
expect 6 gate report --suite other.yaml
expect 6 gate report --model runs/second
for at in 600 3000 5000 7000; do
    broken && flip x/scores.h5 "$at"
    expect 6 gate x
done
golden report-none 2 gate nowhere
expect 2 gate idx
expect 6 gate data.h5
says "'data.h5'"

# --- a run, a checkpoint, a suite that were touched
cp -a runs/small hurt-run
flip "$(ls -d hurt-run/checkpoints/*/ | tail -n 1)state.h5" 5000
expect 6 registry add hurt-run --as hurt
says 'state.h5'
expect 6 eval pass.yaml --model hurt-run
expect 2 registry list hurt
expect 2 registry add idx --as hurt
says "no run, checkpoint or bundle is there"
expect 2 registry add nowhere
expect 2 registry add runs/small --as Fashion
says "'Fashion'"
sed 's/accuracy/acuracy/' pass.yaml >wrong.yaml
golden suite-unknown-metric 2 eval wrong.yaml --model small@1
sed 's/split: test/split: tset/' pass.yaml >wrong.yaml
golden suite-unknown-split 2 eval wrong.yaml --model small@1
sed 's/data.h5/other.h5/' pass.yaml >wrong.yaml
golden suite-no-data 2 eval wrong.yaml --model small@1
expect 2 release small.yaml --set eval.suite=wrong.yaml --set registry.path=registry --run runs/never
says "'other.h5'"
[ ! -e runs/never ] || fail "it was trained before it was looked ahead"

# --- data of another shape, and labels that the model does not know
perl -e 'my ($from, $to) = @ARGV; local $/; open(my $f, "<:raw", $from) or die; my $b = <$f>;
         substr($b, 20, 1) = chr(6); open(my $o, ">:raw", $to) or die; print $o $b' \
    idx/t10k-labels-idx1-ubyte labels
cp -r idx idx7 && cp labels idx7/t10k-labels-idx1-ubyte
expect 0 data import idx idx7 --out seven.h5 --validate 60
sed 's/data.h5/seven.h5/' pass.yaml >seven.yaml
golden eval-other-classes 2 eval seven.yaml --model small@1 --out never
printf 'a,b,y\n' >table.csv
for i in $(seq 1 60); do echo "$i,$((i * 7 % 11)),$((i % 2))"; done >>table.csv
expect 0 data import csv table.csv --target y --out table.h5 --test 20
sed 's/data.h5/table.h5/' pass.yaml >table.yaml
golden eval-other-shape 2 eval table.yaml --model small@1 --out never
expect 2 predict small@1 table.h5 --out p.h5
[ ! -e never ] && [ ! -e p.h5 ] || fail "something was made"

# --- IDX files
idx() { rm -rf bad && cp -r idx bad; }
idx && truncate -s -10 bad/train-images-idx3-ubyte
golden idx-cut 6 data import idx bad --out b.h5
idx && printf 'P5 8 8' | dd of=bad/train-images-idx3-ubyte conv=notrunc status=none
golden idx-magic 6 data import idx bad --out b.h5
idx && make_idx bad 400 && cp idx/train-labels-idx1-ubyte bad/
golden idx-counts 6 data import idx bad --out b.h5
golden idx-classes 6 data import idx idx --out b.h5 --classes a,b
idx && : >bad/train-labels-idx1-ubyte
expect 6 data import idx bad --out b.h5
idx && rm bad/train-labels-idx1-ubyte
golden idx-missing 2 data import idx bad --out b.h5
idx && rm bad/train-labels-idx1-ubyte && mkfifo bad/train-labels-idx1-ubyte
expect 2 data import idx bad --out b.h5
says 'it is not a regular file'
mkdir empty
expect 2 data import idx empty --out b.h5
expect 2 data import idx idx --out b.h5 --validate 600
[ ! -e b.h5 ] && [ ! -e b.h5.json ] || fail "something was imported"

# --- tables
# table NAME TEXT: importing this text ends with 6 and says what the golden text NAME holds
table() {
    printf "$2" >t.csv
    golden "$1" 6 data import csv t.csv --target y --out t.h5
}
table csv-text 'a,b,y\n1,2,0\n1,x,1\n'
table csv-short 'a,b,y\n1,2,0\n1,1\n'
table csv-long 'a,b,y\n1,2,0\n1,1,1,1\n'
table csv-missing 'a,b,y\n1,,0\n'
table csv-quotes 'a,b,y\n1,"2,0\n'
table csv-not-utf8 'a,b,y\n1,\xff\033[31m,0\n'
table csv-no-rows 'a,b,y\n'
table csv-empty ''
golden csv-no-target 2 data import csv table.csv --target z --out t.h5
mkfifo fifo
expect 2 data import csv fifo --target y --out t.h5
says 'it is not a regular file'
expect 2 data import csv . --target y --out t.h5
expect 2 data info fifo
expect 2 data check small.yaml
expect 2 data info nowhere.h5
[ ! -e t.h5 ] || fail "something was imported"
cp data.h5 cut.h5 && cp data.h5.json cut.h5.json && flip cut.h5 20000
golden data-damaged 6 data check cut.h5
sed 's/data.h5/cut.h5/' pass.yaml >cut.yaml
expect 6 eval cut.yaml --model small@1 --out never
says 'cut.h5'
[ ! -e never ] || fail "a report about damaged data"
cp data.h5 cut.h5 && truncate -s -9 cut.h5
golden data-cut 6 data info cut.h5

# --- words
golden command-unknown 2 promot small@1 staging
golden command-family 2 registry
golden command-none 2 registry hsitory
golden option-unknown 2 eval pass.yaml --modle small@1
golden option-missing 2 eval pass.yaml
golden option-no-value 2 eval pass.yaml --model --format json
golden option-twice 2 eval pass.yaml --model a --model b
golden argument-missing 2 promote small@1
golden argument-more 2 registry show small@1 small@2
golden reason-missing 2 promote small@1 staging
golden channel-name 2 promote small@1 7 --reason x
golden format-unknown 2 registry list --format yaml
golden ref-malformed 2 eval pass.yaml --model small@
golden ref-path 2 eval pass.yaml --model runs/smal
golden ref-no-version 2 registry show small@9
expect 2 registry list $'sm\xff' --format json
json out
says 'not UTF-8'
expect 0 promote small@1 staging --reason $'a\nb\033[31m'
expect 0 registry history
grep -q $'\033' out && fail "an escape sequence reaches the terminal"
! "$pawl" registry list >/dev/full 2>err || fail "a full standard output is no failure"
says 'cannot write to standard output'

# --- permissions
if [ "$(id -u)" = 0 ]; then
    echo "running as root: files without permission are skipped"
else
    fresh && chmod 000 "$(entry 3)"
    expect 1 registry list --registry r
    says 'ermission denied'
    mkdir closed && chmod 500 closed
    expect 1 data import idx idx --out closed/b.h5
    says 'ermission denied'
    expect 1 deploy small@1 closed/there
fi
expect 0 registry verify
