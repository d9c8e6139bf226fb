#!/usr/bin/env bash
# A registry with keys, as people use it: persons make keys and sign a policy, a candidate goes from
# training to production under it, and every refusal names the command that helps. Signatures are
# verified by openssl from the files alone.
source "$(dirname "$0")/lib.bash" "$1"
unset PAWL_KEY PAWL_PASSPHRASE_FILE PAWL_REGISTRY_ID
export PAWL_ACTOR=tester

# public NAME: the line that goes into a policy
public() { "$pawl" registry key show "$1.key" --format json ${2:+--passphrase-file "$2"} >k.json && member k.json "['key']"; }
id_of() { "$pawl" registry key show "$1.key" --format json ${2:+--passphrase-file "$2"} >k.json && member k.json "['id']"; }

# --- keys: for their owner alone, with a passphrase from a file or a terminal, never shown
echo 'correct horse' >horse
for name in ada grace; do expect 0 registry key new --out $name.key; done
says 'has no passphrase'
expect 0 registry key new --out linus.key --passphrase-file horse
silent 'correct horse'
[ "$(stat -c %a ada.key)" = 600 ] || fail 'others may read the key'
expect 7 registry key new --out ada.key
expect 5 registry key show linus.key
says 'needs a passphrase' '--passphrase-file'
python3 - "$pawl" <<'PY' || fail 'a terminal'
import os, pty, sys
def run(args, answers):
    child, tty = pty.fork()
    if child == 0:
        os.execv(args[0], args)
    out = b""
    for answer in answers:
        while not out.endswith(b": "):
            out += os.read(tty, 1)
        os.write(tty, answer + b"\n")
        out = b""
    shown = b""
    try:
        while chunk := os.read(tty, 1000):
            shown += chunk
    except OSError:
        pass
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), shown
key = [sys.argv[1], "registry", "key"]
code, shown = run(key + ["show", "linus.key"], [b"correct horse"])
assert code == 0 and b"sha256:" in shown and b"correct" not in shown, (code, shown)
assert run(key + ["show", "linus.key"], [b"wrong horse"])[0] == 5
assert run(key + ["show", "linus.key"], [b"\x03"])[0] == 75
assert run(key + ["new", "--out", "t.key"], [b"one", b"two"])[0] == 2 and not os.path.exists("t.key")
code, shown = run(key + ["new", "--out", "t.key"], [b"same", b"same"])
assert code == 0 and b"same" not in shown.replace(b"the same again", b""), shown
PY
grep -q ENCRYPTED t.key || fail 'the key is not encrypted'

# --- a policy, signed by two of three before there is a registry
cat >policy.yaml <<EOT
pawl: policy/1
name: release
signatures: 2
keys:
  - {person: ada, roles: [trainer, evaluator, releaser, policy], key: $(public ada)}
  - {person: grace, roles: [approver, policy], key: $(public grace)}
  - {person: linus, roles: [approver, policy], key: $(public linus horse)}
channels:
  - {name: staging, waive: [verdict]}
  - {name: production, after: [staging], approvals: {approver: 2}}
EOT
expect 0 config check policy.yaml
expect 5 registry init registry --policy policy.yaml --key ada.key
says '1 of 2 persons' 'policy sign'
[ ! -e registry ] || fail 'a refused init leaves a folder'
expect 0 registry policy sign policy.yaml --init --key grace.key --out grace.sig
expect 0 registry init registry --policy policy.yaml --key ada.key --with grace.sig
silent 'integrity only'
export PAWL_REGISTRY=registry
id=$(python3 -c 'import json; print(json.load(open("registry/registry.json"))["id"])')
expect 0 registry key list
says "$(id_of linus horse)" 'linus' 'approver, policy'

# --- the id is pinned
expect 0 registry list --registry-id "$id"
PAWL_REGISTRY_ID=$id expect 0 registry verify
expect 5 registry list --registry-id "sha256:$(printf '0%.0s' {1..64})"
says 'not the expected'
PAWL_REGISTRY_ID="sha256:$(printf '0%.0s' {1..64})" expect 5 registry verify
expect 2 registry list --registry-id 7

