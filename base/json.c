/* jansson with one strictness, one canonical form and one wording for damaged members. */
#include "base/json.h"

#include <stdlib.h>
#include <string.h>

enum { DIGITS = 17 };

enum code json_parse(json_t **json, const char *bytes, size_t len, const char *name,
                     struct err *err)
{
    json_error_t error;
    *json = json_loadb(bytes, len, JSON_REJECT_DUPLICATES, &error);
    if (*json) return OK;
    err_set(err, DAMAGED, "cannot parse '%s': %s", name, error.text);
    return err_at(err, name, error.line, error.column > 0 ? error.column : 1), DAMAGED;
}

static enum code check_kind(const json_t *json, const char *path, const char *kind, struct err *err)
{
    const char *got = json_string_value(json_object_get(json, "pawl"));
    if (!kind || (got && strcmp(got, kind) == 0)) return OK;
    return err_set(err, DAMAGED, "cannot read '%s': it is %s, not a %s document", path,
                   got ? got : "of no pawl kind", kind);
}

enum code json_read(json_t **json, const char *path, size_t limit, const char *kind,
                    struct err *err)
{
    *json = NULL;
    struct arena arena = { 0 };
    struct bytes bytes;
    enum code code = fs_read(&arena, &bytes, path, limit, err);
    if (!code) code = json_parse(json, bytes.at, bytes.len, path, err);
    arena_release(&arena);
    if (!code) code = check_kind(*json, path, kind, err);
    if (code) {
        json_decref(*json);
        *json = NULL;
    }
    return code;
}

static char *dump(struct arena *arena, const json_t *json, size_t *len, size_t flags)
{
    char *text = json_dumps(json, flags | JSON_REAL_PRECISION(DIGITS) | JSON_ENCODE_ANY);
    REQUIRE(text);
    size_t size = strlen(text);
    char *copy = arena_copy_len(arena, text, size);
    free(text);
    if (len) *len = size;
    return copy;
}

char *json_canonical(struct arena *arena, const json_t *json, size_t *len)
{
    return dump(arena, json, len, JSON_SORT_KEYS | JSON_COMPACT);
}

char *json_pretty(struct arena *arena, const json_t *json, size_t *len)
{
    return dump(arena, json, len, JSON_SORT_KEYS | JSON_INDENT(2));
}

struct digest json_digest(const json_t *json)
{
    struct arena arena = { 0 };
    size_t len;
    const char *text = json_canonical(&arena, json, &len);
    struct digest digest = digest_of(text, len);
    arena_release(&arena);
    return digest;
}

/* The canonical form and a line feed. */
static char *file_text(struct arena *arena, const json_t *json, size_t *len)
{
    char *text = json_canonical(arena, json, len);
    text[(*len)++] = '\n'; /* in place of the final NUL, which is not written */
    return text;
}

enum code json_publish(const json_t *json, const char *path, struct err *err)
{
    struct arena arena = { 0 };
    size_t len;
    const char *text = file_text(&arena, json, &len);
    enum code code = fs_publish(path, text, len, err);
    arena_release(&arena);
    return code;
}

char *json_checked(struct arena *arena, const json_t *json, size_t *len)
{
    char digest[DIGEST_TEXT];
    const char *bare = file_text(arena, json, len);
    struct digest self = digest_of(bare, *len);
    json_t *checked = json_copy((json_t *)(uintptr_t)json);
    json_object_set_new(checked, "self", json_string(digest_text(&self, digest)));
    char *text = file_text(arena, checked, len);
    json_decref(checked);
    return text;
}

enum code json_publish_checked(const json_t *json, const char *path, struct err *err)
{
    struct arena arena = { 0 };
    size_t len;
    const char *text = json_checked(&arena, json, &len);
    enum code code = fs_publish(path, text, len, err);
    arena_release(&arena);
    return code;
}

/* Takes `self` away; false where the file is not the one that this document gives. */
static bool take_self(struct arena *arena, json_t *json, const struct bytes *file)
{
    size_t len;
    json_object_del(json, "self");
    const char *text = json_checked(arena, json, &len);
    return len == file->len && memcmp(text, file->at, len) == 0;
}

enum code json_read_checked(json_t **json, const char *path, size_t limit, const char *kind,
                            struct err *err)
{
    struct arena arena = { 0 };
    struct bytes bytes;
    *json = NULL;
    enum code code = fs_read(&arena, &bytes, path, limit, err);
    if (!code) code = json_parse(json, bytes.at, bytes.len, path, err);
    if (!code) code = check_kind(*json, path, kind, err);
    if (!code && !take_self(&arena, *json, &bytes))
        code = err_set(err, DAMAGED, "cannot use '%s': its content does not match its digest",
                       path);
    if (code) {
        json_decref(*json);
        *json = NULL;
    }
    arena_release(&arena);
    return code;
}

static enum code lacks(const char *name, const char *key, const char *what, struct err *err)
{
    return err_set(err, DAMAGED, "cannot use '%s': '%s' is missing or not %s", name, key, what);
}

enum code json_get_text(const char **text, const json_t *object, const char *key, const char *name,
                        struct err *err)
{
    *text = json_string_value(json_object_get(object, key));
    return *text ? OK : lacks(name, key, "a string", err);
}

enum code json_get_int(int64_t *value, const json_t *object, const char *key, const char *name,
                       struct err *err)
{
    const json_t *member = json_object_get(object, key);
    if (!json_is_integer(member)) return lacks(name, key, "an integer", err);
    *value = json_integer_value(member);
    return OK;
}

enum code json_get_real(double *value, const json_t *object, const char *key, const char *name,
                        struct err *err)
{
    const json_t *member = json_object_get(object, key);
    if (!json_is_number(member)) return lacks(name, key, "a number", err);
    *value = json_number_value(member);
    return OK;
}

enum code json_get_object(json_t **value, const json_t *object, const char *key, const char *name,
                          struct err *err)
{
    *value = json_object_get(object, key);
    return json_is_object(*value) ? OK : lacks(name, key, "an object", err);
}

enum code json_get_array(json_t **value, const json_t *object, const char *key, const char *name,
                         struct err *err)
{
    *value = json_object_get(object, key);
    return json_is_array(*value) ? OK : lacks(name, key, "a list", err);
}

enum code json_get_digest(struct digest *digest, const json_t *object, const char *key,
                          const char *name, struct err *err)
{
    const char *text = json_string_value(json_object_get(object, key));
    return digest_parse(digest, text) ? OK : lacks(name, key, "a digest", err);
}
