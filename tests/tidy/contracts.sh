#!/usr/bin/env bash
# Every function that a header declares has a comment directly above it, or stands in a group (lines
# without a blank one between them) that begins with a comment.
. tests/tidy/sources.bash

check() {
    # shellcheck disable=SC2046
    files h $(rooms) | xargs -r awk '
    FNR == 1 { fresh = 1; comment = 0; group = 0; body = 0 }
    /^$/ { if (!body && !comment) { fresh = 1; group = 0 } next }
    {
        if ($0 ~ /^\/\*/) { group = 1; comment = 1 }
        fresh = 0
        if (comment) { if ($0 ~ /\*\//) comment = 0; next }
        if ($0 ~ /^{/) body = 1
        if ($0 ~ /^}/) body = 0
        if (body || $0 ~ /^[ #}{\/]/ || $0 ~ /^typedef/ || $0 ~ /^extern "C"/) next
        if ($0 !~ /^[A-Za-z_][A-Za-z0-9_ *]*[ *][a-z_][A-Za-z0-9_]*\(/) next
        if (group) next
        name = $0; sub(/\(.*/, "", name); sub(/.*[ *]/, "", name)
        print FILENAME ":" FNR ": " name " has no contract"
    }'
}

check | verdict contracts "Say what it does, shapes and units, who owns what, which errors."
