#!/usr/bin/env bash
# Every header compiles alone; those whose first comment says "Common C/C++ subset" as C++ too.
. tests/tidy/sources.bash

CC=${CC:-cc} CXX=${CXX:-c++}
flags="-I. -D_GNU_SOURCE -DPAWL_VERSION=\"0\" -Wall -Wextra -Werror"
for module in jansson yaml-0.1 hdf5 hdf5-serial; do
    flags="$flags $(pkg-config --cflags "$module" 2> /dev/null)"
done

# The header is included twice, so that a missing guard shows.
compile() {
    local header=$1 compiler=$2 language=$3 standard=$4
    # shellcheck disable=SC2086
    printf '#include "%s"\n#include "%s"\nint pawl_header_used;\n' "$header" "$header" |
        "$compiler" -x "$language" "-std=$standard" $flags -I"$(dirname "$header")" \
            -fsyntax-only - 2>&1 | sed -n '/error:/{s/^/  /;p;q}'
}

check() {
    local header found
    # shellcheck disable=SC2046
    for header in $(files h $(rooms) tests bench); do
        found=$(compile "$header" "$CC" c c17)
        [ -z "$found" ] || printf '%s:1: does not compile alone as C\n%s\n' "$header" "$found"
        head -20 "$header" | grep -q 'Common C/C++ subset' || continue
        command -v "$CXX" > /dev/null || { echo "no C++ compiler: $header not tried" >&2; continue; }
        found=$(compile "$header" "$CXX" c++ c++17)
        [ -z "$found" ] || printf '%s:1: does not compile alone as C++\n%s\n' "$header" "$found"
    done
}

check | verdict headers "Include what it uses, from the root."
