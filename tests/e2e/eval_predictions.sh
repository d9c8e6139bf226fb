#!/usr/bin/env bash
# Release gates on predictions of any program: formats, joining, what is refused and how, looking ahead.
source "$(dirname "$0")/lib.bash" "$1"

rows() { # rows WRONG N: id, label, three probabilities, age, site; every WRONG-th row is wrong
    perl -e 'my ($wrong, $n) = @ARGV; print "id,label,p_0,p_1,p_2,age,site\n";
        for my $i (0 .. $n - 1) { my $l = $i % 3; my $g = $i % $wrong ? $l : ($l + 1) % 3;
            print join(",", $i, $l, (map { $_ == $g ? "0.8" : "0.1" } 0 .. 2), $i % 50, int($i / 7)), "\n" }' "$1" "$2"
}
rows 10 1500 >good.csv
rows 3 1500 >weak.csv
cat >suite.yaml <<'EOT'
pawl: suite/1
name: alone
goals: [{id: quality, metric: accuracy, at_least: 0.85}]
guards:
  - {id: gain, metric: accuracy, against: baseline, better_by: 0.1}
  - {id: gap, metric: accuracy, gap: [old, rest], at_most: 0.15}
slices: [{name: old, where: {column: age, above: 30}}]
EOT

# --- a verdict without data, model or registry, and again from the stored scores
expect 0 eval suite.yaml --predictions good.csv --baseline-predictions weak.csv --out good
says 'accuracy gap at most 0.1500 between old and rest'
expect 0 gate good --explain gap
says '570 in old, 930 in rest' 'miettinen_nurminen'
expect 3 eval suite.yaml --predictions weak.csv --baseline-predictions good.csv --out weak
expect 2 eval suite.yaml --predictions good.csv
says '--baseline-predictions FILE'
json good/report.json
expect 0 config schema --kind report
json out
if command -v python3 >/dev/null && python3 -c 'import jsonschema' 2>/dev/null; then
    python3 -c 'import json, jsonschema
jsonschema.validate(json.load(open("good/report.json")), json.load(open("out")))' || fail 'the report is not what its schema says'
fi

# --- the same bytes where libm takes other ways; a replay that differs anywhere is exit 6
cat >many.yaml <<'EOT'
pawl: suite/1
name: many
goals: [{id: quality, metric: accuracy, at_least: 0.85}]
guards:
  - {metric: log_loss, at_most: 0.6}
  - {metric: brier, against: baseline, not_worse_by: 2%}
  - {metric: macro_f1, at_least: 0.8}
  - {metric: mcc, at_least: 0.7}
  - {metric: ece, at_most: 0.4}
  - {metric: accuracy, gap: [old, rest], at_most: 0.2}
slices: [{name: old, where: {column: age, above_quantile: 0.6}}]
EOT
expect 0 eval many.yaml --predictions good.csv --baseline-predictions weak.csv --out many
expect 0 gate many --threads 1
cp out usual
for tunables in glibc.cpu.hwcaps=-AVX2,-FMA glibc.cpu.hwcaps=-AVX512F,-AVX2,-FMA,-FMA4,-AVX,-SSE4_2; do
    GLIBC_TUNABLES=$tunables expect 0 gate many
    cmp -s out usual || fail "another decision under $tunables"
done

# --- JSON lines in another order are the same predictions
perl -F, -lane 'if ($. == 1) { @n = @F; next } print "{", join(", ", map { "\"$n[$_]\": $F[$_]" } 0 .. $#n), "}"' good.csv |
    tac >good.jsonl
expect 0 eval suite.yaml --predictions good.jsonl --baseline-predictions weak.csv --out lines
for part in quality verdict; do
    [ "$(member good/report.json "['digests']['$part']")" = "$(member lines/report.json "['digests']['$part']")" ] ||
        fail "$part differs by format"
done

