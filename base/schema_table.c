/* Questions to the tables: which rows there are, what they accept, which name was meant.
 *
 * Tables may contain themselves (a layer that repeats layers), so every walk remembers where it
 * is. */
#include "base/schema_internal.h"

#include <stdlib.h>
#include <string.h>

const struct field *field_find(const struct field *fields, const char *key)
{
    for (; fields && fields->type; fields++)
        if (strcmp(fields->key, key) == 0) return fields;
    return NULL;
}

const struct choice *choice_find(const struct choice *choices, const char *name)
{
    for (; choices && choices->name; choices++)
        if (strcmp(choices->name, name) == 0) return choices;
    return NULL;
}

const struct choice *node_alternative(const struct node *node)
{
    return node->first ? choice_find(node->field->choices, node->first->key) : NULL;
}

bool field_is_scalar(const struct field *field)
{
    return field->type != FIELD_MAP && field->type != FIELD_LIST && field->type != FIELD_CHOICE;
}

const char *field_fallback(const struct field *field)
{
    if (field->fallback || field->type != FIELD_MAP || field->required) return field->fallback;
    bool defaults = false;
    for (const struct field *row = field->fields; row->type; row++) {
        if (row->required) return NULL;
        defaults = defaults || field_fallback(row);
    }
    return defaults ? "{}" : NULL;
}

const char *trail_path(struct arena *arena, const struct trail *trail)
{
    if (!trail) return "";
    const char *up = trail_path(arena, trail->up), *dot = *up ? "." : "";
    if (trail->key) return arena_format(arena, "%s%s%s", up, dot, text_shown(arena, trail->key));
    return arena_format(arena, "%s%s%zu", up, dot, trail->index);
}

const char *trail_subject(struct arena *arena, const struct trail *trail)
{
    if (!trail) return "the document";
    if (trail->key) return arena_format(arena, "'%s'", text_shown(arena, trail->key));
    const char *list = trail->up && trail->up->key ? trail->up->key : "list";
    return arena_format(arena, "'%s.%zu'", list, trail->index);
}

const char *place_text(struct arena *arena, struct mark mark)
{
    if (mark.line == 0) return mark.file ? mark.file : "default";
    return arena_format(arena, "%s:%d", mark.file, mark.line);
}

struct problem *with_origin(struct load *load, struct problem *problem, const struct node *node)
{
    if (node->overrides)
        problem->origin = arena_format(load->arena, "%s, overridden by %s", node->overrides,
                                       place_text(load->arena, node->mark));
    return problem;
}

static const char *const expectations[] = {
    [FIELD_BOOL] = "true or false",
    [FIELD_INT] = "a whole number",
    [FIELD_REAL] = "a number",
    [FIELD_TEXT] = "a text",
    [FIELD_NAME] = "a name of a-z, 0-9, '.', '_' and '-'",
    [FIELD_PATH] = "a path",
    [FIELD_BYTES] = "a size in bytes such as 4096 or 64KiB",
    [FIELD_TIME] = "a time such as 30s or 2h",
    [FIELD_SPAN] = "a span such as 5ep, 500st or 10Mtok",
    [FIELD_MAP] = "a map of keys",
    [FIELD_LIST] = "a list",
    [FIELD_CHOICE] = "NAME or {NAME: {options}}",
    [FIELD_ANY] = "one value",
    [FIELD_REF] = "a model: a path, NAME@7 or NAME@CHANNEL",
};

const char *field_expects(struct arena *arena, const struct field *field)
{
    if (field->type == FIELD_WORD) return names_joined(arena, "one of ", field->words);
    return expectations[field->type];
}

