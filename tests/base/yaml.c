/* Limits and positions of the YAML reader. Texts of refusals are golden cases. */
#include "base/yaml.h"

#include "base/str.h"

#include <criterion/criterion.h>
#include <string.h>

static enum code parse(struct arena *arena, const struct str *text, struct err *err)
{
    struct node *root;
    return yaml_parse(&root, arena, text->at, text->len, "x.yaml", err);
}

static void repeat(struct str *text, const char *part, int times)
{
    for (int i = 0; i < times; i++) str_add(text, part);
}

/* `times` of `part` between `before` and `after` is the most that is read; one more is refused. */
static const struct {
    const char *name, *before, *part, *after;
    int times;
    const char *message;
} limits[] = {
    { "bytes", "a: b\n", "#", "\n", YAML_BYTES - 6,
      "1048577 bytes, more than the limit of 1048576" },
    { "levels", "", "[", "x", YAML_LEVELS, "more than 64 levels of nesting" },
    { "nodes", "[", "1,", "]", YAML_NODES - 1, "more than 100000 values" },
    { "scalar", "a: '", "x", "'", YAML_SCALAR,
      "a text of 65537 bytes, more than the limit of 65536" },
};

Test(yaml, limits_are_met_and_not_passed)
{
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        for (int more = 0; more < 2; more++) {
            struct arena arena = { 0 };
            struct str text = { 0 };
            struct err err = { 0 };
            str_add(&text, limits[i].before);
            repeat(&text, limits[i].part, limits[i].times + more);
            str_add(&text, limits[i].after);
            if (strcmp(limits[i].name, "levels") == 0) repeat(&text, "]", limits[i].times + more);
            enum code code = parse(&arena, &text, &err);
            cr_expect_eq(code, more ? CONFIG : OK, "%s + %d: %s", limits[i].name, more,
                         err.message);
            if (more) cr_expect_str_eq(err.message, limits[i].message);
            if (more) cr_expect(err.line >= 1 && err.column >= 1, "%s", limits[i].name);
            str_release(&text);
            arena_release(&arena);
        }
    }
}

Test(yaml, first_problem_is_an_error_with_position_and_sentence)
{
    struct arena arena = { 0 };
    struct err err;
    struct node *root;
    static const char text[] = "a: 1\nb: {c: 2, c: 3}\n";
    cr_expect_eq(yaml_parse(&root, &arena, text, strlen(text), "x.yaml", &err), CONFIG);
    cr_expect_str_eq(err.message, "duplicate key 'c'");
    cr_expect_str_eq(err.hint, "First set in line 2.");
    cr_expect_str_eq(err.file, "x.yaml");
    cr_expect(err.line == 2 && err.column == 11);
    cr_expect_eq(yaml_read(&root, &arena, "/nowhere.yaml", &err), NOT_FOUND);
    arena_release(&arena);
}

Test(yaml, nodes_keep_text_quotes_and_places)
{
    struct arena arena = { 0 };
    struct err err;
    struct node *root;
    static const char text[] =
        "# c\nmap: {k: 'q', p: 1e-4}\nlist:\n  - a b\n  - |\n    two\n    lines\n";
    cr_assert_eq(yaml_parse(&root, &arena, text, strlen(text), "x.yaml", &err), OK);
    const struct node *map = node_child(root, "map"), *list = node_child(root, "list");
    const struct node *k = node_child(map, "k"), *p = node_child(map, "p");
    cr_expect_eq(root->count, 2);
    cr_expect(k->quoted && strcmp(k->text, "q") == 0);
    cr_expect(!p->quoted && strcmp(p->text, "1e-4") == 0);
    cr_expect(p->key_mark.line == 2 && p->key_mark.column == 15 && p->key_mark.width == 1);
    cr_expect(p->mark.line == 2 && p->mark.column == 18 && p->mark.width == 4);
    cr_expect(map->mark.column == 6 && map->mark.width == 17);
    cr_expect(list->kind == NODE_LIST && list->count == 2);
    cr_expect_str_eq(list->first->text, "a b");
    cr_expect_str_eq(list->first->next->text, "two\nlines\n");
    cr_expect(list->first->next->quoted, "a block text is a text");
    cr_expect_null(node_child(root, "k"));
    arena_release(&arena);
}
