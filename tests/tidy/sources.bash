# What the tidy tests share: the rooms by floor, the files, and how findings are counted.
# Sourced from the root of the source tree.
set -u
export LC_ALL=C

# name:floor; rooms on one floor never include each other.
ROOMS="base:0 kernels:1 comm:2 model:3 dataset:4 eval:5 trainer:6 registry:6 workflow:7 cli:8"

# Prints the files with these extensions below these folders, sorted; missing folders are skipped.
files() {
    local extensions=$1 folder
    shift
    for folder in "$@"; do
        if [ -d "$folder" ]; then
            find "$folder" -type f -regextype posix-extended -regex ".*\.($extensions)"
        fi
    done | sort
}

rooms() {
    local room
    for room in $ROOMS; do echo "${room%%:*}"; done
}

# Ends the test: FILE:LINE lines on standard input are findings; none is success.
verdict() {
    local what=$1 advice=$2 found
    found=$(cat)
    if [ -n "$found" ]; then
        printf '%s\n' "$found"
        printf '%s: %d findings. %s\n' "$what" "$(printf '%s\n' "$found" | wc -l)" "$advice"
        exit 1
    fi
    echo "$what: fine"
}