# --- a candidate on its way
make_data
make_experiment small.yaml
make_suite suite.yaml 'goals:
  - {id: quality, metric: accuracy, at_least: 0.1}
  - {id: beyond, metric: accuracy, at_least: 0.9999}'
expect 0 train small.yaml
expect 5 registry add runs/small --as small
says 'not signed' '--key FILE or PAWL_KEY' 'role trainer (ada)'
expect 5 registry add runs/small --as small --key grace.key
expect 0 registry add runs/small --as small --key ada.key
expect 5 registry approve small@1 --for production --key grace.key --reason 'too early'
says 'pawl eval SUITE --model small@1'
expect 5 eval suite.yaml --model small@1
says "cannot write a 'seal' entry"
PAWL_KEY=ada.key expect 3 eval suite.yaml --model small@1
export PAWL_KEY=ada.key
expect 5 promote small@1 canary --reason try
says 'the policy does not name this channel, only staging, production' 'policy set'
expect 5 promote small@1 production --reason try
says 'rule after: it was never on staging' 'pawl promote small@1 staging --reason TEXT'
expect 5 promote small@1 staging --reason try
says "its newest report is 'fail'"

# --- a waiver, for one gate and one channel; the report stays as it is
waive() { expect "$1" registry waive small@1 --for "$2" --key grace.key --reason 'this once' "${@:3}"; }
waive 2 staging --gate beyond
says 'when it expires'
waive 2 staging --rule verdict --expires 1d
waive 5 production --gate beyond --expires 1d
says 'lets nobody waive rule verdict'
waive 5 staging --gate quality --expires 1d
says 'no gate of that name'
waive 0 staging --gate beyond --expires 1d
expect 0 promote small@1 staging --reason 'waived'
expect 0 registry show small@1
says 'fail'
sed -i '/beyond/d' suite.yaml
expect 0 eval suite.yaml --model small@1
says 'sealed 2 times, under 2 bars'
expect 5 promote small@1 production --reason try
says '0 of 2 persons with the role approver' 'pawl registry approve small@1 --for production'
expect 5 registry approve small@1 --for production --reason mine
expect 0 registry approve small@1 --for production --key grace.key --reason 'looked at it' --from none --format json
json out
expect 0 registry approve small@1 --for production --key grace.key --reason 'looked at it' --from none
says 'said before'
expect 0 registry approve small@1 --for production --key linus.key --passphrase-file horse --reason 'me too' --expires 1d
expect 2 registry approve small@1 --for production --key grace.key --reason late --expires 2020-01-01T00:00:00Z
expect 0 promote small@1 production --reason 'approved by two'
expect 0 registry resolve small@production
expect 5 rollback small production --reason try --key grace.key
expect 0 registry history
says 'by grace (tester): looked at it' 'small@1 for production' 'small@production -> small@1'

# --- openssl agrees, from the files alone: every statement, and every entry
if command -v openssl >/dev/null; then
    for name in ada grace linus; do
        "$pawl" registry key show $name.key --pem --passphrase-file horse >"$(id_of $name horse).pem"
    done
    python3 - <<'PY' || fail 'openssl does not agree'
import base64, glob, json, re, subprocess
def verify(key, kind, payload, signature):
    with open("pae", "wb") as f:
        f.write(b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload))
    with open("sig", "wb") as f:
        f.write(base64.b64decode(signature))
    subprocess.run(["openssl", "dgst", "-sha256", "-verify", key + ".pem", "-signature", "sig", "pae"],
                   check=True, stdout=subprocess.DEVNULL)
def bare(text):  # the canonical entry without its two members, taken out of the text
    text, selves = re.subn(rb'"self":"[^"]*",', b"", text.rstrip(b"\n"))
    text, signatures = re.subn(rb'"signature":{"key":"[^"]*","value":"[^"]*"},', b"", text)
    assert selves == signatures == 1
    return text
