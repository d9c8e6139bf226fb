/* Recursive descent over words, numbers, quoted texts and operators. Depth is bounded by the number
 * of nodes. */
#include "registry/find_internal.h"

#include "base/str.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum token_kind { TOKEN_END, TOKEN_WORD, TOKEN_TEXT, TOKEN_OPERATOR, TOKEN_OPEN, TOKEN_CLOSE };

static const struct {
    const char *text;
    enum find_operator op;
} operators[] = {
    /* longer ones first */
    { "==", FIND_EQUAL }, { "!=", FIND_UNEQUAL }, { "<=", FIND_AT_MOST }, { ">=", FIND_AT_LEAST },
    { "=", FIND_EQUAL },  { "<", FIND_LESS },     { ">", FIND_MORE },     { "~", FIND_CONTAINS },
};

struct parsing {
    struct find_tree *tree;
    struct arena *arena;
    const char *text;
    size_t at; /* behind the token */
    enum token_kind kind;
    const char *word; /* of the token */
    enum find_operator op;
    int position, depth;
};

enum code find_wrong(const char *text, int position, struct err *err, const char *format, ...)
{
    char what[240];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return err_set(err, USAGE, "cannot search '%.160s': position %d: %s", text, position, what);
}

static const char *describe(const struct parsing *p)
{
    if (p->kind == TOKEN_END) return "the end";
    return arena_format(p->arena, "'%s'", p->word);
}

static enum code next_quoted(struct parsing *p, struct err *err)
{
    char quote = p->text[p->at];
    const char *from = p->text + p->at + 1, *end = strchr(from, quote);
    if (!end) return find_wrong(p->text, p->position, err, "the text has no closing %c", quote);
    p->kind = TOKEN_TEXT;
    p->word = arena_copy_len(p->arena, from, (size_t)(end - from));
    p->at = (size_t)(end - p->text) + 1;
    return OK;
}

static enum code next(struct parsing *p, struct err *err)
{
    p->at += strspn(p->text + p->at, " \t\n");
    const char *here = p->text + p->at;
    p->position = (int)p->at + 1;
    p->kind = TOKEN_END;
    p->word = "";
    if (!*here) return OK;
    if (*here == '\'' || *here == '"') return next_quoted(p, err);
    size_t len = 1;
    if (*here == '(' || *here == ')') {
        p->kind = *here == '(' ? TOKEN_OPEN : TOKEN_CLOSE;
    } else {
        len = strcspn(here, " \t\n()=!<>~'\"");
        p->kind = TOKEN_WORD;
        for (size_t i = 0; !len && i < sizeof operators / sizeof *operators; i++) {
            if (!text_starts(here, operators[i].text)) continue;
            len = strlen(operators[i].text);
            p->kind = TOKEN_OPERATOR;
            p->op = operators[i].op;
        }
        if (!len) return find_wrong(p->text, p->position, err, "'%c' is no operator", *here);
    }
    p->word = arena_copy_len(p->arena, here, len);
    p->at += len;
    return OK;
}

static bool at_word(const struct parsing *p, const char *word)
{
    return p->kind == TOKEN_WORD && strcasecmp(p->word, word) == 0;
}

static enum code make(struct parsing *p, struct find_node **node, enum find_kind kind,
                      struct err *err)
{
    if (p->tree->count == FIND_NODES)
        return find_wrong(p->text, p->position, err, "the expression has more than %d parts",
                          FIND_NODES);
    *node = &p->tree->nodes[p->tree->count++];
    **node = (struct find_node){ .kind = kind, .position = p->position };
    return OK;
}

static enum code parse_comparison(struct parsing *p, const struct find_node **made, struct err *err)
{
    struct find_node *node = NULL;
    if (p->kind != TOKEN_WORD)
        return find_wrong(p->text, p->position, err, "a field is expected, not %s", describe(p));
    TRY(make(p, &node, FIND_COMPARE, err));
    node->field = p->word;
    TRY(next(p, err));
    if (p->kind != TOKEN_OPERATOR) {
        find_wrong(p->text, p->position, err, "an operator is expected behind '%s', not %s",
                   node->field, describe(p));
        return err_hint(err, "Operators are = != < <= > >= and ~ (contains).");
    }
    node->op = p->op;
    TRY(next(p, err));
    if (p->kind != TOKEN_WORD && p->kind != TOKEN_TEXT)
        return find_wrong(p->text, p->position, err, "a value is expected, not %s", describe(p));
    char *end;
    node->value = p->word;
    node->value_position = p->position;
    node->number = strtod(p->word, &end);
    node->is_number = p->kind == TOKEN_WORD && end != p->word && !*end;
    *made = node;
    return next(p, err);
}

static enum code parse_or(struct parsing *p, const struct find_node **made, struct err *err);

static enum code parse_part(struct parsing *p, const struct find_node **made, struct err *err)
{
    struct find_node *node = NULL;
    if (at_word(p, "not")) {
        TRY(make(p, &node, FIND_NOT, err));
        TRY(next(p, err));
        *made = node;
        return parse_part(p, &node->left, err);
    }
    if (p->kind != TOKEN_OPEN) return parse_comparison(p, made, err);
    int open = p->position;
    if (++p->depth > FIND_NODES)
        return find_wrong(p->text, open, err, "more than %d parentheses", FIND_NODES);
    TRY(next(p, err));
    TRY(parse_or(p, made, err));
    p->depth--;
    if (p->kind != TOKEN_CLOSE)
        return find_wrong(p->text, p->position, err,
                          "')' is expected for the '(' at position %d, not %s", open, describe(p));
    return next(p, err);
}

/* Parts joined by one word; `part` is what binds closer. */
typedef enum code (*parse_with)(struct parsing *p, const struct find_node **made, struct err *err);

static enum code parse_chain(struct parsing *p, const struct find_node **made, enum find_kind kind,
                             parse_with part, struct err *err)
{
    TRY(part(p, made, err));
    while (at_word(p, kind == FIND_OR ? "or" : "and")) {
        struct find_node *node = NULL;
        TRY(make(p, &node, kind, err));
        node->left = *made;
        *made = node;
        TRY(next(p, err));
        TRY(part(p, &node->right, err));
    }
    return OK;
}

static enum code parse_and(struct parsing *p, const struct find_node **made, struct err *err)
{
    return parse_chain(p, made, FIND_AND, parse_part, err);
}

static enum code parse_or(struct parsing *p, const struct find_node **made, struct err *err)
{
    return parse_chain(p, made, FIND_OR, parse_and, err);
}

enum code find_parse(struct find_tree *tree, struct arena *arena, const char *text, struct err *err)
{
    struct parsing p = { .tree = tree, .arena = arena, .text = text };
    memset(tree, 0, sizeof *tree);
    tree->text = text;
    if (strlen(text) > FIND_EXPRESSION)
        return err_set(err, USAGE, "cannot search: the expression has %zu bytes, more than %d",
                       strlen(text), FIND_EXPRESSION);
    TRY(next(&p, err));
    TRY(parse_or(&p, &tree->root, err));
    if (p.kind == TOKEN_END) return OK;
    find_wrong(text, p.position, err, "'and' or 'or' is expected, not %s", describe(&p));
    return USAGE;
}
