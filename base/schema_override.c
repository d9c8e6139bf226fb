/* --set and --unset, held to the same tables as files.
 *
 * A path is turned into a small tree that is shaped and merged like one more file; only numbers of
 * list items have to be followed in the tree as it is, because lists do not merge. Positions are
 * columns of the argument, so that the caret stands under the component that is wrong. */
#include "base/schema_internal.h"
#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

enum { PATH_LEVELS = 48 };

struct component {
    const char *name;
    struct mark mark;
};

struct path {
    struct component parts[PATH_LEVELS];
    struct trail trails[PATH_LEVELS]; /* trails[i] leads to parts[i] */
    int count;
};

static struct mark mark_in(const char *option, const char *arg, size_t at, size_t len)
{
    return (struct mark){
        .file = option, .column = (int)at + 1, .width = len ? (int)len : 1, .source = arg
    };
}

/* Splits "a.b.2.c" (the first `len` bytes of `arg`). */
static bool split(struct load *load, struct path *path, const char *option, const char *arg,
                  size_t len)
{
    size_t at = 0;
    path->count = 0;
    for (;;) {
        size_t part = 0;
        while (at + part < len && arg[at + part] != '.') part++;
        struct mark mark = mark_in(option, arg, at, part);
        if (part == 0 || path->count == PATH_LEVELS) {
            problem_add(load->problems, mark,
                        part ? "the path is too deep" : "the path has an empty part")
                ->hint = "write path.to.key=value";
            return false;
        }
        path->parts[path->count++] =
            (struct component){ .name = arena_copy_len(load->arena, arg + at, part), .mark = mark };
        at += part;
        if (at >= len) return true;
        at++;
    }
}

static bool parse_index(size_t *index, const char *text)
{
    char *end;
    if (text[0] < '0' || text[0] > '9') return false;
    *index = strtoul(text, &end, 10);
    return *end == '\0';
}

/* Where a path leads in tables and tree. */
struct way {
    struct path path;
    int at;                           /* parts followed so far */
    const struct field *field;        /* the row reached; NULL in a map of `fields` */
    const struct field *fields;       /* of the map reached, where `field` is NULL or a map */
    struct node *node;                /* the node reached, or NULL when nothing is there yet */
    struct node *parent;              /* that holds `node` */
    struct node *anchor;              /* the last list item on the way, or the root */
    int anchor_at;                    /* parts up to and with the anchor */
    const struct field *anchor_field; /* its row; NULL for the root */
};

static void begin(struct load *load, struct way *way)
{
    way->fields = load->kind->fields;
    way->node = way->anchor = load->root;
}

static const struct trail *trail_to(const struct way *way, int count)
{
    return count ? &way->path.trails[count - 1] : NULL;
}

static bool step_list(struct load *load, struct way *way, const struct component *part)
{
    size_t index, count = way->node && way->node->kind == NODE_LIST ? way->node->count : 0;
    const char *list = trail_path(load->arena, trail_to(way, way->at));
    if (!parse_index(&index, part->name)) {
        problem_add(load->problems, part->mark, "%s is a list, got '%s'", list,
                    text_shown(load->arena, part->name))
            ->hint = "give the number of an item, from 0";
        return false;
    }
    if (index >= count) {
        problem_add(load->problems, part->mark, "no item %zu in %s: it has %zu", index, list,
                    count);
        return false;
    }
    struct node *item = way->node->first;
    for (size_t i = 0; i < index; i++) item = item->next;
    way->parent = way->node;
    way->node = way->anchor = item;
    way->field = way->anchor_field = way->field->item;
    way->anchor_at = way->at + 1;
    way->path.trails[way->at].key = NULL;
    way->path.trails[way->at].index = index;
    return true;
}

/* Into the alternative of a choice, or into a key of a map; NULL tables end the way. */
static bool step_name(struct way *way, const char *name)
{
    bool choice = way->field && way->field->type == FIELD_CHOICE;
    struct node *inside = way->node && way->node->kind == NODE_MAP ? way->node : NULL;
    way->parent = inside;
    way->node = inside ? node_child(inside, name) : NULL;
    if (choice) {
        const struct choice *found = choice_find(way->field->choices, name);
        way->field = NULL;
        way->fields = found ? found->fields : NULL;
        return found != NULL;
    }
    way->field = field_find(way->fields, name);
    way->fields = way->field && way->field->type == FIELD_MAP ? way->field->fields : NULL;
    return way->field != NULL;
}

/* Follows the path as far as the tables know it; false when a problem was reported. */
static bool follow(struct load *load, struct way *way)
{
    while (way->at < way->path.count) {
        const struct component *part = &way->path.parts[way->at];
        way->path.trails[way->at] = (struct trail){ .up = trail_to(way, way->at),
                                                    .key = part->name };
        if (way->field && way->field->type == FIELD_LIST) {
            if (!step_list(load, way, part)) return false;
            if (way->field->type == FIELD_MAP) way->fields = way->field->fields;
        } else if (!step_name(way, part->name)) {
            return true;
        }
        way->at++;
    }
    return true;
}