const char *field_range(struct arena *arena, const struct field *field)
{
    if (field->low == 0 && field->high == 0 && !field->low_open) return NULL;
    const char *unit = field->unit ? field->unit : "", *space = *unit ? " " : "";
    bool low = field->low > -1e300, high = field->high < 1e300 && field->high >= field->low &&
                                           !(field->high == 0 && field->low == 0);
    struct str text = { 0 };
    if (low && high && !field->low_open) {
        str_addf(&text, "from %.10g to %.10g", field->low, field->high);
        low = high = false;
    }
    if (low) str_addf(&text, "%s %.10g", field->low_open ? "above" : "at least", field->low);
    if (low && high) str_add(&text, " and ");
    if (high) str_addf(&text, "at most %.10g", field->high);
    str_addf(&text, "%s%s", space, unit);
    const char *copy = arena_copy(arena, str_text(&text));
    str_release(&text);
    return copy;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

const char **field_names(struct arena *arena, const struct field *fields)
{
    size_t count = 0;
    while (fields && fields[count].type) count++;
    const char **names = ARENA_ARRAY(arena, count + 1, const char *);
    for (size_t i = 0; i < count; i++) names[i] = fields[i].key;
    qsort(names, count, sizeof *names, by_text);
    return names;
}

const char **choice_names(struct arena *arena, const struct choice *choices)
{
    size_t count = 0;
    while (choices && choices[count].name) count++;
    const char **names = ARENA_ARRAY(arena, count + 1, const char *);
    for (size_t i = 0; i < count; i++) names[i] = choices[i].name;
    qsort(names, count, sizeof *names, by_text);
    return names;
}

const char *names_joined(struct arena *arena, const char *prefix, const char *const *names)
{
    struct str text = { 0 };
    str_add(&text, prefix);
    for (size_t i = 0; names[i]; i++) str_addf(&text, "%s%s", i ? ", " : "", names[i]);
    const char *copy = arena_copy(arena, str_text(&text));
    str_release(&text);
    return copy;
}

/* A search through all tables below one. */
struct seek {
    struct arena *arena;
    const char *key;
    const char **sections;
    int count, size;
    const void *inside[32]; /* tables being walked: none is entered twice on one way */
    int depth;
};

static void seek_fields(struct seek *seek, const struct field *fields, const char *prefix);

static bool enter(struct seek *seek, const void *table)
{
    if (!table || seek->depth == sizeof seek->inside / sizeof *seek->inside) return false;
    for (int i = 0; i < seek->depth; i++)
        if (seek->inside[i] == table) return false;
    seek->inside[seek->depth++] = table;
    return true;
}

static const char *below(struct seek *seek, const char *prefix, const char *key)
{
    return arena_format(seek->arena, "%s%s%s", prefix, *prefix ? "." : "", key);
}

static void found(struct seek *seek, const char *section)
{
    if (seek->count < seek->size) seek->sections[seek->count++] = section;
}

static void seek_row(struct seek *seek, const struct field *row, const char *path)
{
    if (row->type == FIELD_MAP) seek_fields(seek, row->fields, path);
    if (row->type == FIELD_LIST) seek_row(seek, row->item, path);
    if (row->type != FIELD_CHOICE || !enter(seek, row->choices)) return;
    for (const struct choice *c = row->choices; c->name; c++) {
        if (strcmp(c->name, seek->key) == 0) found(seek, path);
        seek_fields(seek, c->fields, below(seek, path, c->name));
    }
    seek->depth--;
}

static void seek_fields(struct seek *seek, const struct field *fields, const char *prefix)
{
    if (!enter(seek, fields)) return;
    for (const struct field *row = fields; row->type; row++) {
        if (strcmp(row->key, seek->key) == 0) found(seek, *prefix ? prefix : "the top level");
        seek_row(seek, row, below(seek, prefix, row->key));
    }
    seek->depth--;
}

int sections_with(struct arena *arena, const char **sections, int size, const struct field *fields,
                  const char *key)
{
    struct seek seek = { .arena = arena, .key = key, .sections = sections, .size = size };
    seek_fields(&seek, fields, "");
    return seek.count;
}

/* "'lr' is known in train.optimizer.adamw": the section that the file uses, or up to three. */
static void suggest_section(struct load *load, struct problem *problem, const char *key)
{
    enum { MOST = 16, SHOWN = 3 };
    const char *sections[MOST + 1] = { NULL };
    int count = sections_with(load->arena, sections, MOST, load->kind->fields, key);
    if (count == 0) return;
    for (int i = 0; i < count; i++) {
        if (!node_at(load->file ? load->file : load->root, sections[i])) continue;
        sections[0] = sections[i];
        count = 1;
    }
    sections[count < SHOWN ? count : SHOWN] = NULL;
    problem->hint = arena_format(load->arena, "'%s' is known in %s%s", key,
                                 names_joined(load->arena, "", sections),
                                 count > SHOWN ? " and elsewhere" : "");
    problem->nearest = strcmp(sections[0], "the top level") == 0
                           ? key
                           : arena_format(load->arena, "%s.%s", sections[0], key);
}

static void suggest(struct load *load, struct problem *problem, const char *nearest)
{
    if (!nearest) return;
    problem->nearest = nearest;
    problem->hint = arena_format(load->arena, "did you mean '%s'?", nearest);
}

const char *unknown_key(struct load *load, struct mark mark, const struct field *fields,
                        const struct trail *trail, const char *key)
{
    const char *path = trail_path(load->arena, trail);
    struct problem *problem = problem_add(
        load->problems, mark, "unknown key '%s' %s", text_shown(load->arena, key),
        trail ? arena_format(load->arena, "in %s", path) : "at the top level");
    const char **names = field_names(load->arena, fields);
    const char *nearest = text_nearest(key, names);
    bool extends = !trail && load->file && text_distance(key, "extends") <= 2;
    if (!nearest && extends)
        suggest(load, problem, "extends");
    else
        suggest(load, problem, nearest);
    if (!problem->hint) suggest_section(load, problem, key);
    if (names[0]) problem->allowed = names_joined(load->arena, "known here: ", names);
    return nearest;
}

const char *unknown_choice(struct load *load, struct mark mark, const struct choice *choices,
                           const struct trail *trail, const char *name)
{
    struct problem *problem = problem_add(load->problems, mark, "unknown choice '%s' for %s",
                                          text_shown(load->arena, name),
                                          trail_path(load->arena, trail));
    const char **names = choice_names(load->arena, choices);
    const char *nearest = text_nearest(name, names);
    suggest(load, problem, nearest);
    for (const struct choice *c = choices; !nearest && !problem->hint && c->name; c++)
        if (field_find(c->fields, name))
            problem->hint = arena_format(load->arena, "'%s' is an option: write {%s: {%s: ...}}",
                                         name, c->name, name);
    problem->allowed = names_joined(load->arena, "choices: ", names);
    return nearest;
}
