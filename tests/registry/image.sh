#!/usr/bin/env bash
# A version deployed as an image is one to other people's tools: skopeo inspects and copies it, umoci
# unpacks the files that a folder has. Arguments: the tests' helper program, and pawl.
set -euo pipefail
[ $# -ge 2 ] || { echo "SKIPPED: pawl itself is not built"; exit 77; }
tool=$(realpath "$1") pawl=$(realpath "$2")
for needed in umoci skopeo python3; do
    command -v "$needed" >/dev/null ||
        { echo "SKIPPED: $needed is not installed (Debian package of that name)"; exit 77; }
done
work=$(mktemp -d "${TMPDIR:-/tmp}/pawl-image.XXXXXX")
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
cd "$work"
export PAWL_REGISTRY=$work/registry OMP_NUM_THREADS=1
fail() { echo "FAILED: $*" >&2; cat out err >&2; exit 1; }

"$tool" make "$work" >digests
"$pawl" deploy fashion@production srv --layout image >out 2>err || fail "deploy"
"$pawl" deploy fashion@production flat >out 2>err || fail "deploy as a folder"
"$pawl" deploy --status srv >out 2>err || fail "status"
grep -q 'fashion@2 as an image, every file as it should be' out || fail "status"

skopeo inspect "oci:$work/srv/current:v2" >inspected 2>err || fail "skopeo inspect"
python3 - inspected "$(sed -n 2p digests)" <<'PY' || fail "what skopeo inspects"
import json, sys
told = json.load(open(sys.argv[1]))
assert told['Os'] == 'linux' and len(told['Layers']) == 1, told
assert told['Labels']['pawl.version.digest'] == sys.argv[2], told
PY
echo '{"default":[{"type":"insecureAcceptAnything"}]}' >policy.json
skopeo --policy policy.json copy -q --preserve-digests "oci:$work/srv/current:v2" "oci:$work/there:v2" >out 2>err ||
    fail "skopeo copy"
cmp -s <(skopeo inspect --raw "oci:$work/there:v2") <(skopeo inspect --raw "oci:$work/srv/current:v2") ||
    fail "the copy has another digest"
umoci unpack --rootless --image "$work/there:v2" unpacked >out 2>err || fail "umoci unpack"
diff -r unpacked/rootfs flat/current/ >out || fail "the files are not those of the folder"

rc=0
"$pawl" deploy fashion@2 srv --layout tarball >out 2>err || rc=$?
[ "$rc" = 2 ] && grep -q "unknown layout 'tarball': folder or image" err || fail "an unknown layout: $rc"
echo "skopeo inspects and copies the image; umoci unpacks the files of the folder"
