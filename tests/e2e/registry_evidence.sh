#!/usr/bin/env bash
# Documents and score through the binary: what `registry add`, `eval` and `promote` leave for readers
# who do not know pawl.
source "$(dirname "$0")/lib.bash" "$1"
export PAWL_ACTOR=ana

# json_of CODE ARGS...: `pawl ARGS --format json` prints one document and nothing else
json_of() {
    local code=$1
    shift
    expect "$code" "$@" --format json
    json out
}

make_data
make_experiment small.yaml
expect 0 train small.yaml --quiet
expect 0 registry init registry
export PAWL_REGISTRY=registry
make_suite pass.yaml 'goals:
  - {id: quality, metric: accuracy, at_least: 0.6}
guards:
  - {metric: accuracy, against: majority, better_by: 0}'
cat >card.yaml <<'END'
pawl: card/1
summary: Tells kinds apart.
license: mit
tests: [{test: D2, evidence: docs/ablation.md, by: ana}]
END
sed 's/license/licence/' card.yaml >typo.yaml
expect 2 registry add runs/small --as small --card typo.yaml
says "licence"
expect 0 config check card.yaml
expect 0 registry add runs/small --as small --card card.yaml
says 'there is no model.sig; --key FILE makes it'
expect 0 registry evidence small@1
says 'provenance' 'ml-bom' 'README.md' 'unsigned'
silent 'report.json' 'model.sig'
expect 0 eval pass.yaml --model small@1
json_of 0 registry evidence small@1
expect 0 registry evidence small@1 --out evidence --with-model
says 'report.json' 'test-result'
for file in README.md card.json mlbom.cdx.json provenance.intoto.json model/model.safetensors \
    report-1/report.json report-1/scores.h5 report-1/test-result.intoto.json; do
    [ -s "evidence/$file" ] || fail "evidence/$file is missing"
done
expect 7 registry evidence small@1 --out evidence
expect 2 registry evidence small@1 --with-model
expect 2 registry evidence small@2

# the card says what the report says, bit for bit, and what people say
python3 - <<'END' || fail "the card and the report differ"
import glob, json, re
card = open("evidence/README.md").read()
report = json.load(open("evidence/report-1/report.json"))
want = [v["value"] for v in report["quality"]["values"]
        if v["subject"] == "candidate" and v["slice"] == "all"]
got = [float(x) for x in re.findall(r"^      value: (.*)$", card, re.M)]
assert got and got == want, (got, want)
assert "Tells kinds apart." in card and 'license: "mit"' in card
manifest = json.load(open("runs/small/manifest.json"))
provenance = json.load(open("evidence/provenance.intoto.json"))["predicate"]
assert provenance["buildDefinition"]["externalParameters"]["config"] == manifest["config"]
digests = [d["digest"].get("sha256") for d in provenance["buildDefinition"]["resolvedDependencies"]]
assert manifest["data"]["digest"][7:] in digests and manifest["binary"][7:] in digests
END

# --- a registry without keys: --key of `registry add` signs the documents and no entry
expect 0 registry key new --out maker.key
expect 0 registry add runs/small --as signed --card card.yaml --key maker.key
silent 'no model.sig'
expect 0 registry evidence signed@1 --out signed --with-model
says 'model.sig'
key=$(openssl pkey -in maker.key -pubout 2>/dev/null)
KEY=$key python3 - <<'END' || fail "model.sig does not verify with openssl"
import base64, hashlib, json, os, subprocess
bundle = json.load(open("signed/model/model.sig"))
envelope = bundle["dsseEnvelope"]
payload = base64.b64decode(envelope["payload"])
kind = envelope["payloadType"].encode()
open("pae", "wb").write(b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload))
open("sig", "wb").write(base64.b64decode(envelope["signatures"][0]["sig"]))
open("public.pem", "w").write(os.environ["KEY"] + "\n")
subprocess.run(["openssl", "dgst", "-sha256", "-verify", "public.pem", "-signature", "sig", "pae"],
               check=True, stdout=subprocess.DEVNULL)
for row in json.loads(payload)["predicate"]["resources"]:
    got = hashlib.sha256(open("signed/model/" + row["name"], "rb").read()).hexdigest()
    assert got == row["digest"], row
END
grep -q '"signature"' registry/journal/000/*.json && fail "an entry of an open registry is signed"

# --- the score
expect 0 score small@1
says 'small@1: score' 'by hand: docs/ablation.md' "Roll a channel back once"
json_of 0 score small@1
[ "$(member out "['tests'].__len__()")" = 28 ] || fail "not 28 tests"
expect 3 score small@1 --at-least 7
says 'below 7'
expect 0 score small@1 --at-least 0
expect 2 score small@1 --at-least much
expect 2 score small@2
expect 0 score runs/small
says 'runs/small: score 0'
expect 0 registry verify
says 'sound'
