/* From a file and what it extends to one effective tree.
 *
 * Files are laid over each other in the order in which they are named, the naming file last. The
 * depth, the number of files and circles are limited here; identity of files is their real path. */
#include "base/fs.h"
#include "base/schema_internal.h"

#include <stdlib.h>
#include <string.h>

enum { EXTENDS_DEPTH = 16, EXTENDS_FILES = 64 };

const struct kind part_kind = { .name = "part",
                                .version = 1,
                                .help = "A fragment for other files to extend." };

/* The files on the way from the first one. */
struct source {
    const struct source *up;
    const char *path;  /* as it can be opened from here */
    const char *real;  /* without links and dots */
    struct mark named; /* where it is extended; no file for the first one */
    int depth;
};

static bool is_part(const struct kind *kind)
{
    return strcmp(kind->name, part_kind.name) == 0;
}

static const char *kind_name(struct load *load, const struct kind *kind)
{
    return arena_format(load->arena, "%s/%d", kind->name, kind->version);
}

static const char *real_path(struct arena *arena, const char *path)
{
    char *real = realpath(path, NULL);
    const char *copy = arena_copy(arena, real ? real : path);
    free(real);
    return copy;
}

/* "a.yaml -> b.yaml -> a.yaml" */
static const char *chain_text(struct load *load, const struct source *source, const char *last)
{
    const char *text = last;
    for (; source; source = source->up)
        text = arena_format(load->arena, "%s -> %s", source->path, text);
    return text;
}

/* Whether `path` may be extended from `source`. */
static bool may_extend(struct load *load, const struct source *source, const char *path,
                       struct mark mark)
{
    const char *real = real_path(load->arena, path), *shown = text_shown(load->arena, path);
    for (const struct source *s = source; s; s = s->up) {
        if (strcmp(s->real, real) != 0) continue;
        problem_add(load->problems, mark, "'%s' extends itself", shown)->hint = chain_text(
            load, source, path);
        return false;
    }
    if (source->depth + 1 > EXTENDS_DEPTH) {
        problem_add(load->problems, mark, "'%s' is extended more than %d files deep", shown,
                    EXTENDS_DEPTH)
            ->hint = chain_text(load, source, path);
        return false;
    }
    if (load->files >= EXTENDS_FILES) {
        problem_add(load->problems, mark, "more than %d files are extended", EXTENDS_FILES);
        return false;
    }
    return true;
}

/* Reads one file. The first one that cannot be read is the caller's error, later ones are
 * problems. */
static enum code read_source(struct load *load, const struct source *source, struct node **root,
                             struct err *err)
{
    struct bytes bytes;
    *root = NULL;
    load->files++;
    enum code code = fs_read(load->arena, &bytes, source->path, YAML_BYTES, err);
    if (!code) {
        yaml_collect(root, load->problems, bytes.at, bytes.len, source->path);
        return OK;
    }
    if (!source->named.file && code != DAMAGED) return code;
    struct mark mark = source->named;
    if (!mark.file)
        mark = (struct mark){ .file = source->path, .line = 1, .column = 1, .width = 1 };
    problem_add(load->problems, mark, "%s", err->message);
    return OK;
}

static const struct kind *kind_find(const struct kind *const *kinds, const char *text)
{
    for (; *kinds; kinds++) {
        size_t len = strlen((*kinds)->name);
        if (strncmp((*kinds)->name, text, len) == 0 && text[len] == '/' &&
            strtol(text + len + 1, NULL, 10) == (*kinds)->version &&
            strspn(text + len + 1, "0123456789") == strlen(text + len + 1))
            return *kinds;
    }
    return NULL;
}

/* Says what the first line may be. */
static void refuse_kind(struct load *load, const struct kind *const *kinds, struct mark mark,
                        const char *text)
{
    const char *names[16] = { NULL };
    for (size_t i = 0; kinds[i] && i < 15; i++) names[i] = kind_name(load, kinds[i]);
    const char *shown = text ? text_shown(load->arena, text) : NULL;
    struct problem *problem =
        shown ? problem_add(load->problems, mark, "kind '%s' does not fit here", shown)
              : problem_add(load->problems, mark, "the first key must be 'pawl'");
    problem->allowed = names_joined(load->arena, "may be: ", names);
    problem->nearest = shown ? text_nearest(shown, names) : names[0];
    if (!shown)
        problem->hint = arena_format(load->arena, "begin with 'pawl: %s'", names[0]);
    else if (strcmp(shown, "part/1") == 0)
        problem->hint = "a part is for other files to extend";
    else if (problem->nearest && strcspn(shown, "/") == strcspn(problem->nearest, "/") &&
             strncmp(shown, problem->nearest, strcspn(shown, "/")) == 0)
        problem->hint = arena_format(load->arena, "this pawl reads %s", problem->nearest);
    else if (problem->nearest)
        problem->hint = arena_format(load->arena, "did you mean '%s'?", problem->nearest);
    load->incomplete = true;
}

