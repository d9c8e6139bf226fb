/* Growing buffers and the string distance behind every "did you mean". */
#include "base/str.h"

#include "base/arena.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void reserve(struct str *str, size_t more)
{
    REQUIRE(more < SIZE_MAX / 4 && str->len < SIZE_MAX / 4);
    size_t need = str->len + more + 1;
    if (need <= str->size) return;
    size_t size = str->size ? str->size * 2 : 128;
    if (size < need) size = need;
    char *at = realloc(str->at, size);
    if (!at) memory_refused(size);
    str->at = at;
    str->size = size;
}

void str_add_len(struct str *str, const void *bytes, size_t len)
{
    reserve(str, len);
    if (len) memcpy(str->at + str->len, bytes, len);
    str->len += len;
    str->at[str->len] = '\0';
}

void str_add(struct str *str, const char *text)
{
    str_add_len(str, text, strlen(text));
}

void str_add_char(struct str *str, char c)
{
    str_add_len(str, &c, 1);
}

void str_addf(struct str *str, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    REQUIRE(len >= 0);
    reserve(str, (size_t)len);
    vsnprintf(str->at + str->len, (size_t)len + 1, format, again);
    va_end(again);
    str->len += (size_t)len;
}

const char *str_text(const struct str *str)
{
    return str->at ? str->at : "";
}

void str_clear(struct str *str)
{
    str->len = 0;
    if (str->at) str->at[0] = '\0';
}

void str_release(struct str *str)
{
    free(str->at);
    memset(str, 0, sizeof *str);
}

bool text_starts(const char *text, const char *part)
{
    return strncmp(text, part, strlen(part)) == 0;
}

bool text_ends(const char *text, const char *part)
{
    size_t len = strlen(text), part_len = strlen(part);
    return len >= part_len && memcmp(text + len - part_len, part, part_len) == 0;
}

static int least(int a, int b, int c)
{
    int ab = a < b ? a : b;
    return ab < c ? ab : c;
}

int text_distance(const char *a, const char *b)
{
    enum { LIMIT = 63 };
    size_t rows = strlen(a), cols = strlen(b);
    if (rows > LIMIT || cols > LIMIT) return 1000;
    int d[LIMIT + 1][LIMIT + 1];
    for (size_t i = 0; i <= rows; i++) d[i][0] = (int)i;
    for (size_t j = 0; j <= cols; j++) d[0][j] = (int)j;
    for (size_t i = 1; i <= rows; i++) {
        for (size_t j = 1; j <= cols; j++) {
            int change = a[i - 1] != b[j - 1];
            d[i][j] = least(d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + change);
            bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped && d[i - 2][j - 2] + 1 < d[i][j]) d[i][j] = d[i - 2][j - 2] + 1;
        }
    }
    return d[rows][cols];
}

const char *text_nearest(const char *text, const char *const *candidates)
{
    int limit = (int)strlen(text) / 3;
    if (limit < 1) limit = 1;
    const char *best = NULL;
    int best_distance = limit + 1;
    for (; *candidates; candidates++) {
        int distance = text_distance(text, *candidates);
        if (distance >= best_distance) continue;
        best_distance = distance;
        best = *candidates;
    }
    return best;
}
