/* ${env:NAME} and ${ref:path.to.key} inside scalars, and nothing else: no templating language.
 *
 * A reference is resolved once, depth first, with the way there on the C stack, so that a circle is
 * reported with its chain. What is put in place counts against one limit for the whole document: a
 * small file cannot unfold into gigabytes. What was put in place is never looked at again. */
#include "base/fs.h"
#include "base/schema_internal.h"
#include "base/utf8.h"

#include <string.h>

/* The scalars being resolved, innermost first. */
struct chain {
    const struct chain *up;
    const struct node *node;
    const char *path;
};

static bool resolve(struct load *load, struct node *node, const struct chain *up, const char *path,
                    bool refs);

static bool refuse(struct load *load, struct node *node, const char *message, const char *hint)
{
    struct problem *problem = problem_add(load->problems, node->mark, "%s", message);
    problem->hint = hint;
    with_origin(load, problem, node);
    node->broken = true;
    return false;
}

static bool put_environment(struct load *load, struct node *node, struct str *out, const char *name)
{
    const char *shown = text_shown(load->arena, name);
    const struct document_opts *opts = load->opts;
    if (load->kind->no_environment)
        return refuse(load, node,
                      arena_format(load->arena, "'${env:%s}' is not allowed in %s/%d", shown,
                                   load->kind->name, load->kind->version),
                      "it must mean the same on every machine");
    const char *value = opts && opts->environment && *name
                            ? opts->environment(opts->environment_context, name)
                            : NULL;
    if (!value)
        return refuse(load, node,
                      arena_format(load->arena, "environment variable '%s' is not set", shown),
                      NULL);
    if (strlen(value) > YAML_SCALAR || !utf8_valid(value, strlen(value)))
        return refuse(
            load, node,
            arena_format(load->arena, "environment variable '%s' is no short UTF-8 text", shown),
            NULL);
    str_add(out, value);
    return true;
}

static bool circle(struct load *load, struct node *node, const struct chain *chain,
                   const struct node *target, const char *path)
{
    for (const struct chain *c = chain; c; c = c->up) {
        if (c->node != target) continue;
        const char *way = path;
        for (const struct chain *d = chain;; d = d->up) {
            way = arena_format(load->arena, "%s -> %s", d->path, way);
            if (d == c) break;
        }
        refuse(load, node, arena_format(load->arena, "'${ref:%s}' refers to itself", path),
               arena_format(load->arena, "%s", way));
        return true;
    }
    return false;
}

/* Why a path leads to no value, with the key that was meant. */
static bool refuse_path(struct load *load, struct node *node, const char *path)
{
    const char *shown = text_shown(load->arena, path);
    const struct node *at = node_at(load->root, path);
    if (at)
        return refuse(load, node,
                      arena_format(load->arena, "'${ref:%s}' is %s, not one value", shown,
                                   at->kind == NODE_MAP ? "a map" : "a list"),
                      NULL);
    struct str out = { 0 };
    const char *nearest = NULL, *hint = NULL;
    bool known = schema_explain(load->kind, path, &out, &nearest);
    str_release(&out);
    if (known && load->fragment) {
        node->broken = true; /* the file that extends this part has it */
        return false;
    }
    if (known)
        hint = "it has no value here";
    else if (nearest)
        hint = arena_format(load->arena, "did you mean '%s'?", nearest);
    return refuse(load, node, arena_format(load->arena, "'${ref:%s}' refers to nothing", shown),
                  hint);
}

/* A path keeps its meaning when it is used by a file in another directory. */
static const char *value_for(struct load *load, const struct node *node, const struct node *target)
{
    bool paths = node->field && target->field && target->field->type == FIELD_PATH &&
                 node->field->type == FIELD_PATH && node->base && target->base;
    if (!paths || target->text[0] == '/' || strcmp(node->base, target->base) == 0)
        return target->text;
    return path_from(load->arena, node->base, path_join(load->arena, target->base, target->text));
}

static bool put_reference(struct load *load, struct node *node, struct str *out, const char *path,
                          const struct chain *chain)
{
    struct node *target = NULL;
    const struct node *at = *path ? node_at(load->root, path) : NULL;
    /* The tree is ours and still being built; getters hand it out const. */
    memcpy(&target, &at, sizeof target);
    if (!target || target->kind != NODE_SCALAR) return refuse_path(load, node, path);
    if (circle(load, node, chain, target, path)) return false;
    if (target->broken || !resolve(load, target, chain, path, true)) {
        node->broken = true; /* reported where it stands */
        return false;
    }
    str_add(out, value_for(load, node, target));
    return true;
}

/* One `${...}` that begins at *at; moves *at behind it. */
static bool put_one(struct load *load, struct node *node, struct str *out, const char **at,
                    const struct chain *chain, bool refs)
{
    const char *end = strchr(*at, '}');
    if (!end)
        return refuse(load, node, "'${' without '}'", "write $${ for the characters themselves");
    const char *inside = arena_copy_len(load->arena, *at + 2, (size_t)(end - *at - 2));
    *at = end + 1;
    if (text_starts(inside, "env:")) return put_environment(load, node, out, inside + 4);
    if (text_starts(inside, "ref:")) {
        if (refs) return put_reference(load, node, out, inside + 4, chain);
        return refuse(load, node, "a choice cannot be named by '${ref:...}'",
                      "name it here, or by ${env:NAME}");
    }
    return refuse(
        load, node,
        arena_format(load->arena, "unknown substitution '${%s}'", text_shown(load->arena, inside)),
        "there is ${env:NAME} and ${ref:path.to.key}");
}

static bool put_all(struct load *load, struct node *node, struct str *out,
                    const struct chain *chain, bool refs)
{
    for (const char *at = node->text; *at;) {
        if (text_starts(at, "$${")) {
            str_add(out, "${");
            at += 3;
        } else if (!text_starts(at, "${")) {
            str_add_char(out, *at++);
        } else if (!put_one(load, node, out, &at, chain, refs)) {
            return false;
        }
        if (out->len > YAML_SCALAR || load->substituted + out->len > YAML_BYTES)
            return refuse(load, node, "the text is too long after substitution", NULL);
    }
    return true;
}

/* Puts a node's text in place; false when a problem was reported. */
static bool resolve(struct load *load, struct node *node, const struct chain *up, const char *path,
                    bool refs)
{
    if (node->resolved || !strstr(node->text, "${")) return true;
    struct chain here = { .up = up, .node = node, .path = path };
    struct str out = { 0 };
    bool fine = put_all(load, node, &out, &here, refs);
    if (fine) {
        /* Inside { } and [ ] YAML wants quotes around ${...}: alone they do not make it a text. */
        bool alone = text_starts(node->text, "${") && strchr(node->text, '}')[1] == '\0';
        node->quoted = node->quoted && !alone;
        load->substituted += out.len;
        node->text = arena_copy(load->arena, str_text(&out));
        node->resolved = true;
    }
    str_release(&out);
    return fine;
}

void substitute_environment(struct load *load, struct node *node)
{
    resolve(load, node, NULL, "", false);
}

static void substitute_below(struct load *load, struct node *node, const struct trail *trail)
{
    if (node->broken) return;
    if (node->kind == NODE_SCALAR) {
        if (strstr(node->text, "${"))
            resolve(load, node, NULL, trail_path(load->arena, trail), true);
        return;
    }
    struct trail here = { .up = trail };
    for (struct node *child = node->first; child; child = child->next, here.index++) {
        here.key = child->key;
        substitute_below(load, child, &here);
    }
}

void substitute_tree(struct load *load, struct node *root)
{
    substitute_below(load, root, NULL);
}
