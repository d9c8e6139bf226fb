/* Reading an effective tree by dotted path.
 *
 * The schema has checked every value, so a text that does not parse here is a bug and aborts. */
#include "base/fs.h"
#include "base/schema_internal.h"

#include <stdlib.h>
#include <string.h>

static const struct node *step(const struct node *node, const char *name, size_t len)
{
    char key[128];
    if (len == 0 || len >= sizeof key || node->kind == NODE_SCALAR) return NULL;
    memcpy(key, name, len);
    key[len] = '\0';
    if (node->kind == NODE_MAP) return node_child(node, key);
    char *end;
    unsigned long index = strtoul(key, &end, 10);
    if (*end || key[0] < '0' || key[0] > '9') return NULL;
    const struct node *item = node->first;
    while (item && index--) item = item->next;
    return item;
}

const struct node *node_at(const struct node *node, const char *path)
{
    while (node && path && *path) {
        size_t len = strcspn(path, ".");
        node = step(node, path, len);
        path += len;
        if (*path == '.') path++;
    }
    return node;
}

bool node_has(const struct node *node, const char *path)
{
    return node_at(node, path) != NULL;
}

static const struct node *scalar(const struct node *node, const char *path)
{
    const struct node *at = node_at(node, path);
    REQUIRE(at && at->kind == NODE_SCALAR);
    return at;
}

int64_t node_int(const struct node *node, const char *path)
{
    const struct node *at = scalar(node, path);
    int64_t value = 0;
    bool bytes = at->field && at->field->type == FIELD_BYTES;
    bool fine = bytes ? units_bytes(&value, at->text, NULL) : units_int(&value, at->text, NULL);
    REQUIRE(fine);
    return value;
}

double node_real(const struct node *node, const char *path)
{
    const struct node *at = scalar(node, path);
    enum field_type type = at->field ? at->field->type : FIELD_REAL;
    if (type == FIELD_INT || type == FIELD_BYTES) return (double)node_int(at, NULL);
    double value = 0;
    bool fine = type == FIELD_TIME ? units_time(&value, at->text, at->field->unit, NULL)
                                   : units_real(&value, at->text, true, NULL);
    REQUIRE(fine);
    return value;
}

bool node_bool(const struct node *node, const char *path)
{
    bool value = false, fine = units_bool(&value, scalar(node, path)->text, NULL);
    REQUIRE(fine);
    return value;
}

bool node_number(const struct node *node, const char *path, double *value)
{
    const struct node *at = scalar(node, path);
    return !at->quoted && units_real(value, at->text, true, NULL);
}

const char *node_text(const struct node *node, const char *path)
{
    return scalar(node, path)->text;
}

const char *node_path(struct arena *arena, const struct node *node, const char *path)
{
    const struct node *at = scalar(node, path);
    bool name = at->field && at->field->type == FIELD_REF && strchr(at->text, '@');
    return name || !at->base ? at->text : path_join(arena, at->base, at->text);
}

size_t node_count(const struct node *node, const char *path)
{
    const struct node *at = node_at(node, path);
    return at ? at->count : 0;
}

const char *node_choice(const struct node *node, const char *path)
{
    return node_options(node, path)->key;
}

const struct node *node_options(const struct node *node, const char *path)
{
    const struct node *at = node_at(node, path);
    REQUIRE(at && at->kind == NODE_MAP && at->count == 1);
    return at->first;
}

struct span node_span(const struct node *node, const char *path)
{
    const struct node *at = scalar(node, path);
    struct span span = { 0 };
    bool fine = units_span(&span, at->text, at->field ? at->field->unit : NULL, NULL);
    REQUIRE(fine);
    return span;
}
