"""Rewrites a .cu file into C++ for the emulation: launches become calls, dynamic shared memory an
array. Usage: rewrite.py FROM TO"""
import re
import sys


def kernel_start(text, end):
    """Where the kernel's name (with template arguments) before text[end] begins."""
    at = end
    while text[at - 1].isspace():
        at -= 1
    if text[at - 1] == ">":
        depth = 0
        while True:
            at -= 1
            depth += (text[at] == ">") - (text[at] == "<")
            if depth == 0:
                break
    while at > 0 and re.match(r"\w", text[at - 1]):
        at -= 1
    return at


def closing(text, at):
    """The parenthesis that closes the one at text[at]."""
    depth = 0
    while True:
        depth += (text[at] == "(") - (text[at] == ")")
        if depth == 0:
            return at
        at += 1


def rewrite(text):
    while True:
        begin = text.find("<<<")
        if begin < 0:
            break
        end = text.find(">>>", begin)
        name = kernel_start(text, begin)
        last = closing(text, text.index("(", end))
        text = (text[:name] + "emulated(" + text[begin + 3:end] + ", [&]() { " + text[name:begin]
                + text[end + 3:last + 1] + "; })" + text[last + 1:])
    text = re.sub(r"\b__expf\b", "expf", text)  # the C library has another function of that name
    return re.sub(r"extern __shared__ __align__\(16\) ([\w ]+?) (\w+)\[\];",
                  r"alignas(16) static \1 \2[EMULATED_SHARED / sizeof(\1)];"
                  r" static int \2_known = emulated_dynamic(\2);", text)


with open(sys.argv[1]) as source:
    result = rewrite(source.read())
with open(sys.argv[2], "w") as target:
    target.write(result)
