#!/usr/bin/env bash
# Other people's tools on a model's layout: umoci may remove a tag and collect, and the store keeps
# everything; a real registry (docker-registry on the loopback) takes a version with its evidence and
# gives it back, digest by digest. Arguments: the tests' helper program, and pawl.
set -euo pipefail
[ $# -ge 2 ] || { echo "SKIPPED: pawl itself is not built"; exit 77; }
tool=$(realpath "$1") pawl=$(realpath "$2")
for needed in umoci docker-registry skopeo python3; do
    command -v "$needed" >/dev/null ||
        { echo "SKIPPED: $needed is not installed (Debian package of that name)"; exit 77; }
done
work=$(mktemp -d "${TMPDIR:-/tmp}/pawl-oci.XXXXXX")
server=
trap '[ -z "$server" ] || kill "$server"; chmod -R u+w "$work"; rm -rf "$work"' EXIT
cd "$work"
export PAWL_REGISTRY=$work/registry OMP_NUM_THREADS=1
fail() { echo "FAILED: $*" >&2; cat out err >&2; exit 1; }

mapfile -t digests < <("$tool" make "$work")
layout=$work/registry/models/fashion
sums() { (cd "$1" && find . -type f -exec sha256sum {} + | sort); }

echo '{"default":[{"type":"insecureAcceptAnything"}]}' >policy.json
copy() {
    skopeo --policy policy.json copy -q --all --src-tls-verify=false --dest-tls-verify=false "$1" "$2" \
        >out 2>err || fail "skopeo copy $1 $2"
}

# --- umoci: what it takes away from a layout is a link
sums registry/store >store.before
sums "$layout/blobs" >blobs.before
umoci ls --layout "$layout" >out 2>err
for tag in v1 v1-bundle v2 v2-bundle production; do
    grep -qx "$tag" out || fail "umoci does not see $tag"
done
umoci gc --layout "$layout" >out 2>err || fail "umoci gc"
copy "oci:$layout:v2-bundle" "oci:$work/collected:v2-bundle" # what a tag reaches is still there
umoci rm --image "$layout:v1" >out 2>err && umoci rm --image "$layout:v1-bundle" >out 2>err ||
    fail "umoci rm"
umoci gc --layout "$layout" >out 2>err || fail "umoci gc after rm"
sums registry/store | cmp -s - store.before || fail "umoci changed the store"
[ "$(sums "$layout/blobs" | wc -l)" -lt "$(wc -l <blobs.before)" ] || fail "umoci gc took nothing"
"$pawl" registry repair >out 2>err || fail "repair after umoci"
sums "$layout/blobs" | cmp -s - blobs.before || fail "repair did not bring every blob back"
"$pawl" registry verify >out 2>err || fail "verify after umoci"
! grep -q note: out || fail "notes after the repair"

# --- a registry of the network, and back
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >server.yml <<YAML
version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: $work/server}}
http: {addr: "127.0.0.1:$port"}
YAML
docker-registry serve server.yml >server.log 2>&1 &
server=$!
for _ in $(seq 100); do
    python3 -c "import socket; socket.create_connection(('127.0.0.1', $port)).close()" 2>/dev/null && break
    sleep 0.1
done
remote=docker://127.0.0.1:$port/fashion
copy "oci:$layout:v2" "$remote:v2"
copy "oci:$layout:v2-bundle" "$remote:v2-bundle"
copy "$remote:v2" "oci:$work/back:v2"
copy "$remote:v2-bundle" "oci:$work/back:v2-bundle"
raw() { skopeo inspect --raw --tls-verify=false "$1" 2>/dev/null | sha256sum | cut -d' ' -f1; }
[ "sha256:$(raw "$remote:v2")" = "${digests[1]}" ] || fail "the server has another v2"
[ "sha256:$(raw "oci:$work/back:v2")" = "${digests[1]}" ] || fail "v2 came back different"
[ "$(raw "oci:$work/back:v2-bundle")" = "$(raw "oci:$layout:v2-bundle")" ] ||
    fail "the bundle came back different"
blobs=0
for blob in back/blobs/sha256/*; do
    cmp -s "$blob" "$layout/blobs/sha256/${blob##*/}" || fail "$blob came back different"
    blobs=$((blobs + 1))
done
evidence=$(skopeo inspect --raw "oci:$work/back:v2-bundle" 2>/dev/null |
    python3 -c 'import json, sys; print(len(json.load(sys.stdin)["manifests"]) - 1)')
[ "$evidence" -ge 3 ] || fail "only $evidence documents came along"
echo "umoci took links alone; docker-registry gave back $blobs blobs and $evidence documents, digests equal"
