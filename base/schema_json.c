/* A kind as JSON Schema (draft 2020-12), for editors and for anyone who writes these files by
 * program.
 *
 * Choices become definitions, so that a layer may hold layers. A file that extends others may leave
 * out what they have: required keys are asked for only where there is no `extends`, and in lists,
 * which are never merged. Texts that pawl reads as numbers (10k, 64KiB, 2h) are patterns. */
#include "base/schema_internal.h"

#include <math.h>
#include <string.h>

#define SUBSTITUTION "\\$\\{(env|ref):[^}]+\\}"
#define NUMBER       "[+-]?[0-9][0-9_]*(\\.[0-9_]*)?([eE][+-]?[0-9]+)?"

struct definition {
    const struct choice *choices;
    bool strict; /* required options are asked for */
    const char *name;
    struct definition *next;
};

struct writer {
    struct arena arena;
    struct definition *first;
    json_t *definitions;
};

static json_t *field_schema(struct writer *writer, const struct field *field, bool strict);

static void set(json_t *object, const char *key, json_t *value)
{
    json_object_set_new(object, key, value);
}

static json_t *typed(const char *type)
{
    json_t *json = json_object();
    set(json, "type", json_string(type));
    return json;
}

static json_t *pattern(struct writer *writer, const char *inside)
{
    json_t *json = typed("string");
    set(json, "pattern", json_string(arena_format(&writer->arena, "^(%s)$", inside)));
    return json;
}

static json_t *substitution(void)
{
    json_t *json = typed("string");
    set(json, "pattern", json_string(SUBSTITUTION));
    return json;
}

/* YAML text from a table (a default, an example) as JSON; a number stays a number. */
static json_t *text_json(const struct node *node)
{
    json_t *json;
    int64_t whole;
    double real;
    bool truth;
    if (node->kind == NODE_SCALAR) {
        if (node->quoted) return json_string(node->text);
        if (units_bool(&truth, node->text, NULL)) return json_boolean(truth);
        if (units_int(&whole, node->text, NULL)) return json_integer(whole);
        if (units_real(&real, node->text, false, NULL)) return json_real(real);
        return json_string(node->text);
    }
    json = node->kind == NODE_MAP ? json_object() : json_array();
    for (const struct node *child = node->first; child; child = child->next) {
        if (node->kind == NODE_MAP)
            set(json, child->key, text_json(child));
        else
            json_array_append_new(json, text_json(child));
    }
    return json;
}

static json_t *parsed(struct writer *writer, const char *text)
{
    struct node *node;
    REQUIRE(yaml_parse(&node, &writer->arena, text, strlen(text), "table", NULL) == OK);
    return text_json(node);
}

static void add_range(json_t *json, const struct field *field)
{
    if (field->low == 0 && field->high == 0 && !field->low_open) return;
    bool top = field->high >= field->low && !(field->high == 0 && field->low == 0);
    if (isfinite(field->low))
        set(json, field->low_open ? "exclusiveMinimum" : "minimum", json_real(field->low));
    if (top && isfinite(field->high)) set(json, "maximum", json_real(field->high));
}

static json_t *words_schema(const struct field *field)
{
    json_t *json = json_object(), *words = json_array();
    for (size_t i = 0; field->words[i]; i++)
        json_array_append_new(words, json_string(field->words[i]));
    set(json, "enum", words);
    return json;
}

