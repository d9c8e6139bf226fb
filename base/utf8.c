/* UTF-8 by table: length, lowest code point and mask follow from the first byte.
 *
 * A form is refused where a shorter one exists, so every code point has one spelling. */
#include "base/utf8.h"

#include <string.h>

static const struct {
    unsigned char first, mask;
    uint32_t lowest;
} forms[] = {
    { 0x00, 0x80, 0x0 },
    { 0xC0, 0xE0, 0x80 },
    { 0xE0, 0xF0, 0x800 },
    { 0xF0, 0xF8, 0x10000 },
};

size_t utf8_decode(uint32_t *point, const char *text, size_t len)
{
    if (len == 0) return 0;
    unsigned char first = (unsigned char)text[0];
    for (size_t more = 0; more < sizeof forms / sizeof *forms; more++) {
        if ((first & forms[more].mask) != forms[more].first) continue;
        if (len < more + 1) return 0;
        uint32_t value = first & (unsigned char)~forms[more].mask;
        for (size_t i = 1; i <= more; i++) {
            unsigned char byte = (unsigned char)text[i];
            if ((byte & 0xC0) != 0x80) return 0;
            value = value << 6 | (byte & 0x3F);
        }
        if (value < forms[more].lowest || value > 0x10FFFF) return 0;
        if (value >= 0xD800 && value <= 0xDFFF) return 0;
        if (point) *point = value;
        return more + 1;
    }
    return 0;
}

bool utf8_valid(const char *text, size_t len)
{
    for (size_t i = 0, step; i < len; i += step)
        if (!(step = utf8_decode(NULL, text + i, len - i))) return false;
    return true;
}

int utf8_columns(const char *text, size_t len)
{
    int columns = 0;
    for (size_t i = 0; i < len; columns++) {
        size_t step = utf8_decode(NULL, text + i, len - i);
        i += step ? step : 1;
    }
    return columns;
}

void utf8_make_printable(char *text)
{
    size_t len = strlen(text), to = 0;
    for (size_t at = 0; at < len;) {
        uint32_t point;
        size_t taken = utf8_decode(&point, text + at, len - at);
        bool kept = taken && (point >= 0xa0 || (point >= 0x20 && point < 0x7f) || point == '\n' ||
                              point == '\t');
        if (!taken) taken = 1;
        if (kept) {
            memmove(text + to, text + at, taken);
            to += taken;
        } else {
            text[to++] = '?';
        }
        at += taken;
    }
    text[to] = 0;
}
