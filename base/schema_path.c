/* Paths that keep their meaning when the text that states them moves to another directory.
 *
 * ".." from a directory goes where the file system says, not where the letters say, so directories
 * are resolved (links and all) where they exist and by their letters where they do not yet. */
#include "base/fs.h"
#include "base/schema_internal.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Absolute by letters: "." and "name/.." taken out. */
static const char *by_letters(struct arena *arena, const char *path)
{
    char *cwd = path[0] == '/' ? NULL : getcwd(NULL, 0);
    const char *whole = arena_format(arena, "%s/%s", cwd ? cwd : "", path);
    free(cwd);
    char *out = arena_take(arena, strlen(whole) + 2);
    size_t len = 0;
    while (*whole) {
        whole += strspn(whole, "/");
        size_t part = strcspn(whole, "/");
        bool up = part == 2 && whole[0] == '.' && whole[1] == '.';
        bool here = part == 0 || (part == 1 && whole[0] == '.');
        if (up) {
            while (len && out[--len] != '/') continue;
        } else if (!here) {
            out[len++] = '/';
            memcpy(out + len, whole, part);
            len += part;
        }
        whole += part;
    }
    if (len == 0) out[len++] = '/';
    out[len] = '\0';
    return out;
}

/* The nearest directory above that exists is resolved, the rest is taken by its letters. */
static const char *resolved(struct arena *arena, const char *path)
{
    const char *letters = by_letters(arena, path), *rest = "";
    const char *head = letters;
    for (;;) {
        char *real = realpath(head, NULL);
        if (real) {
            const char *whole = arena_format(arena, "%s%s%s", strcmp(real, "/") == 0 ? "" : real,
                                             *rest ? "/" : "", rest);
            free(real);
            return *whole ? whole : "/";
        }
        if (strcmp(head, "/") == 0) return letters;
        const char *name = path_base(head);
        rest = arena_format(arena, "%s%s%s", name, *rest ? "/" : "", rest);
        head = path_dir(arena, head);
    }
}

const char *path_absolute(struct arena *arena, const char *path)
{
    return path_join(arena, resolved(arena, path_dir(arena, path)), path_base(path));
}

const char *path_from(struct arena *arena, const char *dir, const char *to)
{
    if (to[0] == '/') return to;
    const char *from = resolved(arena, dir), *target = by_letters(arena, path_absolute(arena, to));
    size_t same = 0;
    for (size_t i = 0;; i++) {
        bool from_end = from[i] == '/' || !from[i], target_end = target[i] == '/' || !target[i];
        if (from_end && target_end) same = i;
        if (!from[i] || from[i] != target[i]) break;
    }
    struct str out = { 0 };
    const char *left = from + same;
    while (*(left += strspn(left, "/"))) {
        str_add(&out, out.len ? "/.." : "..");
        left += strcspn(left, "/");
    }
    const char *right = target + same + strspn(target + same, "/");
    if (*right) str_addf(&out, "%s%s", out.len ? "/" : "", right);
    const char *copy = arena_copy(arena, out.len ? str_text(&out) : ".");
    str_release(&out);
    return copy;
}
