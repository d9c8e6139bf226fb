/* `config explain KEY`: what a key is, from the row that checks it. */
#include "base/schema_internal.h"

#include <string.h>

/* A place in the tables. `field` NULL: the members of a kind or of an alternative. */
struct seat {
    const struct field *field;
    const struct field *fields;
    const struct choice *choice;
};

static bool is_number(const char *text)
{
    return *text && strspn(text, "0123456789") == strlen(text);
}

static void sit_down(struct seat *seat, const struct field *field)
{
    *seat = (struct seat){ .field = field,
                           .fields = field->type == FIELD_MAP ? field->fields : NULL };
}

/* One component further; numbers of list items may be left out. */
static bool go_in(struct seat *seat, const char *name)
{
    while (seat->field && seat->field->type == FIELD_LIST) {
        sit_down(seat, seat->field->item);
        if (is_number(name)) return true;
    }
    if (seat->field && seat->field->type == FIELD_CHOICE) {
        const struct choice *choice = choice_find(seat->field->choices, name);
        if (choice) *seat = (struct seat){ .choice = choice, .fields = choice->fields };
        return choice != NULL;
    }
    const struct field *field = field_find(seat->fields, name);
    if (field) sit_down(seat, field);
    return field != NULL;
}

static const char *affects_text(enum affects affects)
{
    static const char *const texts[] = {
        [AFFECTS_MATH] = "the numbers: part of the configuration digest",
        [AFFECTS_SCHEDULE_END] = "where training ends: may grow when a run is resumed",
        [AFFECTS_PLACE] = "places and upkeep: no part of the configuration digest",
    };
    return texts[affects];
}

static void add_row(struct str *out, const char *name, const char *value)
{
    if (value) str_addf(out, "  %-9s %s\n", name, value);
}

/* First sentence or all of it, one line. */
static void add_member(struct str *out, const char *name, const char *help, bool required)
{
    str_addf(out, "    %s", name);
    if (help || required)
        str_addf(out, "%*s", (int)strlen(name) < 18 ? 18 - (int)strlen(name) : 0, "");
    if (help) str_addf(out, " %s", help);
    str_addf(out, "%s\n", required ? " (required)" : "");
}

static void add_fields(struct str *out, const struct field *fields)
{
    if (fields && fields->type) str_add(out, "  keys:\n");
    for (; fields && fields->type; fields++)
        add_member(out, fields->key, fields->help, fields->required);
}

static void add_choices(struct str *out, const struct choice *choices)
{
    str_add(out, "  choices:\n");
    for (; choices->name; choices++) add_member(out, choices->name, choices->help, false);
}

static void explain_field(struct arena *arena, struct str *out, const struct field *field,
                          enum affects effect)
{
    add_row(out, "type", field_expects(arena, field));
    if (field->type == FIELD_LIST) add_row(out, "items", field_expects(arena, field->item));
    add_row(out, "range", field_range(arena, field));
    add_row(out, "unit", field->unit);
    add_row(out, "default",
            field_fallback(field) ? field_fallback(field)
            : field->required     ? NULL
                                  : "none");
    if (field->required) add_row(out, "required", "yes");
    add_row(out, "example", field->example);
    add_row(out, "affects", affects_text(effect));
    add_row(out, "since", field->since);
    const struct field *inside = field;
    while (inside->type == FIELD_LIST) inside = inside->item;
    if (inside->type == FIELD_CHOICE) add_choices(out, inside->choices);
    if (inside->type == FIELD_MAP) add_fields(out, inside->fields);
}

/* What was probably meant by a component that is not there. */
static void add_unknown(struct arena *arena, const struct kind *kind, const struct seat *seat,
                        const char *section, const char *name, struct str *out,
                        const char **nearest)
{
    const struct field *row = seat->field;
    while (row && row->type == FIELD_LIST) row = row->item;
    bool choice = row && row->type == FIELD_CHOICE;
    const struct field *fields = row && row->type == FIELD_MAP ? row->fields : seat->fields;
    const char **names = choice ? choice_names(arena, row->choices) : field_names(arena, fields);
    const char *meant = text_nearest(name, names), *sections[4] = { NULL };
    str_addf(out, "unknown %s '%s' %s%s\n", choice ? "choice" : "key", text_shown(arena, name),
             *section ? "in " : "at the top level", section);
    if (meant)
        str_addf(out, "  did you mean '%s'?\n", meant);
    else if (sections_with(arena, sections, 3, kind->fields, name))
        str_addf(out, "  '%s' is known in %s\n", name, names_joined(arena, "", sections));
    if (names[0]) str_addf(out, "  %s\n", names_joined(arena, "known here: ", names));
    if (nearest) *nearest = meant;
}

static bool explain(struct arena *arena, const struct kind *kind, const char *path, struct str *out,
                    const char **nearest)
{
    struct seat seat = { .fields = kind->fields };
    enum affects effect = AFFECTS_MATH;
    const char *section = "";
    for (const char *at = path; *at;) {
        size_t len = strcspn(at, ".");
        const char *name = arena_copy_len(arena, at, len);
        if (!go_in(&seat, name)) {
            add_unknown(arena, kind, &seat, section, name, out, nearest);
            return false;
        }
        if (seat.field) effect = effect_below(effect, seat.field);
        at += len;
        section = arena_copy_len(arena, path, (size_t)(at - path));
        if (*at == '.') at++;
    }
    const char *help = seat.field ? seat.field->help : seat.choice ? seat.choice->help : kind->help;
    if (*path)
        str_addf(out, "%s\n", path);
    else
        str_addf(out, "%s/%d\n", kind->name, kind->version);
    if (help) str_addf(out, "  %s\n", help);
    if (seat.field)
        explain_field(arena, out, seat.field, effect);
    else if (seat.choice && !seat.choice->fields)
        str_add(out, "  takes no options\n");
    else
        add_fields(out, seat.fields);
    if (seat.choice && seat.choice->shorthand)
        str_addf(out, "  {%s: VALUE} stands for {%s: {%s: VALUE}}\n", seat.choice->name,
                 seat.choice->name, seat.choice->shorthand);
    return true;
}

bool schema_explain(const struct kind *kind, const char *path, struct str *out,
                    const char **nearest)
{
    struct arena arena = { 0 };
    if (nearest) *nearest = NULL;
    bool known = explain(&arena, kind, path ? path : "", out, nearest);
    arena_release(&arena);
    return known;
}