# --- what is not sound: exit 6 with row and reason, and no report
bad() { # bad REASON: bad.csv is refused
    expect 6 eval suite.yaml --predictions bad.csv --baseline-predictions weak.csv --out bad
    says "$1"
    [ ! -e bad ] || fail 'a report of bad predictions'
}
sed '5s/,0,/,7,/' good.csv >bad.csv && bad 'row 3 (line 5)'
sed '9d' good.csv >bad.csv && bad "has row 7, which 'bad.csv' has not"
sed '9s/^7,/6,/' good.csv >bad.csv && bad 'has the id 6, which row 6 (line 8)'
sed '9s/0\.8/0.9/' good.csv >bad.csv && bad 'add up to 1.1, not 1'
head -c 20000 good.csv >bad.csv && bad 'bad.csv'

# --- a column that is not there: exit 2 with its place
sed 's/column: age/column: agee/' suite.yaml >wrong.yaml
expect 2 eval wrong.yaml --predictions good.csv --baseline-predictions weak.csv
says "there is no column 'agee'" 'wrong.yaml:7:' 'columns: age, site'
sed 's/against: baseline/against: majority/' suite.yaml >wrong.yaml
expect 2 eval wrong.yaml --predictions good.csv
says 'predictions alone have none' 'wrong.yaml:5:'

# --- clusters, looking ahead
{ sed '/guards/d; /gain/d; /gap/d' suite.yaml && echo 'cluster: site'; } >clusters.yaml
expect 0 eval clusters.yaml --predictions good.csv --out clusters
expect 0 gate clusters --explain quality
says "in 215 clusters of 'site'"
expect 0 eval suite.yaml --predictions good.csv --plan --assume accuracy=0.9 --assume gain=0.2 --assume gap=0
says 'the whole suite passes with a chance of' 'sees a distance of'
expect 0 eval suite.yaml --predictions good.csv --plan --like good --format json
json out
[ "$(member out "['pawl']")" = forecast/1 ] || fail 'another document'
expect 2 eval suite.yaml --predictions good.csv --plan --assume acuracy=1
says "neither a gate nor a metric 'acuracy'"

# --- above 100,000 rows nothing is drawn row by row for values that no gate asks for; gates draw
perl -e 'print "id,label,p_0,p_1\n"; for my $i (0 .. 100000) { my ($l, $p) = ($i % 2, 0.5 + ($i * 7919 % 4999) / 10000);
    printf "%d,%d,%.4f,%.4f\n", $i, $l, $l ? (1 - $p, $p) : ($p, 1 - $p) }' >large.csv
cat >large.yaml <<'EOT'
pawl: suite/1
name: large
goals: [{id: quality, metric: log_loss, at_most: 0.5}]
EOT
expect 0 eval large.yaml --predictions large.csv --out large
for metric in log_loss:bca:float brier:none:NoneType ece:none:NoneType accuracy:clopper_pearson:float; do
    IFS=: read -r name method low <<<"$metric"
    value="[v for v in d['quality']['values'] if v['metric'] == '$name'][0]"
    found=$(python3 -c "import json; d = json.load(open('large/report.json')); v = $value
print(v['method'], type(v['low']).__name__, type(v['value']).__name__)")
    [ "$found" = "$method $low float" ] || fail "$name is bounded otherwise: $found"
done
expect 0 gate large --threads 1

# --- what predict writes is read here, joined with the suite's data
make_data
make_experiment small.yaml
expect 0 train small.yaml
expect 0 predict runs/small data.h5 --out p.h5
make_suite joined.yaml 'goals: [{id: quality, metric: accuracy, at_least: 0.1}]'
expect 0 eval joined.yaml --predictions p.h5 --out joined
expect 0 eval joined.yaml --model runs/small --out model
[ "$(member joined/report.json "['quality']['gates'][0]['value']")" = "$(member model/report.json "['quality']['gates'][0]['value']")" ] ||
    fail 'predictions are judged otherwise than their model'
expect 0 predict runs/small data.h5 --split validate --out v.h5
expect 6 eval joined.yaml --predictions v.h5
says 'is of other data'
expect 2 eval joined.yaml --predictions p.h5 --model runs/small