/* What a scalar may be, besides a text with a substitution. */
static void add_forms(struct writer *writer, json_t *forms, const struct field *field)
{
    static const char *const texts[] = {
        [FIELD_INT] = NUMBER "[kMGT]?|0x[0-9a-fA-F]+|0o[0-7]+",
        [FIELD_REAL] = NUMBER "[kMGT]?|[+-]?\\.?inf",
        [FIELD_NAME] = "[a-z0-9][a-z0-9._-]{0,63}",
        [FIELD_BYTES] = NUMBER "(B|[KMGT]iB|[kMGT]B)?",
        [FIELD_TIME] = NUMBER "(us|ms|s|min|h|d)?",
        [FIELD_SPAN] = NUMBER "(ep|[kM]?st|[kMGT]?tok)?",
    };
    enum field_type type = field->type;
    bool bare = type == FIELD_INT || type == FIELD_REAL || type == FIELD_BYTES ||
                ((type == FIELD_TIME || type == FIELD_SPAN) && field->unit);
    if (bare) {
        bool whole = type == FIELD_INT || type == FIELD_BYTES;
        json_t *number = typed(whole ? "integer" : "number");
        add_range(number, field);
        json_array_append_new(forms, number);
    }
    bool matched = type < sizeof texts / sizeof *texts && texts[type];
    if (type == FIELD_BOOL)
        json_array_append_new(forms, typed("boolean"));
    else if (type == FIELD_WORD)
        json_array_append_new(forms, words_schema(field));
    else if (matched)
        json_array_append_new(forms, pattern(writer, texts[type]));
    else
        json_array_append_new(forms, typed("string"));
    if (type == FIELD_TEXT || type == FIELD_ANY || type == FIELD_NAME)
        json_array_append_new(forms, typed("number"));
    if (type == FIELD_TEXT || type == FIELD_ANY) json_array_append_new(forms, typed("boolean"));
}

static json_t *scalar_schema(struct writer *writer, const struct field *field)
{
    json_t *json = json_object(), *forms = json_array();
    add_forms(writer, forms, field);
    bool text = field->type == FIELD_TEXT || field->type == FIELD_ANY ||
                field->type == FIELD_PATH || field->type == FIELD_REF;
    if (!text) json_array_append_new(forms, substitution()); /* a text matches already */
    set(json, "anyOf", forms);
    return json;
}

static json_t *map_schema(struct writer *writer, const struct field *fields, bool strict)
{
    json_t *json = typed("object"), *properties = json_object(), *required = json_array();
    for (; fields && fields->type; fields++) {
        set(properties, fields->key, field_schema(writer, fields, strict));
        if (fields->required) json_array_append_new(required, json_string(fields->key));
    }
    set(json, "properties", properties);
    set(json, "additionalProperties", json_false());
    if (strict && json_array_size(required)) json_object_set(json, "required", required);
    json_decref(required);
    return json;
}

/* {NAME: {options}}, or {NAME: value} where there is a shorthand. */
static json_t *alternative_schema(struct writer *writer, const struct choice *choice, bool strict)
{
    json_t *json = typed("object"), *properties = json_object(), *required = json_array();
    json_t *options = map_schema(writer, choice->fields, strict);
    if (choice->shorthand) {
        json_t *forms = json_array();
        json_array_append_new(forms, options);
        json_array_append_new(
            forms, field_schema(writer, field_find(choice->fields, choice->shorthand), strict));
        options = json_object();
        set(options, "anyOf", forms);
    }
    if (choice->help) set(options, "description", json_string(choice->help));
    set(properties, choice->name, options);
    json_array_append_new(required, json_string(choice->name));
    set(json, "properties", properties);
    set(json, "required", required);
    set(json, "additionalProperties", json_false());
    return json;
}

static bool asks_for_options(const struct choice *choice)
{
    for (const struct field *row = choice->fields; row && row->type; row++)
        if (row->required) return true;
    return false;
}

static json_t *choices_schema(struct writer *writer, const struct choice *choices, bool strict)
{
    json_t *json = json_object(), *forms = json_array();
    for (const struct choice *c = choices; c->name; c++) {
        if (strict && asks_for_options(c)) continue;
        json_t *name = json_object();
        set(name, "const", json_string(c->name));
        if (c->help) set(name, "description", json_string(c->help));
        json_array_append_new(forms, name);
    }
    for (const struct choice *c = choices; c->name; c++)
        json_array_append_new(forms, alternative_schema(writer, c, strict));
    for (const struct choice *c = choices; c->name; c++)
        if (c->plain) json_array_append_new(forms, typed("string"));
    json_array_append_new(forms, substitution());
    set(json, "anyOf", forms);
    return json;
}

static bool taken(const struct writer *writer, const char *name)
{
    for (const struct definition *d = writer->first; d; d = d->next)
        if (strcmp(d->name, name) == 0) return true;
    return false;
}

