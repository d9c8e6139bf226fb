/* Effective values as JSON: what a run records, and what the configuration digest is taken over.
 *
 * A value has one spelling whatever was typed: 1e-2 and 0.01, 64KiB and 65536 are the same. Order
 * of keys does not matter (the canonical form sorts), order of list items does. */
#include "base/fs.h"
#include "base/schema_internal.h"

#include <math.h>
#include <string.h>

enum { EVERYTHING = -1 };

enum affects effect_below(enum affects above, const struct field *field)
{
    if (above != AFFECTS_MATH) return above;
    return field->type == FIELD_PATH ? AFFECTS_PLACE : field->affects;
}

static json_t *real_json(double value)
{
    if (isinf(value)) return json_string(value < 0 ? "-inf" : "inf");
    return json_real(value == 0 ? 0 : value); /* no negative zero */
}

/* A scalar of any type: as it reads. */
static json_t *any_json(const struct node *node)
{
    int64_t whole;
    double real;
    bool truth;
    if (!node->quoted && units_bool(&truth, node->text, NULL)) return json_boolean(truth);
    if (!node->quoted && units_int(&whole, node->text, NULL)) return json_integer(whole);
    if (!node->quoted && units_real(&real, node->text, true, NULL)) return real_json(real);
    return json_string(node->text);
}

/* A path as it can be opened from here. A model that training starts from is part of the identity:
 * absolute, so that neither two runs of one name nor two spellings of one run are mixed up. */
static const char *place_of(struct arena *arena, const struct node *node)
{
    const char *path = node_path(arena, node, NULL);
    if (node->field->type == FIELD_PATH) return path_from(arena, ".", path);
    return strchr(path, '@') ? path : path_absolute(arena, path);
}

static json_t *scalar_json(const struct node *node)
{
    char text[UNITS_TEXT];
    json_t *json = NULL;
    struct arena arena = { 0 };
    switch (node->field->type) {
    case FIELD_BOOL:
        return json_boolean(node_bool(node, NULL));
    case FIELD_INT:
    case FIELD_BYTES:
        return json_integer(node_int(node, NULL));
    case FIELD_REAL:
    case FIELD_TIME:
        return real_json(node_real(node, NULL));
    case FIELD_SPAN:
        return json_string(units_span_text(text, node_span(node, NULL)));
    case FIELD_ANY:
        return any_json(node);
    case FIELD_PATH:
    case FIELD_REF:
        json = json_string(place_of(&arena, node));
        arena_release(&arena);
        return json;
    default:
        return json_string(node->text);
    }
}

static json_t *map_json(const struct node *map, enum affects above, int what);

/* NULL when nothing of it counts. */
static json_t *value_json(const struct node *node, enum affects above, int what)
{
    const struct field *field = node->field;
    enum affects effect = effect_below(above, field);
    bool counts = what == EVERYTHING || (int)effect == what;
    if (node->broken) return NULL; /* a part alone: the reference is resolved by who extends it */
    if (field_is_scalar(field)) return counts ? scalar_json(node) : NULL;

    json_t *json = NULL;
    size_t inside = 0;
    if (field->type == FIELD_LIST) {
        json = json_array();
        for (const struct node *item = node->first; item; item = item->next) {
            json_t *value = value_json(item, effect, what);
            inside += value != NULL;
            json_array_append_new(json, value ? value : json_object());
        }
    } else if (field->type == FIELD_CHOICE) {
        json_t *options = map_json(node->first, effect, what);
        json = json_object();
        inside = json_object_size(options);
        json_object_set_new(json, node->first->key, options);
    } else {
        json = map_json(node, effect, what);
        inside = json_object_size(json);
    }
    if (inside || what == EVERYTHING) return json;
    if (counts && field->type != FIELD_MAP)
        return json; /* [] and the name of a choice say something */
    json_decref(json);
    return NULL;
}

static json_t *map_json(const struct node *map, enum affects above, int what)
{
    json_t *json = json_object();
    for (const struct node *child = map->first; child; child = child->next) {
        json_t *value = value_json(child, above, what);
        if (value) json_object_set_new(json, child->key, value);
    }
    return json;
}

static json_t *document_part(const struct document *document, int what)
{
    json_t *json = map_json(document->root, AFFECTS_MATH, what);
    struct arena arena = { 0 };
    const char *kind = arena_format(&arena, "%s/%d", document->kind->name, document->kind->version);
    json_object_set_new(json, "pawl", json_string(kind));
    arena_release(&arena);
    return json;
}

json_t *document_values(const struct document *document, enum affects what)
{
    return document_part(document, (int)what);
}

json_t *document_json(const struct document *document)
{
    return document_part(document, EVERYTHING);
}

json_t *node_json(const struct node *node)
{
    json_t *json = node->field ? value_json(node, AFFECTS_MATH, EVERYTHING)
                               : map_json(node, AFFECTS_MATH, EVERYTHING); /* options */
    return json ? json : json_object();
}

struct digest document_digest(const struct document *document)
{
    json_t *json = document_values(document, AFFECTS_MATH);
    struct digest digest = json_digest(json);
    json_decref(json);
    return digest;
}
