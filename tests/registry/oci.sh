#!/usr/bin/env bash
# Each models/NAME/ is an OCI image layout that skopeo copies digest-exactly, and the journal is a chain
# that sha256sum alone can follow. Argument 1: the registry's helper program.
set -euo pipefail

tool=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAIL: $*" >&2; exit 1; }

mapfile -t digests < <("$tool" make "$work")
[ ${#digests[@]} -eq 2 ] || fail "two versions were to be made, got ${#digests[@]}"
layout=$work/registry/models/fashion

# The chain, followed with other people's tools.
previous=null
for entry in "$work"/registry/journal/000/*.json; do
    grep -q "\"previous\":$previous," "$entry" || fail "$entry does not follow $previous"
    previous="\"sha256:$(sha256sum < "$entry" | cut -d' ' -f1)\""
done

# Every blob hashes to its name, and is a link into the store.
for blob in "$layout"/blobs/sha256/*; do
    [ "$(sha256sum < "$blob" | cut -d' ' -f1)" = "${blob##*/}" ] || fail "$blob has another digest"
    [ "$(stat -c %h "$blob")" -ge 2 ] || fail "$blob is no hard link"
done

if ! command -v skopeo > /dev/null; then
    echo "SKIPPED: skopeo is not installed (Debian and Ubuntu package: skopeo)"
    exit 77
fi

raw() { skopeo inspect --raw "$1" | sha256sum | cut -d' ' -f1; }

[ "sha256:$(raw "oci:$layout:v1")" = "${digests[0]}" ] || fail "v1 is not ${digests[0]}"
[ "sha256:$(raw "oci:$layout:v2")" = "${digests[1]}" ] || fail "v2 is not ${digests[1]}"
[ "sha256:$(raw "oci:$layout:production")" = "${digests[1]}" ] || fail "production is not v2"
artifact='"artifactType":"application/vnd.cncf.model.manifest.v1+json"'
[[ $(skopeo inspect --raw "oci:$layout:v1") == *"$artifact"* ]] || fail "v1 is no ModelPack artifact"
[[ $(skopeo inspect --config --raw "oci:$layout:v1") == *'"format":"safetensors"'* ]] ||
    fail "the config of v1 is not ours"

# Out, as a layout, a folder and an archive, and back: always the same digest.
policy=$work/policy.json
echo '{"default":[{"type":"insecureAcceptAnything"}]}' > "$policy"
copy() { skopeo --policy "$policy" copy -q "$1" "$2" > /dev/null; }
copy "oci:$layout:v1" "oci:$work/out:v1"
copy "oci:$work/out:v1" "oci-archive:$work/out.tar:v1"
copy "oci-archive:$work/out.tar:v1" "dir:$work/plain"
copy "dir:$work/plain" "oci:$work/back:v1"
for ref in "oci:$work/out:v1" "oci-archive:$work/out.tar:v1" "oci:$work/back:v1"; do
    [ "sha256:$(raw "$ref")" = "${digests[0]}" ] || fail "$ref is not ${digests[0]}"
done
for blob in "$work"/back/blobs/sha256/*; do
    cmp -s "$blob" "$layout/blobs/sha256/${blob##*/}" || fail "$blob came back different"
done
echo "skopeo $(skopeo --version | cut -d' ' -f3): five copies, one digest"
