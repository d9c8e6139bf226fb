#!/usr/bin/env bash
# Functions of at most 70 lines, 45 at the 95th percentile; files of at most 500 lines; lines of at
# most 100 columns. A function is counted from its first line to its closing brace.
. tests/tidy/sources.bash

LONGEST=70 USUAL=45 FILE=500 COLUMNS_MOST=100
lengths=$(mktemp)
trap 'rm -f "$lengths"' EXIT
folders="$(rooms) tests bench"

# shellcheck disable=SC2086
files 'c|h|cu|cuh' $folders | xargs -r awk -v out="$lengths" -v longest=$LONGEST \
    -v most=$FILE -v columns=$COLUMNS_MOST '
    FNR == 1 {
        if (last) check_file()
        start = 1; name = ""; inside = 0
    }
    function check_file() {
        if (count > most) print last ":" count ": file of " count " lines, more than " most
    }
    {
        last = FILENAME; count = FNR
        line = $0
        gsub(/[\200-\277]/, "", line) # bytes inside a character
        if (length(line) > columns)
            print FILENAME ":" FNR ": " length(line) " columns, more than " columns
        if (inside) {
            if ($0 ~ /^}/) {
                size = FNR - start + 1
                print size, FILENAME ":" start, name > out
                if (size > longest)
                    print FILENAME ":" start ": " name "of " size " lines, more than " longest
                inside = 0
                start = FNR + 1
            }
        } else if ($0 ~ /^{/) {
            inside = 1
        } else if ($0 ~ /^$/ || $0 ~ /^#/ || $0 ~ /;[ ]*$/ || $0 ~ /\*\/[ ]*$/ || $0 ~ /^}/) {
            start = FNR + 1
        } else if ($0 ~ /^[A-Za-z_].*\(/) {
            name = $0
            sub(/\(.*/, "", name)
            sub(/.*[ *]/, "", name)
            name = name " "
        }
    }
    END { check_file() }' > "$lengths.found"

usual=$(sort -n "$lengths" | awk '{ size[NR] = $1 } END { print NR ? size[int((NR * 95 + 99) / 100)] : 0 }')
echo "length: $(wc -l < "$lengths") functions, $usual lines at the 95th percentile (at most $USUAL)"
if [ "$usual" -gt $USUAL ]; then
    sort -rn "$lengths" | head -10 | awk -v usual="$usual" '
        { print $2 ": " $3 " of " $1 " lines: among the longest, while the 95th percentile is " usual }' \
        >> "$lengths.found"
fi
verdict length "Cut along what it does, not to please the number." < "$lengths.found"
rm -f "$lengths.found"