static void shift_marks(struct node *node, const struct mark *value)
{
    node->mark.file = node->key_mark.file = value->file;
    node->mark.line = node->key_mark.line = 0;
    node->mark.source = node->key_mark.source = value->source;
    node->mark.column += value->column - 1;
    node->key_mark.column += value->column - 1;
    for (struct node *child = node->first; child; child = child->next) shift_marks(child, value);
}

/* The value: YAML where the row is no scalar or the text is quoted; otherwise the text as it is. */
static struct node *value_node(struct load *load, const struct field *field, const char *text,
                               struct mark mark)
{
    bool quoted = text[0] == '"' || text[0] == '\'';
    struct node *node = NULL;
    if (!text[0]) {
        problem_add(load->problems, mark, "no value behind '='")->hint =
            "use --unset to take a key away";
        return NULL;
    }
    if (field && field_is_scalar(field) && !quoted) {
        node = ARENA_NEW(load->arena, struct node);
        node->text = text;
        node->mark = mark;
        return node;
    }
    struct problems found = { .arena = load->arena };
    yaml_collect(&node, &found, text, strlen(text), mark.file);
    for (const struct problem *p = found.first; p; p = p->next) {
        struct mark at = p->mark;
        at.file = mark.file;
        at.source = mark.source;
        at.column += mark.column - 1;
        at.line = 0;
        problem_add(load->problems, at, "%s", p->message)->hint = p->hint;
    }
    if (node) shift_marks(node, &mark);
    return node;
}

/* Wraps a value into maps for parts [from, count) of the path. */
static struct node *wrap(struct load *load, const struct path *path, int from, struct node *value)
{
    for (int i = path->count - 1; i >= from; i--) {
        value->key = path->parts[i].name;
        value->key_mark = path->parts[i].mark;
        struct node *map = ARENA_NEW(load->arena, struct node);
        map->kind = NODE_MAP;
        map->first = value;
        map->count = 1;
        map->mark = path->parts[i].mark;
        value = map;
    }
    return value;
}

static void set_one(struct load *load, const char *arg)
{
    const char *equals = strchr(arg, '=');
    struct way way = { 0 };
    if (!utf8_valid(arg, strlen(arg))) {
        problem_add(load->problems, mark_in("--set", arg, 0, 1), "'%s' is not UTF-8",
                    text_shown(load->arena, arg));
        return;
    }
    if (!equals) {
        problem_add(load->problems, mark_in("--set", arg, 0, strlen(arg)), "no '=' in '%s'",
                    text_shown(load->arena, arg))
            ->hint = "write --set path.to.key=value";
        return;
    }
    begin(load, &way);
    if (!split(load, &way.path, "--set", arg, (size_t)(equals - arg)) || !follow(load, &way))
        return;
    bool known = way.at == way.path.count;
    struct mark mark = mark_in("--set", arg, (size_t)(equals - arg) + 1, strlen(equals + 1));
    struct node *value = value_node(load, known ? way.field : NULL, equals + 1, mark);
    if (!value) return;
    struct node *layer = wrap(load, &way.path, way.anchor_at, value);
    if (!way.anchor_field) {
        shape_map(load, layer, load->kind->fields, NULL);
        merge_map(load, load->root, layer);
        return;
    }
    shape_value(load, layer, way.anchor_field, trail_to(&way, way.anchor_at));
    merge_value(load, way.anchor, layer);
}

static void unlink_child(struct node *parent, const struct node *child)
{
    struct node **link = &parent->first;
    while (*link && *link != child) link = &(*link)->next;
    if (!*link) return;
    *link = child->next;
    parent->count--;
}

static void unset_one(struct load *load, const char *arg)
{
    struct way way = { 0 };
    begin(load, &way);
    if (!split(load, &way.path, "--unset", arg, strlen(arg))) return;
    const struct field *choice = NULL;
    struct node *holder = NULL, *chosen = NULL;
    struct path whole = way.path;
    /* One part at a time, so that what holds the last one is known. */
    for (int i = 0; i < whole.count; i++) {
        choice = way.field && way.field->type == FIELD_CHOICE ? way.field : NULL;
        const struct field *fields = way.fields;
        holder = way.parent;
        chosen = way.node;
        way.path.count = i + 1;
        if (!follow(load, &way)) return;
        if (way.at == i + 1) continue;
        const struct component *part = &whole.parts[i];
        if (choice)
            unknown_choice(load, part->mark, choice->choices, trail_to(&way, i), part->name);
        else
            unknown_key(load, part->mark, fields, trail_to(&way, i), part->name);
        return;
    }
    if (!way.node || !way.parent) return; /* a known key that is not set */
    /* Without its alternative a choice is nothing: both go. */
    if (choice && holder)
        unlink_child(holder, chosen);
    else
        unlink_child(way.parent, way.node);
}

void apply_overrides(struct load *load)
{
    const struct document_opts *opts = load->opts;
    if (!opts) return;
    load->file = NULL;
    for (const char *const *arg = opts->unset; arg && *arg; arg++) unset_one(load, *arg);
    for (const char *const *arg = opts->set; arg && *arg; arg++) set_one(load, *arg);
}
