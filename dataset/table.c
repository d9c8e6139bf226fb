/* Drawing splits: a row's split depends on the seed, the number of rows and the row alone. */
#include "dataset/table.h"

#include "base/rng.h"

#include <string.h>

uint64_t table_row_bytes(const struct table_column *column)
{
    uint64_t bytes = h5_type_size(column->type);
    for (int i = 1; i < column->rank; i++)
        REQUIRE(!__builtin_mul_overflow(bytes, column->dim[i], &bytes));
    return bytes;
}

enum code table_draw(struct table_split *splits, size_t split_count, struct arena *arena,
                     uint64_t rows, uint64_t seed, struct err *err)
{
    uint64_t key = rng_mix(seed, rng_hash("split")), drawn = 0;
    for (size_t s = 1; s < split_count; s++) {
        if (splits[s].count >= rows - drawn)
            return err_set(
                err, USAGE,
                "cannot take %llu rows for '%s': %llu of %llu are left, and one must remain",
                (unsigned long long)splits[s].count, splits[s].name,
                (unsigned long long)(rows - drawn), (unsigned long long)rows);
        drawn += splits[s].count;
    }
    uint8_t *owner = ARENA_ARRAY(arena, rows, uint8_t);
    for (size_t s = 1, i = 0; s < split_count; s++)
        for (uint64_t n = 0; n < splits[s].count; n++)
            owner[rng_permute(key, rows, i++)] = (uint8_t)s;
    splits[0].count = rows - drawn;
    for (size_t s = 0; s < split_count; s++) {
        uint64_t *list = ARENA_ARRAY(arena, splits[s].count, uint64_t), used = 0;
        for (uint64_t row = 0; row < rows; row++)
            if (owner[row] == s) list[used++] = row;
        splits[s].rows = list;
    }
    return OK;
}
