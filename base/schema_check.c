/* Defaults and missing keys, then types and ranges of everything.
 *
 * Defaults go in before references are put in place, so that a reference may name a default. A
 * default that is a map lies below what was written: setting one option of a default choice keeps
 * its others. */
#include "base/fs.h"
#include "base/schema_internal.h"

#include <string.h>

static void fill_value(struct load *load, struct node *node, const struct trail *trail);

static void mark_default(struct node *node)
{
    node->is_default = true;
    node->mark = node->key_mark = (struct mark){ .file = "default", .width = 1 };
    for (struct node *child = node->first; child; child = child->next) mark_default(child);
}

/* The row's default as a shaped node; its text was written by us, so that it parses. */
static struct node *default_node(struct load *load, const struct field *row,
                                 const struct trail *trail)
{
    struct node *node = NULL;
    const char *fallback = field_fallback(row);
    bool plain = field_is_scalar(row) && fallback[0] != '"' && fallback[0] != '\'';
    if (plain) {
        node = ARENA_NEW(load->arena, struct node);
        node->text = fallback;
    } else {
        yaml_collect(&node, load->problems, fallback, strlen(fallback), "default");
        REQUIRE(node);
    }
    mark_default(node);
    node->key = row->key;
    shape_value(load, node, row, trail);
    return node;
}

static void report_missing(struct load *load, const struct node *map, const struct field *row,
                           const struct trail *trail)
{
    struct mark mark = !trail ? load->kind_mark : map->key ? map->key_mark : map->mark;
    struct problem *problem = problem_add(
        load->problems, mark, "missing key '%s' %s", row->key,
        trail ? arena_format(load->arena, "in %s", trail_path(load->arena, trail))
              : "at the top level");
    problem->nearest = row->key;
    if (row->example)
        problem->hint = arena_format(load->arena, "add '%s: %s'", row->key, row->example);
}

/* The child of `map` for a row, made from the default where it is absent; NULL when there is
 * none. */
static struct node *filled_child(struct load *load, struct node *map, const struct field *row,
                                 const struct trail *trail)
{
    struct trail here = { .up = trail, .key = row->key };
    struct node *child = node_child(map, row->key);
    const char *fallback = field_fallback(row);
    if (load->fragment) return child;
    if (!child && row->required) report_missing(load, map, row, trail);
    if (!fallback) return child;
    if (!child) return default_node(load, row, &here);
    if (child->broken || child->kind != NODE_MAP || fallback[0] != '{') return child;
    struct node *below = default_node(load, row, &here);
    merge_value(load, below, child);
    return below;
}

void fill_map(struct load *load, struct node *map, const struct field *fields,
              const struct trail *trail)
{
    size_t rows = 0, count = 0;
    while (fields && fields[rows].type) rows++;
    struct node **children = ARENA_ARRAY(load->arena, rows, struct node *);
    for (size_t i = 0; i < rows; i++) {
        struct node *child = filled_child(load, map, &fields[i], trail);
        if (!child) continue;
        struct trail here = { .up = trail, .key = fields[i].key };
        fill_value(load, child, &here);
        children[count++] = child;
    }
    /* Linked last, in the order of the table: until here they are found in the old order. */
    map->first = count ? children[0] : NULL;
    map->count = count;
    for (size_t i = 0; i < count; i++) children[i]->next = i + 1 < count ? children[i + 1] : NULL;
}

static void fill_value(struct load *load, struct node *node, const struct trail *trail)
{
    const struct field *field = node->field;
    if (node->broken) return;
    if (field_is_scalar(field)) {
        bool places = field->type == FIELD_PATH || field->type == FIELD_REF;
        const char *from = node->mark.line ? node->mark.file : node->is_default ? load->path : "";
        if (places) node->base = path_dir(load->arena, from);
    } else if (field->type == FIELD_MAP) {
        fill_map(load, node, field->fields, trail);
    } else if (field->type == FIELD_LIST) {
        struct trail here = { .up = trail };
        for (struct node *item = node->first; item; item = item->next, here.index++)
            fill_value(load, item, &here);
    } else {
        const struct choice *choice = node_alternative(node);
        struct trail here = { .up = trail, .key = choice->name };
        fill_map(load, node->first, choice->fields, &here);
    }
}

/* What a scalar holds, once it parsed. `ranged`: `value` is held to the row's range. */
struct reading {
    const char *reason;
    double value;
    bool ranged;
};

static bool is_name(const char *text)
{
    size_t len = strlen(text);
    bool first = (text[0] >= 'a' && text[0] <= 'z') || (text[0] >= '0' && text[0] <= '9');
    return first && len <= 64 && strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789._-") == len;
}

