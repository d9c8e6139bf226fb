/* Bringing what was written into the shape of its table.
 *
 * After this every map holds known keys only, and a choice, whether written NAME, {NAME: value} or
 * {NAME: {options}}, is a map with one child: the alternative's name and its map of options. */
#include "base/schema_internal.h"

#include <string.h>

static const char *kind_text(struct load *load, const struct node *node)
{
    if (node->kind == NODE_MAP) return "a map";
    if (node->kind == NODE_LIST) return "a list";
    return arena_format(load->arena, "'%s'", text_shown(load->arena, node->text));
}

/* Where to point for a value: at itself, or for a block map at its key. */
static struct mark place_of(const struct node *node)
{
    return node->kind != NODE_SCALAR && node->key ? node->key_mark : node->mark;
}

static void refuse_kind(struct load *load, struct node *node, const struct field *field,
                        const struct trail *trail)
{
    struct problem *problem = problem_add(load->problems, place_of(node), "%s must be %s, got %s",
                                          trail_subject(load->arena, trail),
                                          field_expects(load->arena, field), kind_text(load, node));
    with_origin(load, problem, node);
    if (field->type == FIELD_LIST && node->kind == NODE_SCALAR)
        problem->hint = arena_format(load->arena, "write [%s]",
                                     text_shown(load->arena, node->text));
    node->broken = true;
}

void shape_map(struct load *load, struct node *node, const struct field *fields,
               const struct trail *trail)
{
    struct node **link = &node->first;
    while (*link) {
        struct node *child = *link;
        const struct field *row = field_find(fields, child->key);
        if (!row) {
            const char *meant = unknown_key(load, child->key_mark, fields, trail, child->key);
            if (!meant || node_child(node, meant)) {
                *link = child->next;
                node->count--;
                continue;
            }
            /* It stands for what was meant, so that this one is not reported as missing too. */
            child->key = meant;
            child->broken = true;
            row = field_find(fields, meant);
        }
        struct trail here = { .up = trail, .key = row->key };
        shape_value(load, child, row, &here);
        link = &child->next;
    }
}

static void shape_list(struct load *load, struct node *node, const struct trail *trail)
{
    struct trail here = { .up = trail };
    for (struct node *item = node->first; item; item = item->next, here.index++)
        shape_value(load, item, node->field->item, &here);
}

/* `{NAME: value}` becomes `{NAME: {shorthand: value}}`. */
static void expand_shorthand(struct load *load, struct node *options, const char *key)
{
    struct node *value = ARENA_NEW(load->arena, struct node);
    *value = *options;
    value->key = key;
    value->key_mark = options->mark;
    value->next = NULL;
    options->kind = NODE_MAP;
    options->text = NULL;
    options->quoted = options->broken = false;
    options->first = value;
    options->count = 1;
}

/* The options of the alternative that was named. */
static void shape_options(struct load *load, struct node *node, const struct trail *trail)
{
    const struct choice *choice = node_alternative(node);
    struct node *options = node->first;
    struct trail here = { .up = trail, .key = choice->name };
    if (options->broken) {
        node->broken = true;
        return;
    }
    if (options->kind != NODE_MAP && choice->shorthand)
        expand_shorthand(load, options, choice->shorthand);
    bool takes_none = !choice->fields && (options->kind != NODE_MAP || options->count);
    if (takes_none) {
        problem_add(load->problems, options->key_mark, "'%s' takes no options", choice->name)
            ->hint = arena_format(load->arena, "write %s alone", choice->name);
        node->broken = true;
    } else if (options->kind != NODE_MAP) {
        problem_add(load->problems, options->mark, "'%s' takes a map of options, got %s",
                    choice->name, kind_text(load, options))
            ->allowed = names_joined(load->arena,
                                     "known here: ", field_names(load->arena, choice->fields));
        node->broken = true;
    } else {
        shape_map(load, options, choice->fields, &here);
    }
}

/* A bare NAME becomes a map with one empty child. */
static void wrap_name(struct load *load, struct node *node)
{
    struct node *options = ARENA_NEW(load->arena, struct node);
    options->kind = NODE_MAP;
    options->key = node->text;
    options->key_mark = options->mark = node->mark;
    options->is_default = node->is_default;
    node->kind = NODE_MAP;
    node->text = NULL;
    node->first = options;
    node->count = 1;
}

/* A bare text that names no alternative becomes {PLAIN: text} where the table has such a row. */
static void wrap_plain(struct node *node, struct arena *arena)
{
    const struct choice *plain = node->field->choices;
    while (plain->name && !plain->plain) plain++;
    if (!plain->name || choice_find(node->field->choices, node->text)) return;
    struct node *value = ARENA_NEW(arena, struct node);
    *value = *node;
    value->key = plain->name;
    value->key_mark = node->mark;
    value->next = NULL;
    node->kind = NODE_MAP;
    node->text = NULL;
    node->quoted = false;
    node->first = value;
    node->count = 1;
}

static void refuse_several(struct load *load, struct node *node, const struct trail *trail)
{
    const char *names[8] = { NULL };
    size_t count = 0;
    for (const struct node *c = node->first; c && count < 7; c = c->next) names[count++] = c->key;
    struct problem *problem = problem_add(load->problems, place_of(node),
                                          "%s must name one choice, got %zu%s",
                                          trail_subject(load->arena, trail), node->count,
                                          count ? names_joined(load->arena, ": ", names) : "");
    problem->hint = "write NAME or {NAME: {options}}";
    problem->allowed = names_joined(load->arena,
                                    "choices: ", choice_names(load->arena, node->field->choices));
    node->broken = true;
}

static void shape_choice(struct load *load, struct node *node, const struct trail *trail)
{
    if (node->kind == NODE_SCALAR) {
        substitute_environment(load, node);
        if (node->broken) return;
        wrap_plain(node, load->arena);
        if (node->kind == NODE_SCALAR) wrap_name(load, node);
    } else if (node->kind == NODE_LIST) {
        refuse_kind(load, node, node->field, trail);
        return;
    } else if (node->count != 1) {
        refuse_several(load, node, trail);
        return;
    }
    if (node_alternative(node)) {
        shape_options(load, node, trail);
        return;
    }
    unknown_choice(load, node->first->key_mark, node->field->choices, trail, node->first->key);
    node->broken = true;
}

void shape_value(struct load *load, struct node *node, const struct field *field,
                 const struct trail *trail)
{
    node->field = field;
    if (node->broken) return;
    if (field->type == FIELD_CHOICE) {
        shape_choice(load, node, trail);
    } else if (field->type == FIELD_MAP) {
        if (node->kind != NODE_MAP)
            refuse_kind(load, node, field, trail);
        else
            shape_map(load, node, field->fields, trail);
    } else if (field->type == FIELD_LIST) {
        if (node->kind != NODE_LIST)
            refuse_kind(load, node, field, trail);
        else
            shape_list(load, node, trail);
    } else if (node->kind != NODE_SCALAR) {
        refuse_kind(load, node, field, trail);
    }
}
