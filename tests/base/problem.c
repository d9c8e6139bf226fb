/* Problems as documents and as text: what golden cases cannot hold. */
#include "base/problem.h"

#include <criterion/criterion.h>
#include <string.h>

Test(problem, json_holds_long_messages_and_paths_that_are_no_utf8)
{
    struct arena arena = { 0 };
    struct problems problems = { .arena = &arena };
    char longest[2001] = { 0 };
    for (size_t i = 0; i < 2000; i += 2) memcpy(longest + i, "\xC3\xA9", 2);
    struct mark mark = { .file = "caf\xE9.yaml", .line = 2, .column = 3, .width = 1 };
    problem_add(&problems, mark, "%s", longest);
    json_t *json = problems_json(&problems, CONFIG);
    const json_t *row = json_array_get(json_object_get(json, "problems"), 0);
    cr_expect_str_eq(json_string_value(json_object_get(row, "message")), longest);
    const json_t *position = json_object_get(row, "position");
    cr_expect_str_eq(json_string_value(json_object_get(position, "file")), "caf?.yaml");
    cr_expect_str_eq(json_string_value(json_object_get(json, "code")), "configuration");
    json_decref(json);
    arena_release(&arena);
}

Test(problem, sorted_by_place_and_said_once)
{
    struct arena arena = { 0 };
    struct problems problems = { .arena = &arena };
    static const struct {
        const char *file, *message;
        int line, column;
    } rows[] = {
        { "b", "b2", 2, 1 }, { "a", "a9", 9, 1 }, { "b", "b1", 1, 5 },
        { "a", "a1", 1, 1 }, { "b", "b1", 1, 5 }, { "b", "b0", 1, 2 },
    };
    struct str order = { 0 };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        problem_add(
            &problems,
            (struct mark){ .file = rows[i].file, .line = rows[i].line, .column = rows[i].column },
            "%s", rows[i].message);
    problems_sort(&problems);
    for (const struct problem *p = problems.first; p; p = p->next)
        str_addf(&order, "%s ", p->message);
    cr_expect_str_eq(order.at, "b0 b1 b2 a1 a9 ");
    cr_expect_eq(problems.count, 5);
    str_release(&order);
    arena_release(&arena);
}
