/* The one place where text becomes markup. */
#include "eval/markup.h"

void markup_text(struct str *out, const char *text)
{
    static const char *const names[256] = {
        ['&'] = "&amp;", ['<'] = "&lt;", ['>'] = "&gt;", ['"'] = "&quot;", ['\''] = "&#39;"
    };
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (names[c])
            str_add(out, names[c]);
        else
            str_add_char(out, c < 0x20 ? ' ' : *text);
    }
}
