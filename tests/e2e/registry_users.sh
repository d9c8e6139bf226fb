#!/usr/bin/env bash
# One registry, several Unix users: members of its group add to it, nobody removes or changes what
# another one wrote, and who is not in the group can read and nothing else. Needs root; skipped
# otherwise.
source "$(dirname "$0")/lib.bash" "$1"
if [ "$(id -u)" != 0 ] || ! command -v setpriv >/dev/null; then
    echo 'skipped: not root, or no setpriv'
    exit 77
fi
chmod 755 "$work"
group=7000

# become USER [GROUP [UMASK]]: whom `expect` runs pawl as; ids need no names
become() {
    printf '#!/bin/sh\numask %s\nexec setpriv --reuid %s --regid %s --clear-groups "%s" "$@"\n' \
        "${3:-022}" "$1" "${2:-$group}" "$binary" >"$work/pawl-as"
    chmod 755 "$work/pawl-as"
}
# denied USER COMMAND...: a shell command that the system must refuse
denied() {
    local user=$1
    shift
    ! setpriv --reuid "$user" --regid "$group" --clear-groups "$@" 2>/dev/null || fail "user $user could: $*"
}
binary=$work/pawl.bin
cp "$pawl" "$binary" && chmod 755 "$binary"
make_data
make_experiment small.yaml
make_suite suite.yaml 'goals:
  - {id: quality, metric: accuracy, at_least: 0.1}'
expect 0 train small.yaml
chmod -R a+rX .
pawl=$work/pawl-as

# --- ada (7001) makes it in a folder of the group; grace (7002) adds, evaluates and promotes
mkdir shared reports && chgrp $group shared reports && chmod 2775 shared && chmod 1777 reports
become 7001
expect 0 registry init shared/registry
export PAWL_REGISTRY=shared/registry PAWL_ACTOR=tester
become 7002
expect 0 registry add runs/small --as small
expect 0 eval suite.yaml --model small@1
become 7001 $group 077
expect 0 promote small@1 staging --reason 'a strict umask'
become 7002
expect 0 promote small@1 production --reason 'and another member'
expect 0 registry add runs/small --as other
expect 0 registry verify
says sound
silent 'no usable'
find shared/registry -type l | grep . && fail 'a symlink in a registry'

# --- nobody removes or changes what another one wrote; the folders say so
for place in journal journal/000 store store/sha256; do
    [ $((0$(stat -c %a shared/registry/$place) & 03000)) = $((03000)) ] ||
        fail "$place is not setgid and sticky: $(stat -c %a shared/registry/$place)"
done
find shared/registry/journal shared/registry/store -type f -perm /222 | grep . && fail 'a file that can be written'
find shared/registry ! -group $group | grep . && fail 'a file of another group'
entry=shared/registry/journal/000/0000000002.json
first=shared/registry/journal/000/0000000001.json
denied 7004 rm -f $entry # another member's
denied 7004 rm -f $first # the founder's
denied 7004 mv $entry shared/registry/journal/000/0000000099.json
for user in 7001 7004; do # not even the founder, who owns the folders, changes a file
    denied $user sh -c "echo x >>$entry"
    denied $user chmod u+w $entry
done
content=$(find shared/registry/store/sha256 -type f -user 7002 | head -n 1)
denied 7004 rm -f "$content"
denied 7001 sh -c "echo x >>$content"
denied 7002 sh -c 'echo x >>shared/registry/registry.json'
denied 7002 rm -f shared/registry/registry.json

# --- a guest (7003, another group) reads, verifies, deploys to a place of their own, and changes nothing
become 7003 7003
expect 0 registry list
expect 0 registry verify
expect 0 registry resolve small@staging
mkdir guest && chown 7003:7003 guest
expect 0 deploy small@staging guest/deploy
expect 1 registry add runs/small --as mine
expect 1 promote small@1 canary --reason try
expect 0 registry verify
says sound

# --- with keys: the policy that closes it may be set by any member, and nobody can take the mark away
for user in 7001 7002; do
    mkdir home$user && chown $user:$group home$user && chmod 700 home$user
    become $user
    expect 0 registry key new --out home$user/key --quiet
    "$pawl" registry key show home$user/key --format json >k.json
    declare "key$user=$(member k.json "['key']")"
done
cat >policy.yaml <<EOT
pawl: policy/1
name: users
keys:
  - {person: ada, roles: [policy, releaser], key: $key7001}
  - {person: grace, roles: [trainer, evaluator], key: $key7002}
channels: [{name: staging}]
EOT
become 7001
expect 1 registry key show home7002/key
expect 0 registry policy set policy.yaml --key home7001/key --reason 'keys from now on'
denied 7002 rm -f shared/registry/store/closed
become 7002
expect 5 registry add runs/small --as third
expect 0 registry add runs/small --as third --key home7002/key
become 7001
expect 0 registry verify
says sound
