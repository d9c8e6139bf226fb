/* Collectives in words. */
#include "kernels/collective.h"

#include <stdio.h>

const char *collective_name(enum collective_kind kind)
{
    static const char *const names[COLLECTIVE_KINDS] = {
        [COLLECTIVE_ALL_REDUCE] = "all_reduce",
        [COLLECTIVE_REDUCE_SCATTER] = "reduce_scatter",
        [COLLECTIVE_ALL_GATHER] = "all_gather",
        [COLLECTIVE_BROADCAST] = "broadcast",
    };
    return names[kind];
}

const char *collective_op_name(enum collective_op op)
{
    static const char *const names[COLLECTIVE_OPS] = {
        [COLLECTIVE_SUM] = "sum",
        [COLLECTIVE_MEAN] = "mean",
        [COLLECTIVE_MAX] = "maximum",
    };
    return names[op];
}

const char *collective_text(const struct collective *collective, char text[COLLECTIVE_TEXT])
{
    bool reduces = collective->kind <= COLLECTIVE_REDUCE_SCATTER;
    snprintf(text, COLLECTIVE_TEXT, "%s%s%s of %lld %s", collective_name(collective->kind),
             reduces ? " " : "", reduces ? collective_op_name(collective->op) : "",
             (long long)collective->count, dtype_name(collective->dtype));
    return text;
}
