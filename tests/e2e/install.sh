#!/usr/bin/env bash
# `cmake --install` puts the binary in place with what it prints of itself, whole and for every kind of
# document.
source "$(dirname "$0")/lib.bash" "$1"
build=$(dirname "$pawl")
[ -f "$build/cmake_install.cmake" ] || { echo "not in a build folder: skipped"; exit 0; }
cmake --install "$build" --prefix "$work/prefix" >out 2>err || fail "cmake --install"
pawl=$work/prefix/bin/pawl
expect 0 --version
expect 0 man
cmp out prefix/share/man/man1/pawl.1 || fail "the man page"
expect 0 completion
cmp out prefix/share/bash-completion/completions/pawl || fail "the completion"
expect 2 config schema --kind unknown
says 'Known kinds:'
for kind in $(sed -n 's/.*Known kinds: \(.*\)\./\1/p' err | tr -d ','); do
    schema=prefix/share/pawl/schemas/$kind.schema.json
    json "$schema"
    expect 0 config schema --kind "$kind"
    cmp out "$schema" || fail "the schema of $kind"
done
DESTDIR=$work/staged cmake --install "$build" --prefix /usr >out 2>err || fail "with DESTDIR"
[ -x staged/usr/bin/pawl ] && [ -s staged/usr/share/man/man1/pawl.1 ] || fail "DESTDIR is not heeded"