/* The kind that a file says it is, among `kinds`; NULL when a problem was reported. */
static const struct kind *take_kind(struct load *load, struct node *root,
                                    const struct kind *const *kinds)
{
    struct node *first = root->kind == NODE_MAP ? root->first : NULL;
    if (!first || strcmp(first->key, "pawl") != 0) {
        struct mark mark = first ? first->key_mark : root->mark;
        refuse_kind(load, kinds, mark, NULL);
        return NULL;
    }
    root->first = first->next;
    root->count--;
    const struct kind *kind = NULL;
    if (first->kind == NODE_SCALAR && !first->broken) kind = kind_find(kinds, first->text);
    if (!kind && !first->broken)
        refuse_kind(load, kinds, first->mark, first->kind == NODE_SCALAR ? first->text : "a map");
    if (!load->kind_mark.file) load->kind_mark = first->key_mark;
    return kind;
}

/* A part alone is held to the table that knows most of its keys. */
static const struct kind *kind_of_part(const struct node *root, const struct kind *const *kinds)
{
    const struct kind *best = NULL;
    int most = -1;
    for (; *kinds; kinds++) {
        int known = 0;
        for (const struct node *child = root->first; child; child = child->next)
            known += field_find((*kinds)->fields, child->key) != NULL;
        if (is_part(*kinds) || known <= most) continue;
        most = known;
        best = *kinds;
    }
    return best;
}

static struct node *compose(struct load *load, const struct source *source, struct node *root);

/* Loads one file named by `extends` and lays it over `base`. */
static void extend_one(struct load *load, const struct source *source, struct node *base,
                       struct node *name)
{
    if (name->kind != NODE_SCALAR && !name->broken)
        problem_add(load->problems, name->mark, "'extends' must be a path or a list of paths");
    if (name->kind == NODE_SCALAR && !name->broken) substitute_environment(load, name);
    if (name->kind != NODE_SCALAR || name->broken) {
        load->incomplete = true;
        return;
    }
    const char *path = path_join(load->arena, path_dir(load->arena, source->path), name->text);
    if (!may_extend(load, source, path, name->mark)) {
        load->incomplete = true;
        return;
    }
    struct source next = { .up = source,
                           .path = path,
                           .real = real_path(load->arena, path),
                           .named = name->mark,
                           .depth = source->depth + 1 };
    struct node *root;
    struct err err;
    read_source(load, &next, &root, &err);
    const struct kind *kinds[] = { load->kind, &part_kind, NULL };
    if (root && take_kind(load, root, kinds))
        root = compose(load, &next, root);
    else
        root = NULL;
    if (root)
        merge_map(load, base, root);
    else
        load->incomplete = true;
}

/* The tree of one file over what it extends. */
static struct node *compose(struct load *load, const struct source *source, struct node *root)
{
    struct node *base = ARENA_NEW(load->arena, struct node);
    base->kind = NODE_MAP;
    struct node *extends = node_child(root, "extends");
    if (extends) {
        struct node **link = &root->first;
        while (*link != extends) link = &(*link)->next;
        *link = extends->next;
        root->count--;
        extends->next = NULL;
        if (extends->kind != NODE_LIST)
            extend_one(load, source, base, extends);
        else
            for (struct node *name = extends->first; name; name = name->next)
                extend_one(load, source, base, name);
    }
    load->file = root;
    shape_map(load, root, load->kind->fields, NULL);
    load->file = NULL;
    merge_map(load, base, root);
    return base;
}

static void run(struct load *load, const struct source *source, struct node *root)
{
    load->root = compose(load, source, root);
    apply_overrides(load);
    if (load->incomplete) return; /* what is missing may stand in the file that was not read */
    fill_map(load, load->root, load->kind->fields, NULL);
    substitute_tree(load, load->root);
    check_map(load, load->root, NULL);
}

static enum code sum_up(const struct problems *problems, const char *path, struct err *err)
{
    const struct problem *first = problems->first;
    if (problems->count == 1)
        err_set(err, CONFIG, "%s", first->message);
    else
        err_set(err, CONFIG, "%d problems in '%s'", problems->count, path);
    err_at(err, first->mark.file ? first->mark.file : path, first->mark.line, first->mark.column);
    return CONFIG;
}

enum code document_load(struct document *document, struct arena *arena, const char *path,
                        const struct kind *const *kinds, const struct document_opts *opts,
                        struct problems *problems, struct err *err)
{
    struct err own;
    if (!err) err = &own;
    path = arena_copy(arena, path);
    problems->arena = arena;
    *document = (struct document){ .path = path };
    struct load load = {
        .arena = arena, .problems = problems, .path = path, .opts = opts, .kind = kinds[0]
    };
    struct source source = { .path = path, .real = real_path(arena, path) };
    struct node *root;
    TRY(read_source(&load, &source, &root, err));
    if (root) document->kind = take_kind(&load, root, kinds);
    if (document->kind) {
        load.fragment = is_part(document->kind);
        load.kind = load.fragment ? kind_of_part(root, kinds) : document->kind;
        REQUIRE(load.kind);
        run(&load, &source, root);
    }
    problems_sort(problems);
    if (problems->count) return sum_up(problems, path, err);
    document->root = load.root;
    return OK;
}
