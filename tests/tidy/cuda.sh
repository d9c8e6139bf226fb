#!/usr/bin/env bash
# Every op of the op table has a row in the CUDA module's table, and no row is doubled.
set -euo pipefail
wanted=$(sed -n '/^#define OPS(X)/,/^$/p' kernels/op.h | grep -o 'X([A-Z0-9_]*' | sed 's/X(//' | grep . | sort)
there=$(grep -o '^ *\[OP_[A-Z0-9_]*\]' kernels/cuda/table.c | tr -d ' []' | sed 's/^OP_//' | sort)
if [ "$wanted" != "$there" ]; then
    echo "kernels/cuda/table.c and OPS in kernels/op.h differ:"
    diff <(echo "$wanted") <(echo "$there") || true
    exit 1
fi
echo "cuda: $(echo "$there" | wc -l) rows, fine"
