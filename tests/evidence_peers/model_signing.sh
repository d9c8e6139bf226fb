#!/usr/bin/env bash
# pawl's model.sig under the OpenSSF's own verifier, the package model_signing from PyPI. Not part of
# CI: it needs a package index. Arguments: the registry's helper program (build/dev/tests/tool_registry)
# and a folder for the virtual environment, which is made where it is missing.
set -euo pipefail

tool=$(realpath "$1")
venv=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAIL: $*" >&2; exit 1; }

[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -c 'import model_signing' 2> "$work/log" || "$venv/bin/pip" install -q model-signing pyOpenSSL
"$tool" sign "$work" > "$work/log" || fail "$(cat "$work/log")"
cd "$work"
model=evidence/model

verify() {
    "$venv/bin/python" -m model_signing verify key "$model" --signature "$model/model.sig" \
        --public_key "${1:-key.pem}" > out 2>&1
}

verify || fail "the signature does not verify: $(cat out)"
cat out

# what pawl puts beside the files of a deployed version is not among them, anything else is
echo '{}' > "$model/bundle.json"
verify || fail "bundle.json is not ignored: $(cat out)"
echo x > "$model/extra"
! verify || fail "an unsigned file passes"
rm "$model/extra"
chmod u+w "$model/model.json"
printf ' ' >> "$model/model.json"
! verify || fail "a changed file passes"
truncate -s -1 "$model/model.json"
verify || fail "the file as it was does not pass: $(cat out)"
mv "$model/sample.h5" sample.h5
! verify || fail "a missing file passes"
mv sample.h5 "$model/sample.h5"
openssl ecparam -name prime256v1 -genkey -noout | openssl ec -pubout -out other.pem 2> log
! verify other.pem || fail "another key passes"
sed -i 's/"payload":"ey/"payload":"eX/' "$model/model.sig"
! verify || fail "a changed payload passes"
echo "model_signing $("$venv/bin/pip" list 2> log | sed -n 's/^model-signing *//p'): one signature good, five forgeries refused"