entries = statements = 0
for path in sorted(glob.glob("registry/journal/*/*.json")):
    text = open(path, "rb").read()
    entry = json.loads(text)
    signature = entry["signature"]
    verify(signature["key"], "application/vnd.pawl.entry+json", bare(text), signature["value"])
    entries += 1
    if "statement" not in entry["body"]:
        continue
    envelope = json.load(open("registry/store/sha256/" + entry["body"]["statement"][7:]))
    payload = base64.b64decode(envelope["payload"])
    said = json.loads(payload)
    assert said["kind"] == entry["kind"] and said["registry"] and said["policy"]
    assert all(said[name] == entry["body"][name] for name in said if name in entry["body"])
    for row in envelope["signatures"]:
        verify(row["keyid"], envelope["payloadType"], payload, row["sig"])
        statements += 1
assert entries > 9 and statements >= 6, (entries, statements)
PY
fi

# --- rotation: a signature for a policy is for one step; a revoked key signs nothing
sed 's/approver: 2/approver: 1/' policy.yaml >next.yaml
expect 5 registry policy set next.yaml
expect 7 registry policy set next.yaml --with grace.sig
expect 0 registry policy sign next.yaml --key linus.key --passphrase-file horse --out linus.sig
expect 0 registry policy set next.yaml --with linus.sig --reason 'one is enough'
expect 0 registry policy set next.yaml
says 'in force already'
expect 0 registry policy show
says '"name": "production"'
expect 5 promote small@1 production --reason again
says 'given under another policy'
expect 0 registry revoke "$(id_of grace)" --reason 'laptop lost'
expect 0 registry revoke "$(id_of grace)" --reason 'laptop lost'
says 'before'
expect 5 registry approve small@1 --for production --key grace.key --reason again
says 'your key is revoked'
expect 5 registry revoke "$(id_of linus horse)" --reason 'too many'
says 'too few persons'
expect 0 registry verify
says 'sound'

# --- an entry that somebody without the right put there is damage for everybody, and its way out
last=$(ls registry/journal/000 | tail -n 1)
python3 - "registry/journal/000/$last" <<'PY'
import hashlib, json, sys
before = open(sys.argv[1], "rb").read()
entry = json.loads(before)
del entry["signature"], entry["self"]
entry.update(seq=entry["seq"] + 1, previous="sha256:" + hashlib.sha256(before).hexdigest(),
             kind="revoke", subjects=[], actor="ada",
             body={"key": "sha256:" + "0" * 64, "from": 1})
text = lambda: json.dumps(entry, sort_keys=True, separators=(",", ":")).encode() + b"\n"
entry["self"] = "sha256:" + hashlib.sha256(text()).hexdigest()
open("registry/journal/000/%010d.json" % entry["seq"], "wb").write(text())
PY
for command in 'verify' 'list' 'resolve small@production' 'history'; do
    # shellcheck disable=SC2086
    expect 6 registry $command
    says 'it is not signed'
done
expect 6 promote small@1 staging --reason try
expect 6 registry repair --reason 'a forged entry'
expect 5 registry repair --accept-loss --reason 'a forged entry' --key grace.key
expect 5 registry repair --accept-loss --registry-id "sha256:$(printf '0%.0s' {1..64})"
expect 0 registry repair --accept-loss --reason 'a forged entry'
expect 0 registry verify
says sound

# --- the whole way in one command, signed
cat >>small.yaml <<'EOT'
eval: {suite: suite.yaml}
registry: {path: registry, model: small, channel: staging}
EOT
expect 5 release small.yaml --run runs/second --set train.seed=2 --key linus.key --passphrase-file horse
[ ! -e runs/second ] || fail 'trained before saying that the key may not add'
expect 0 release small.yaml --run runs/second --set train.seed=2
says 'small@staging -> small@2'

# --- an open registry says so, takes no key, and is closed for good by a policy
unset PAWL_KEY PAWL_REGISTRY
expect 0 registry init plain
expect 2 registry adopt --registry plain --key ada.key
says "'--key' does not apply"
expect 0 registry add runs/small --registry plain
says 'integrity only'
expect 5 registry approve small@1 --for production --registry plain --reason x
expect 0 registry policy sign policy.yaml --key grace.key --out plain.sig --registry plain
expect 0 registry policy set policy.yaml --key ada.key --with plain.sig --registry plain
expect 0 registry list --registry plain
silent 'integrity only'
expect 5 registry add runs/small --as other --registry plain
says 'not signed'
