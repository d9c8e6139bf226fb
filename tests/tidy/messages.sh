#!/usr/bin/env bash
# Texts of errors: lower case, no full stop, what and why instead of "failed to".
. tests/tidy/sources.bash

# Prints "file:line:text" of the first literal given to each call (joined over lines).
texts() {
    # shellcheck disable=SC2046
    files 'c|cu' $(rooms) | xargs -r awk -v literals=1 -f tests/tidy/code.awk | awk '
    {
        match($0, /^[^:]*:[0-9]+:/)
        place = substr($0, 1, RLENGTH - 1)
        text = substr($0, RLENGTH + 1)
        while (text != "") {
            if (!call && match(text, /(^|[^A-Za-z0-9_])(err_set|err_errno|problem_add)\(/)) {
                call = 1; begun = 0; message = ""; at = place
                text = substr(text, RSTART + RLENGTH)
            } else if (!call) break
            # Literals that follow each other are one; anything else ends the text or the call.
            if (match(text, /^[ ]*"([^"\\]|\\.)*"/)) {
                piece = substr(text, RSTART, RLENGTH)
                sub(/^[ ]*"/, "", piece); sub(/"$/, "", piece)
                if (!begun) at = place
                message = message piece; begun = 1
                text = substr(text, RSTART + RLENGTH)
            } else if (begun && text !~ /^[ ]*$/) {
                print at ":" message; call = 0
            } else if (match(text, /^[^";]+/)) {
                text = substr(text, RSTART + RLENGTH)
            } else { if (text ~ /^[ ]*;/) call = 0; break }
        }
    }'
}

check() {
    texts | awk '
    {
        match($0, /^[^:]*:[0-9]+:/)
        place = substr($0, 1, RLENGTH)
        text = substr($0, RLENGTH + 1)
        if (text ~ /^[A-Z][^A-Z0-9]/) print place " begins with a capital: " text
        if (text ~ /\.$/ && text !~ /\.\.\.$/) print place " ends with a full stop: " text
        if (text ~ /\\n/) print place " holds a line feed: " text
        if (tolower(text) ~ /failed to|could not|unable to/)
            print place " says that, not why (cannot ... : reason): " text
    }'
}

count=$(texts | wc -l)
echo "messages: $count texts"
[ "$count" -gt 0 ] || { echo "messages: none found, so this test looks at nothing"; exit 1; }
check | verdict messages "cannot open checkpoint 'a/b': no such file"
