#!/usr/bin/env bash
# What skopeo, umoci and other hands do to a model's layout is listed, taken in with an entry, or
# refused with a reason; afterwards the layout is what the journal says. Arguments: the tests' helper
# program, and pawl.
set -euo pipefail
[ $# -ge 2 ] || { echo "SKIPPED: pawl itself is not built"; exit 77; }
tool=$(realpath "$1") pawl=$(realpath "$2")
for needed in umoci skopeo python3; do
    command -v "$needed" >/dev/null ||
        { echo "SKIPPED: $needed is not installed (Debian package of that name)"; exit 77; }
done
work=$(mktemp -d "${TMPDIR:-/tmp}/pawl-adopt.XXXXXX")
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
cd "$work"
export PAWL_REGISTRY=$work/registry OMP_NUM_THREADS=1
fail() { echo "FAILED: $*" >&2; cat out err >&2; exit 1; }

"$tool" make "$work" >digests
mkdir elsewhere
"$tool" make "$work/elsewhere" >/dev/null
"$tool" add "$work/elsewhere" 7 2 >/dev/null # fashion@3 and @4 there: unknown here
layout=$work/registry/models/fashion
theirs=$work/elsewhere/registry/models/fashion
echo '{"default":[{"type":"insecureAcceptAnything"}]}' >policy.json
copy() { skopeo --policy policy.json copy -q --all "oci:$1" "oci:$2" >out 2>err || fail "skopeo copy $*"; }

# $1: the exit code wanted; then what `registry adopt` must print, a pattern each.
adopt() {
    local want=$1 rc=0 pattern
    shift
    "$pawl" registry adopt $model >out 2>err || rc=$?
    [ "$rc" = "$want" ] || fail "adopt gave $rc, not $want"
    for pattern in "$@"; do grep -qE -- "$pattern" out || fail "adopt did not say: $pattern"; done
}
sound() {
    "$pawl" registry verify >out 2>err || fail "verify: $*"
    if grep -q note: out; then fail "notes: $*"; fi
}
model=

adopt 0 '^nothing foreign$'
sound "nothing done"

# --- a tag that only another tool gave, copies in place of links, links that umoci collected
copy "$theirs:v1" "$layout:production"
umoci tag --image "$layout:v2" mine >out 2>err || fail "umoci tag"
umoci rm --image "$layout:v1" >out 2>err && umoci rm --image "$layout:v1-bundle" >out 2>err ||
    fail "umoci rm"
umoci gc --layout "$layout" >out 2>err || fail "umoci gc"
adopt 0 "^dropped tag .*'production'.*journal" "^dropped tag .*'mine'" '^put right'
sound "tags dropped"
"$pawl" registry resolve fashion@production >out 2>err
grep -q 'fashion@2' out || fail "skopeo moved a channel"

# --- a version with its documents, first only looked at
copy "$theirs:v3-bundle" "$layout:brought"
before=$(ls registry/journal/000 | wc -l)
"$pawl" registry adopt --dry-run >out 2>err || fail "dry run"
grep -q '^would be adopted version' out || fail "the dry run saw no version"
[ "$(ls registry/journal/000 | wc -l)" = "$before" ] || fail "a dry run wrote an entry"
adopt 0 '^adopted version fashion@3 .*brought'
sound "a version adopted"
cmp -s <(skopeo inspect --raw "oci:$layout:v3-bundle") <(skopeo inspect --raw "oci:$theirs:v3-bundle") ||
    fail "the documents that came along are not its documents"
"$pawl" registry resolve fashion@3 >out 2>err || fail "fashion@3"
"$pawl" registry history fashion >out 2>err
grep -q 'adopt .*fashion@3' out || fail "no entry says so"
"$pawl" registry find 'model = fashion and origin = imported' >out 2>err
[ "$(grep -c . out)" = 1 ] || fail "find does not know that it came from elsewhere"
"$pawl" registry lineage fashion@3 >out 2>err
grep -q "adopted from models/fashion, tag 'brought'" out || fail "no origin"
for blob in "$layout"/blobs/sha256/*; do
    [ "$(stat -c '%h %A' "$blob")" = "2 -r--r--r--" ] || [ "$(stat -c %h "$blob")" -gt 2 ] ||
        fail "$blob is no read-only link"
done
adopt 0 '^nothing foreign$'

# --- a whole model that nobody registered; its tag v1 says nothing about our numbers
copy "$theirs:v3" "$work/registry/models/brandnew:v1"
model=brandnew adopt 0 '^adopted version brandnew@1'
sound "a model adopted"

# --- a document by other hands about a version that is here, and its tag lost again
cat >attach.py <<'PY'
import hashlib, json, os, sys
layout, subject, tag, text = sys.argv[1:5]
def put(data):
    name = hashlib.sha256(data).hexdigest()
    open(f'{layout}/blobs/sha256/{name}.part', 'wb').write(data)
    os.rename(f'{layout}/blobs/sha256/{name}.part', f'{layout}/blobs/sha256/{name}')
    return {'digest': 'sha256:' + name, 'size': len(data)}
layer = put(text.encode()) | {'mediaType': 'text/plain'}
config = put(b'{ }') | {'mediaType': 'application/vnd.oci.empty.v1+json'}
manifest = {'schemaVersion': 2, 'mediaType': 'application/vnd.oci.image.manifest.v1+json',
            'artifactType': 'application/vnd.example.review', 'config': config, 'layers': [layer]}
if subject:
    manifest['subject'] = {'mediaType': manifest['mediaType'], 'digest': subject, 'size': 1}
row = put(json.dumps(manifest).encode()) | {'mediaType': manifest['mediaType']}
if tag:
    row['annotations'] = {'org.opencontainers.image.ref.name': tag}
    index = json.load(open(f'{layout}/index.json'))
    index['manifests'].append(row)
    json.dump(index, open(f'{layout}/index.json', 'w'))
print(row['digest'][7:], layer['digest'][7:])
PY
python3 attach.py "$layout" "$(head -1 digests)" review 'it was reviewed' >names
adopt 0 "^adopted evidence .*'review'"
sound "evidence adopted"
python3 attach.py "$layout" "$(head -1 digests)" '' 'it was reviewed twice' >more
adopt 0 '^adopted evidence sha256:'
sound "evidence without a tag adopted"
adopt 0 '^nothing foreign$'
read -r manifest layer <names
[ -f "registry/store/sha256/$layer" ] && [ -f "registry/store/sha256/$manifest" ] || fail "not in the store"
find registry/store registry/models -exec touch -h -d '3 days ago' {} +
"$pawl" registry gc --grace 60 --wait 0 >out 2>err || fail "gc"
[ -f "registry/store/sha256/$layer" ] || fail "gc took adopted evidence"

# --- refused: it stays where it lies, and the registry stays sound
python3 attach.py "$layout" '' image 'an image of another kind' >/dev/null
python3 attach.py "$layout" "sha256:$(printf 'a%.0s' {1..64})" stranger 'about nothing here' >/dev/null
umoci new --image "$layout:plain" >out 2>err || fail "umoci new"
copy "$theirs:v4" "$work/registry/models/broken:v4"
weights=$(cd "$theirs/blobs/sha256" && ls -S "$work/registry/models/broken/blobs/sha256" | head -1)
printf 'X' | dd of="registry/models/broken/blobs/sha256/$weights" conv=notrunc status=none
copy "$theirs:v4" "$work/registry/models/holed:v4"
rm "registry/models/holed/blobs/sha256/$weights" && mkfifo "registry/models/holed/blobs/sha256/$weights"
copy "$theirs:v4" "$work/registry/models/linked:v4"
ln -sf "$(realpath "$theirs")/blobs/sha256/$weights" "registry/models/linked/blobs/sha256/$weights"
before=$(ls registry/journal/000 | wc -l)
adopt 5 "^refused image .*'image'.*no version" "^refused image .*'plain'" \
    "^refused evidence .*'stranger'.*not here" '^refused version .*models/broken: .*damaged' \
    '^refused version .*models/holed: .*not a regular file' \
    '^refused version .*models/linked: .*not a regular file'
grep -q 'error: cannot adopt' err && grep -q 'stays where it lies' err || fail "no error with a hint"
[ "$(ls registry/journal/000 | wc -l)" = "$before" ] || fail "something refused got an entry"
rm -r registry/models/{broken,holed,linked}
"$pawl" registry verify >out 2>err || fail "verify after refusals"
for asked in none ../fashion; do
    rc=0
    "$pawl" registry adopt "$asked" >out 2>err || rc=$?
    [ "$rc" != 0 ] || fail "adopt $asked"
done
echo "tags dropped, 2 versions and 2 documents adopted, 6 things refused"