static bool read_scalar(struct reading *reading, const struct node *node)
{
    const struct field *field = node->field;
    const char *text = node->text, **reason = &reading->reason;
    int64_t whole = 0;
    struct span span = { 0 };
    bool truth, fine = true;
    switch (field->type) {
    case FIELD_BOOL:
        return units_bool(&truth, text, reason);
    case FIELD_NAME:
        return is_name(text);
    case FIELD_PATH:
    case FIELD_REF:
        return text[0] != '\0';
    case FIELD_INT:
        fine = units_int(&whole, text, reason);
        break;
    case FIELD_BYTES:
        fine = units_bytes(&whole, text, reason);
        break;
    case FIELD_REAL:
        fine = units_real(&reading->value, text, field->infinite, reason);
        break;
    case FIELD_TIME:
        fine = units_time(&reading->value, text, field->unit, reason);
        break;
    case FIELD_SPAN:
        fine = units_span(&span, text, field->unit, reason);
        break;
    default:
        return true;
    }
    if (field->type == FIELD_INT || field->type == FIELD_BYTES) reading->value = (double)whole;
    if (field->type == FIELD_SPAN) reading->value = span.value;
    reading->ranged = fine;
    return fine;
}

static bool in_range(const struct field *field, double value)
{
    if (field->low == 0 && field->high == 0 && !field->low_open) return true;
    bool top = field->high >= field->low && !(field->high == 0 && field->low == 0);
    if (value < field->low || (field->low_open && value == field->low)) return false;
    return !top || value <= field->high;
}

static struct problem *refuse(struct load *load, struct node *node, struct problem *problem)
{
    node->broken = true;
    return with_origin(load, problem, node);
}

static void check_word(struct load *load, struct node *node, const struct trail *trail)
{
    const char *const *words = node->field->words;
    for (size_t i = 0; words[i]; i++)
        if (strcmp(words[i], node->text) == 0) return;
    struct problem *problem = refuse(
        load, node,
        problem_add(load->problems, node->mark, "unknown word '%s' for %s",
                    text_shown(load->arena, node->text), trail_path(load->arena, trail)));
    problem->nearest = text_nearest(node->text, words);
    if (problem->nearest)
        problem->hint = arena_format(load->arena, "did you mean '%s'?", problem->nearest);
    problem->allowed = names_joined(load->arena, "words: ", words);
}

/* Texts in quotes are texts: `epochs: "5"` is no number. */
static bool needs_plain(const struct field *field)
{
    return field->type == FIELD_BOOL || field->type == FIELD_INT || field->type == FIELD_REAL ||
           field->type == FIELD_BYTES || field->type == FIELD_TIME || field->type == FIELD_SPAN;
}

static void check_scalar(struct load *load, struct node *node, const struct trail *trail)
{
    const struct field *field = node->field;
    const char *subject = trail_subject(load->arena, trail);
    const char *shown = text_shown(load->arena, node->text);
    struct reading reading = { 0 };
    if (!node->quoted && (units_null(node->text) || !node->text[0])) {
        refuse(load, node, problem_add(load->problems, node->mark, "%s has no value", subject))
            ->hint = "leave the key out, or give a value";
    } else if (node->quoted && needs_plain(field)) {
        refuse(load, node,
               problem_add(load->problems, node->mark, "%s must be %s, got the text '%s'", subject,
                           field_expects(load->arena, field), shown))
            ->hint = "remove the quotes";
    } else if (field->type == FIELD_WORD) {
        check_word(load, node, trail);
    } else if (!read_scalar(&reading, node)) {
        refuse(load, node,
               problem_add(load->problems, node->mark, "%s must be %s, got '%s'", subject,
                           field_expects(load->arena, field), shown))
            ->hint = reading.reason;
    } else if (reading.ranged && !in_range(field, reading.value)) {
        refuse(load, node,
               problem_add(load->problems, node->mark, "%s must be %s, got %s", subject,
                           field_range(load->arena, field), shown));
    }
}

static void check_value(struct load *load, struct node *node, const struct trail *trail)
{
    if (node->broken) return;
    const struct field *field = node->field;
    if (field_is_scalar(field)) {
        check_scalar(load, node, trail);
    } else if (field->type == FIELD_MAP) {
        check_map(load, node, trail);
    } else if (field->type == FIELD_CHOICE) {
        struct trail here = { .up = trail, .key = node->first->key };
        check_map(load, node->first, &here);
    } else {
        struct trail here = { .up = trail };
        if (field->nonempty && !node->first)
            refuse(load, node,
                   problem_add(load->problems, node->mark, "%s must have at least one item",
                               trail_subject(load->arena, trail)));
        for (struct node *item = node->first; item; item = item->next, here.index++)
            check_value(load, item, &here);
    }
}

void check_map(struct load *load, struct node *map, const struct trail *trail)
{
    for (struct node *child = map->first; child; child = child->next) {
        struct trail here = { .up = trail, .key = child->key };
        check_value(load, child, &here);
    }
}