/* The definition of a table of choices, written when it is met first. */
static const char *definition_of(struct writer *writer, const struct field *field, bool strict)
{
    for (const struct definition *d = writer->first; d; d = d->next)
        if (d->choices == field->choices && d->strict == strict) return d->name;
    struct definition *made = ARENA_NEW(&writer->arena, struct definition);
    const char *stem = field->key ? field->key : field->choices->name, *name = stem;
    for (int i = 2; taken(writer, name); i++) name = arena_format(&writer->arena, "%s_%d", stem, i);
    *made = (struct definition){
        .choices = field->choices, .strict = strict, .name = name, .next = writer->first
    };
    writer->first = made;
    set(writer->definitions, name, choices_schema(writer, field->choices, strict));
    return name;
}

static json_t *list_schema(struct writer *writer, const struct field *field)
{
    struct field item = *field->item;
    if (!item.key) item.key = field->key; /* names the definition */
    json_t *json = typed("array");
    set(json, "items", field_schema(writer, &item, true));
    if (field->nonempty) set(json, "minItems", json_integer(1));
    return json;
}

static json_t *field_schema(struct writer *writer, const struct field *field, bool strict)
{
    json_t *json;
    if (field->type == FIELD_MAP) {
        json = map_schema(writer, field->fields, strict);
    } else if (field->type == FIELD_LIST) {
        json = list_schema(writer, field);
    } else if (field->type == FIELD_CHOICE) {
        const char *name = definition_of(writer, field, strict);
        json = json_object();
        set(json, "$ref", json_string(arena_format(&writer->arena, "#/$defs/%s", name)));
    } else {
        json = scalar_schema(writer, field);
    }
    const char *range = field_is_scalar(field) ? field_range(&writer->arena, field) : NULL;
    const char *help = field->help ? field->help : "";
    if (*help || range)
        set(json, "description",
            json_string(arena_format(&writer->arena, "%s%s%s%s", help, *help && range ? " " : "",
                                     range ? "Allowed: " : "", range ? range : "")));
    if (field->fallback) set(json, "default", parsed(writer, field->fallback));
    if (field->example) set(json, "examples", json_pack("[o]", parsed(writer, field->example)));
    return json;
}

/* Only the required keys of maps, for files that extend nothing; NULL when there are none. */
static json_t *required_part(const struct field *fields)
{
    json_t *required = json_array(), *properties = json_object();
    for (; fields->type; fields++) {
        if (fields->required) json_array_append_new(required, json_string(fields->key));
        json_t *inside = fields->type == FIELD_MAP ? required_part(fields->fields) : NULL;
        if (inside) set(properties, fields->key, inside);
    }
    json_t *json = json_object();
    if (json_array_size(required)) json_object_set(json, "required", required);
    if (json_object_size(properties)) json_object_set(json, "properties", properties);
    json_decref(required);
    json_decref(properties);
    if (json_object_size(json)) return json;
    json_decref(json);
    return NULL;
}

json_t *schema_json(const struct kind *kind)
{
    struct writer writer = { .definitions = json_object() };
    const char *name = arena_format(&writer.arena, "%s/%d", kind->name, kind->version);
    json_t *json = map_schema(&writer, kind->fields, false);
    json_t *properties = json_object_get(json, "properties"), *then;
    set(json, "$schema", json_string("https://json-schema.org/draft/2020-12/schema"));
    set(json, "title", json_string(name));
    if (kind->help) set(json, "description", json_string(kind->help));
    set(properties, "pawl",
        json_pack("{s:s, s:s}", "const", name, "description", "What this file is."));
    set(properties, "extends",
        json_pack("{s:[{s:s}, {s:s, s:{s:s}}], s:s}", "anyOf", "type", "string", "type", "array",
                  "items", "type", "string", "description",
                  "Files that this one is laid over, relative to it; later ones win."));
    set(json, "required", json_pack("[s]", "pawl"));
    then = kind->fields ? required_part(kind->fields) : NULL;
    if (then) {
        set(json, "if", json_pack("{s:{s:[s]}}", "not", "required", "extends"));
        set(json, "then", then);
    }
    if (json_object_size(writer.definitions)) json_object_set(json, "$defs", writer.definitions);
    json_decref(writer.definitions);
    arena_release(&writer.arena);
    return json;
}
