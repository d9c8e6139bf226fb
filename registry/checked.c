/* Writing and checking the member `self`: both work on the file's bytes. */
#include "registry/checked.h"

#include <stdio.h>
#include <string.h>

static struct bytes file_of(struct arena *arena, const json_t *json)
{
    size_t len;
    const char *text = json_canonical(arena, json, &len);
    return (struct bytes){ .at = arena_format(arena, "%s\n", text), .len = len + 1 };
}

struct bytes checked_render(struct arena *arena, json_t *json)
{
    char text[DIGEST_TEXT];
    json_object_del(json, "self");
    struct bytes bare = file_of(arena, json);
    struct digest self = digest_of(bare.at, bare.len);
    REQUIRE(json_object_set_new(json, "self", json_string(digest_text(&self, text))) == 0);
    return file_of(arena, json);
}

/* `self` always ends with a comma, because another key sorts behind it; no string can hold the
 * member's text, because its quotes would be escaped there. */
bool checked_holds(const struct bytes *bytes, const json_t *json)
{
    struct digest want, got;
    const char *self = json_string_value(json_object_get(json, "self"));
    if (!digest_parse(&want, self)) return false;
    char member[DIGEST_TEXT + 16];
    int len = snprintf(member, sizeof member, "\"self\":\"%s\",", self);
    const char *at = memmem(bytes->at, bytes->len, member, (size_t)len);
    if (!at) return false;
    struct sha256 sha;
    sha256_begin(&sha);
    sha256_add(&sha, bytes->at, (size_t)(at - bytes->at));
    sha256_add(&sha, at + len, bytes->len - (size_t)(at + len - bytes->at));
    sha256_end(&sha, &got);
    return digest_equal(&want, &got);
}
