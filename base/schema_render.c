/* The effective document as YAML that can be run again.
 *
 * Every value stands there, defaults too, with where it came from as a comment. Texts are quoted
 * whenever they could be read as anything else, and `${` is written `$${`, so that reading the
 * rendered text gives the same values and the same digest. */
#include "base/fs.h"
#include "base/schema_internal.h"
#include "base/utf8.h"

#include <string.h>

enum { ORIGIN_COLUMN = 44 };

struct render {
    struct arena arena;
    struct str *out;
    struct str line; /* begun and not ended */
    const char *dir;
};

static void end_line(struct render *render, const struct node *origin)
{
    if (origin) {
        const char *place = text_shown(&render->arena, place_text(&render->arena, origin->mark));
        int pad = ORIGIN_COLUMN - (int)render->line.len;
        str_addf(&render->line, "%*s  # %s", pad > 0 ? pad : 0, "", place);
    }
    str_addf(render->out, "%s\n", str_text(&render->line));
    str_clear(&render->line);
}

static void indent(struct render *render, int level)
{
    if (render->line.len == 0) str_addf(&render->line, "%*s", level * 2, "");
}

/* Characters that mean nothing to YAML wherever they stand behind the first one. */
static bool is_plain(const char *text)
{
    static const char *const inner = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                     "0123456789_./@+-";
    return text[0] && strspn(text, inner) == strlen(text) && text[0] != '-' && text[0] != '@' &&
           !units_null(text) && strcmp(text, "...") != 0;
}

/* Code points that yaml.c refuses where they stand for themselves. */
static bool needs_escape(uint32_t point)
{
    return point < 0x20 || (point >= 0x7F && point < 0xA0) || point == 0x2028 || point == 0x2029 ||
           point == 0xFEFF || (point & 0xFFFE) == 0xFFFE;
}

static void add_quoted(struct str *out, const char *text)
{
    size_t len = strlen(text);
    str_add_char(out, '"');
    for (size_t i = 0, step; i < len; i += step) {
        uint32_t point = 0;
        step = utf8_decode(&point, text + i, len - i);
        REQUIRE(step); /* files, --set and the environment are checked */
        if (point == '"' || point == '\\')
            str_addf(out, "\\%c", (char)point);
        else if (point == '\n')
            str_add(out, "\\n");
        else if (needs_escape(point))
            str_addf(out, point > 0xFFFF ? "\\U%08X" : "\\u%04X", point);
        else
            str_add_len(out, text + i, step);
    }
    str_add_char(out, '"');
}

/* `${` must not be read as a substitution again. */
static const char *escaped(struct arena *arena, const char *text)
{
    if (!strstr(text, "${")) return text;
    struct str out = { 0 };
    for (; *text; text++) {
        if (text[0] == '$' && text[1] == '{') str_add_char(&out, '$');
        str_add_char(&out, *text);
    }
    const char *copy = arena_copy(arena, str_text(&out));
    str_release(&out);
    return copy;
}

static void add_scalar(struct render *render, const struct node *node)
{
    enum field_type type = node->field->type;
    const char *text = node->text;
    bool name = type == FIELD_REF && strchr(text, '@');
    if ((type == FIELD_PATH || type == FIELD_REF) && !name)
        text = path_from(&render->arena, render->dir, node_path(&render->arena, node, NULL));
    /* A part alone keeps the references that only the file which extends it can resolve. */
    if (!node->broken) text = escaped(&render->arena, text);
    /* A number keeps its letters; a scalar of any type keeps its quotes, which say what it is. */
    bool number = type == FIELD_BOOL || type == FIELD_INT || type == FIELD_REAL ||
                  type == FIELD_BYTES || type == FIELD_TIME || type == FIELD_SPAN;
    if (number || (is_plain(text) && !(type == FIELD_ANY && node->quoted)))
        str_add(&render->line, text);
    else
        add_quoted(&render->line, text);
}

static void render_map(struct render *render, const struct node *map, int level);

/* What stands behind "key:" or "-". */
static void render_value(struct render *render, const struct node *node, int level)
{
    const struct field *field = node->field;
    if (field_is_scalar(field)) {
        str_add_char(&render->line, ' ');
        add_scalar(render, node);
        end_line(render, node);
    } else if (!node->first) {
        str_add(&render->line, field->type == FIELD_LIST ? " []" : " {}");
        end_line(render, node);
    } else if (field->type == FIELD_CHOICE && !node->first->first) {
        str_addf(&render->line, " %s", node->first->key);
        end_line(render, node);
    } else if (field->type == FIELD_LIST) {
        end_line(render, NULL);
        for (const struct node *item = node->first; item; item = item->next) {
            indent(render, level);
            str_add_char(&render->line, '-');
            render_value(render, item, level + 1);
        }
    } else {
        /* Behind "-" the first key stands in the same line. */
        if (text_ends(str_text(&render->line), "-"))
            str_add_char(&render->line, ' ');
        else
            end_line(render, NULL);
        render_map(render, node, level);
    }
}

static void render_map(struct render *render, const struct node *map, int level)
{
    for (const struct node *child = map->first; child; child = child->next) {
        indent(render, level);
        str_addf(&render->line, "%s:", child->key);
        if (child->field) {
            render_value(render, child, level + 1);
        } else { /* the alternative of a choice and its options */
            end_line(render, NULL);
            render_map(render, child, level + 1);
        }
    }
}

void document_render(const struct document *document, const char *dir, struct str *out)
{
    struct render render = { .out = out, .dir = dir };
    str_addf(out, "pawl: %s/%d\n", document->kind->name, document->kind->version);
    render_map(&render, document->root, 0);
    str_release(&render.line);
    arena_release(&render.arena);
}
