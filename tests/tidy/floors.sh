#!/usr/bin/env bash
# A room includes headers of lower rooms and its own, written from the root. Never upwards, never a
# room on its own floor.
. tests/tidy/sources.bash

check() {
    local room
    for room in $(rooms); do
        files 'c|h|cu|cuh' "$room" | xargs -r grep -HnE '^[[:space:]]*#[[:space:]]*include[[:space:]]+"'
    done | awk -F: -v rooms="$ROOMS" '
        BEGIN {
            n = split(rooms, list, " ")
            for (i = 1; i <= n; i++) { split(list[i], pair, ":"); floor[pair[1]] = pair[2] }
        }
        {
            split($1, parts, "/"); from = parts[1]
            split($0, quoted, "\""); split(quoted[2], path, "/"); to = path[1]
            place = $1 ":" $2 ": "
            if (index(quoted[2], "/") == 0 || !(to in floor))
                print place "\"" quoted[2] "\" is not written from the root (room/file.h)"
            else if (to != from && floor[to] >= floor[from])
                print place from " (floor " floor[from] ") includes " to " (floor " floor[to] ")"
        }'
}

check | verdict floors "Move what is needed to a lower room, or hand it down as an argument."
