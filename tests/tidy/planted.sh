#!/usr/bin/env bash
# The tidy tests themselves: a small tree with one mistake per rule, each of which must be found at
# its line, and a tree without mistakes, in which nothing may be found.
. tests/tidy/sources.bash

tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
mkdir -p "$tree/tests/tidy" "$tree/base" "$tree/kernels" "$tree/trainer" "$tree/registry" "$tree/cli"
cp tests/tidy/*.sh tests/tidy/*.bash tests/tidy/*.awk "$tree/tests/tidy/"
cp .clang-format "$tree/"
failures=0

# plant FILE < text; seek SCRIPT TEXT: the script fails and says TEXT; quiet SCRIPT: it finds nothing.
plant() { cat > "$tree/$1"; }
report() { echo "tests/tidy/planted.sh: $*"; failures=$((failures + 1)); }
seek() {
    local out
    out=$(cd "$tree" && bash "tests/tidy/$1.sh" 2>&1) && report "$1.sh finds nothing, '$2' expected"
    [[ "$out" == *"$2"* ]] || report "$1.sh does not say '$2' but: $out"
}
quiet() {
    local out
    out=$(cd "$tree" && bash "tests/tidy/$1.sh" 2>&1)
    case $? in 0 | 77) ;; *) report "$1.sh on a clean tree: $out" ;; esac
}

clean() {
    rm -f "$tree"/{base,kernels,trainer,registry,cli}/*
    plant base/a.h <<< $'/* Says one. */\nint a_one(void);'
    plant base/a.c << 'END'
#include "base/a.h"

/* "strcpy(a, b)" in a comment or a text is no call; 'exit(' neither. */
int a_one(void)
{
    return err_set(0, 1, "cannot open '%s': puts(1)", "x") ? 1 : 0;
}
END
}

clean
for script in floors length banned messages headers contracts format; do quiet $script; done

plant base/b.c <<< '#include "kernels/k.h"'
seek floors 'base/b.c:1: base (floor 0) includes kernels (floor 1)'
plant trainer/b.c <<< '#include "registry/r.h"'
seek floors 'trainer/b.c:1: trainer (floor 6) includes registry (floor 6)'
plant trainer/b.c <<< '#include "b.h"'
seek floors 'trainer/b.c:1: "b.h" is not written from the root'

clean
{ echo 'int long_one(void)'; echo '{'; yes '    one();' | head -68; echo '}'; } | plant base/b.c
seek length 'base/b.c:1: long_one of 71 lines'
seek length '95th percentile is 71'
yes 'int a;' | head -501 | plant base/b.c
seek length 'base/b.c:501: file of 501 lines'
{ printf '/* '; printf 'x%.0s' {1..95}; echo ' */'; } | plant base/b.c
seek length 'base/b.c:1: 101 columns'
{ printf '/* '; printf '\303\244%.0s' {1..94}; echo ' */'; } | plant base/b.c
quiet length

clean
plant base/b.c << 'END'
void f(void)
{
    strcpy(a, b);
    x = atoi("1");
    printf("x");
    fprintf(stderr, "x");
    getenv("HOME");
    f = fopen("a", "w");
    fd = open("a", O_WRONLY);
}
#include <hdf5.h>
#include <dnnl.h>
void g(void)
{
    TRY(h());
out:
    return;
}
void h(void)
{
    TRY(h());
}
END
for line in 3 4 5 6 7 8 9 11 12 15; do seek banned "base/b.c:$line:"; done
out=$(cd "$tree" && bash tests/tidy/banned.sh)
[[ "$out" == *"base/b.c:20:"* ]] && report "banned.sh takes TRY in a function without out: for a mistake"
plant base/b.c <<< $'void f(void)\n{\n    snprintf(a, 1, "x");\n    o->exit(1);\n    strtol(a, 0, 1);\n}'
plant cli/b.c <<< $'int main(void)\n{\n    printf("x");\n    exit(1);\n}'
quiet banned

clean
plant base/b.c << 'END'
void f(void)
{
    err_set(e, 1, "Cannot open");
    err_set(e, 1,
            "cannot open "
            "it.");
    problem_add(p, mark, "failed to open");
    err_errno(e, bad ? 1 : 2, 5, "could not %s", "x");
}
END
for line in 3 5 7 8; do seek messages "base/b.c:$line:"; done
plant base/b.c <<< $'void f(void)\n{\n    err_set(e, 1, "NUL in it ...");\n    err_set(e, 1, text);\n}'
quiet messages

clean
plant base/b.h <<< 'size_t b(void);'
seek headers 'base/b.h:1: does not compile alone as C'
plant base/b.h <<< $'/* Common C/C++ subset. */\nstatic inline int *b(void *p) { return p; }'
seek headers 'base/b.h:1: does not compile alone as C++'

clean
plant base/b.h << 'END'
/* The file. */

int b_one(void);

/* A group. */
int b_two(void);
int b_three(int a,
            int b);

struct b *b_four(void);
END
seek contracts 'base/b.h:3: b_one has no contract'
seek contracts 'base/b.h:10: b_four has no contract'
seek contracts '2 findings'

clean
plant base/b.c <<< 'int   b ;'
out=$(cd "$tree" && bash tests/tidy/format.sh)
[ $? -eq 77 ] || seek format 'base/b.c:1: not laid out'

[ $failures -eq 0 ] && echo "planted: every rule finds its mistake"
exit $((failures > 0))
