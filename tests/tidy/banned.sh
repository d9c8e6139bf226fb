#!/usr/bin/env bash
# What no file may call, and what only certain files may.
. tests/tidy/sources.bash

# shellcheck disable=SC2046
code() { files 'c|h|cu|cuh' "$@" | xargs -r awk -f tests/tidy/code.awk; }

# Lines of code that call one of the names (a regular expression), outside the excepted files.
calls() {
    local names=$1 except=$2 advice=$3
    grep -E "(^|[^A-Za-z0-9_>.])($names)[[:space:]]*\(" | grep -vE "^($except):" |
        sed -E "s|\$|   <- $advice|"
}

check() {
    local everywhere rooms_code
    everywhere=$(code $(rooms) tests bench)
    rooms_code=$(code $(rooms))
    calls 'strcpy|strcat|sprintf|vsprintf|gets|strtok|atoi|atof|alloca' '-' \
        'knows no bounds or no errors: snprintf, strtol, arena_format' <<< "$everywhere"
    calls 'exit|_exit|quick_exit|printf|vprintf|puts|putchar|getenv|secure_getenv' \
        '(cli/[^:]*|base/log\.c):[0-9]+' 'only cli/ and base/log print, exit and read the environment' \
        <<< "$rooms_code"
    calls 'fprintf|vfprintf|fputs|fputc|fwrite|perror' \
        '(cli/[^:]*|base/(log|err|arena)\.c):[0-9]+' 'report through struct err' <<< "$rooms_code"
    calls 'fprintf' '(cli/[^:]*|base/log\.c):[0-9]+' 'only an abort may print here' <<< "$rooms_code" |
        grep -vE '^base/(err|arena)\.c:[0-9]+:.*fprintf\(stderr'
    calls 'fopen|fdopen|freopen|creat|mkstemp|mkostemp|tmpfile|truncate|ftruncate' \
        'base/fs[^:]*:[0-9]+' 'files are opened through base/fs' <<< "$rooms_code"
    grep -E 'O_(WRONLY|RDWR|CREAT|TRUNC|APPEND)' <<< "$rooms_code" | grep -vE '^base/(fs|h5)[^:]*:' |
        sed 's|$|   <- files are opened for writing through base/fs only|'
    grep -E '#[[:space:]]*include[[:space:]]*<hdf5(_hl)?\.h>' <<< "$rooms_code" |
        grep -vE '^base/h5[^:]*:' | sed 's|$|   <- HDF5 goes through base/h5|'
    grep -E '#[[:space:]]*include[[:space:]]*<(oneapi/dnnl/)?dnnl[^>]*>' <<< "$rooms_code" |
        grep -vE '^kernels/cpu/onednn[^:]*:' | sed 's|$|   <- oneDNN goes through kernels/cpu/onednn|'
    tries <<< "$everywhere"
}

# TRY leaves a function at once, past everything that an `out:` label would give back.
tries() {
    awk '
    {
        match($0, /^[^:]*:[0-9]+:/)
        place = substr($0, 1, RLENGTH - 1)
        text = substr($0, RLENGTH + 1)
    }
    text ~ /^{/ { try = ""; label = 0 }
    text ~ /(^|[^A-Za-z0-9_])TRY\(/ { if (try == "") try = place }
    text ~ /^[ ]*out:/ { label = 1 }
    text ~ /^}/ {
        if (try != "" && label)
            print try ": TRY beside an out: label   <- if ((code = f(..., err))) goto out;"
        try = ""; label = 0
    }'
}

check | sort -u | verdict banned "See the note behind each line."
