#!/usr/bin/env bash
# Documents about a version against the published rules of their formats, restated in
# documents_rules.py, and their signatures with openssl alone. Argument 1: the registry's helper
# program.
set -euo pipefail

tool=$(realpath "$1")
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAIL: $*" >&2; exit 1; }

"$tool" sign "$work" > "$work/log" || fail "$(cat "$work/log")"
cd "$work"
python3 "$here/documents_rules.py" evidence registry || fail "a document breaks its rules"

# The envelopes: payload and signature taken out with Python, verified by openssl over the
# pre-authentication encoding that the DSSE specification defines.
for file in provenance.intoto.json report-1/test-result.intoto.json report-2/test-result.intoto.json \
    model.sig; do
    python3 - "evidence/$file" << 'END'
import base64, hashlib, json, sys
envelope = json.load(open(sys.argv[1]))
if "dsseEnvelope" in envelope:
    hint = envelope["verificationMaterial"]["publicKey"]["hint"]
    assert hint == hashlib.sha256(open("key.pem", "rb").read()).hexdigest(), "another key's hint"
    envelope = envelope["dsseEnvelope"]
kind, payload = envelope["payloadType"].encode(), base64.b64decode(envelope["payload"], validate=True)
assert kind == b"application/vnd.in-toto+json", kind
open("pae", "wb").write(b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload))
[signature] = envelope["signatures"]
open("sig", "wb").write(base64.b64decode(signature["sig"], validate=True))
END
    openssl dgst -sha256 -verify key.pem -signature sig pae > out || fail "$file: $(cat out)"
    printf ' ' >> pae
    ! openssl dgst -sha256 -verify key.pem -signature sig pae > out 2>&1 || fail "$file: verifies anything"
done

# The signature lists exactly the model's files.
python3 - << 'END'
import base64, hashlib, json, os
bundle = json.load(open("evidence/model/model.sig"))
statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
root = hashlib.sha256()
names = sorted(set(os.listdir("evidence/model")) - {"model.sig"})
resources = statement["predicate"]["resources"]
assert [r["name"] for r in resources] == names, names
for r in resources:
    digest = hashlib.sha256(open("evidence/model/" + r["name"], "rb").read())
    assert (r["algorithm"], r["digest"]) == ("sha256", digest.hexdigest()), r
    root.update(digest.digest())
assert statement["subject"][0]["digest"] == {"sha256": root.hexdigest()}
END

command -v skopeo > skopeo.path || { echo "skopeo is not installed: the bundle was not copied"; exit 0; }
echo '{"default":[{"type":"insecureAcceptAnything"}]}' > policy.json
skopeo --policy policy.json copy -q --all oci:registry/models/fashion:v1-bundle oci:copy:bundle
skopeo inspect --raw oci:registry/models/fashion:v1-bundle > one
skopeo inspect --raw oci:copy:bundle > two
cmp one two || fail "the bundle is another after a copy"
blobs=$(ls copy/blobs/sha256 | wc -l)
[ "$blobs" = 27 ] || fail "$blobs blobs were copied"
for blob in copy/blobs/sha256/*; do
    cmp -s "$blob" "registry/store/sha256/${blob##*/}" || fail "$blob came out different"
done
echo "skopeo copies version and evidence whole: $blobs blobs"
