# Prints "file:line:text" with comments gone and the contents of literals blanked, so that words in
# comments and messages are not taken for code. With -v literals=1 the contents stay.
FNR == 1 { comment = 0 }
{
    out = ""
    n = length($0)
    for (i = 1; i <= n; i++) {
        c = substr($0, i, 1)
        pair = substr($0, i, 2)
        if (comment) {
            if (pair == "*/") { comment = 0; i++ }
        } else if (quote != "") {
            if (c == "\\") { if (literals) out = out pair; i++ }
            else if (c == quote) { quote = ""; out = out c }
            else if (literals) out = out c
        } else if (pair == "/*") { comment = 1; i++ }
        else if (pair == "//") break
        else {
            if (c == "\"" || c == "'") quote = c
            out = out c
        }
    }
    quote = ""
    print FILENAME ":" FNR ":" out
}
