/* Golden texts: tests/golden/config/ *.case, each a session with the schema engine.
 *
 * A case is a text of records. "--- file NAME" is an input file, "--- set ARG", "--- unset ARG" and
 * "--- env NAME=VALUE" are options, "--- run VERB [ARGUMENT]" says what is done with the file named
 * first (check, render, values, json, explain PATH, problems), "--- expect" is all that must come
 * out. Adding one needs no compiler. With PAWL_GOLDEN=write in the environment the expected texts
 * are written anew; read the difference before it is committed. */
#include "base/fs.h"
#include "schema_demo.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST = 16 };

struct session {
    struct arena *arena;
    const char *first; /* the first file */
    const char *set[MOST], *unset[MOST], *env[MOST];
    int sets, unsets, envs;
    const char *verb, *argument;
    const char *expected;
    size_t head; /* bytes of the case before the expected text */
};

static const char *environment(const void *context, const char *name)
{
    const struct session *session = context;
    size_t len = strlen(name);
    for (int i = 0; i < session->envs; i++)
        if (strncmp(session->env[i], name, len) == 0 && session->env[i][len] == '=')
            return session->env[i] + len + 1;
    return NULL;
}

/* Bytes that cannot stand in a case are written <HH>. */
static void write_file(struct session *session, const char *name, const char *text, size_t len)
{
    char *bytes = arena_take(session->arena, len + 1);
    size_t count = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned byte;
        int used = 0;
        bool escape = len - i >= 4 && sscanf(text + i, "<%2x>%n", &byte, &used) == 1 && used == 4;
        bytes[count++] = escape ? (char)byte : text[i];
        if (escape) i += 3;
    }
    struct err err;
    cr_assert_eq(fs_mkdirs(path_dir(session->arena, name), &err), OK, "%s", err.message);
    cr_assert_eq(fs_publish(name, bytes, count, &err), OK, "%s", err.message);
    if (!session->first) session->first = name;
}

static void take_record(struct session *session, char *head, const char *body, size_t len)
{
    char *rest = strchr(head, ' ');
    if (rest) *rest++ = '\0';
    if (strcmp(head, "file") == 0)
        write_file(session, rest, body, len);
    else if (strcmp(head, "set") == 0)
        session->set[session->sets++] = rest ? rest : "";
    else if (strcmp(head, "unset") == 0)
        session->unset[session->unsets++] = rest ? rest : "";
    else if (strcmp(head, "env") == 0)
        session->env[session->envs++] = rest;
    else if (strcmp(head, "run") == 0) {
        session->verb = rest;
        char *argument = strchr(rest, ' ');
        if (argument) *argument++ = '\0';
        session->argument = argument;
    } else {
        cr_assert_str_eq(head, "expect");
        session->expected = arena_copy_len(session->arena, body, len);
    }
}

static void read_case(struct session *session, const char *text)
{
    const char *at = strncmp(text, "--- ", 4) == 0 ? text : strstr(text, "\n--- ");
    while (at && *at) {
        if (*at == '\n') at++;
        const char *body = strchr(at, '\n');
        cr_assert(body, "a record without an end of line");
        char *head = arena_copy_len(session->arena, at + 4, (size_t)(body - at - 4));
        body++;
        const char *end = strncmp(body, "--- ", 4) == 0 ? body : strstr(body, "\n--- ");
        size_t len = !end ? strlen(body) : end == body ? 0 : (size_t)(end + 1 - body);
        if (strcmp(head, "expect") == 0) session->head = (size_t)(body - text);
        take_record(session, head, body, len);
        at = end;
    }
}

static void add_json(struct arena *arena, json_t *json, struct str *out)
{
    str_addf(out, "%s\n", json_pretty(arena, json, NULL));
    json_decref(json);
}

/* What is rendered loads again, to the same values and the same digest, from its directory too. */
static void round_trip(struct session *session, const struct document *document)
{
    struct str text = { 0 };
    struct document again;
    struct problems problems = { 0 };
    struct err err;
    document_render(document, "deep/er", &text);
    cr_assert_eq(fs_mkdirs("deep/er", &err), OK);
    cr_assert_eq(fs_publish("deep/er/again.yaml", text.at, text.len, &err), OK);
    enum code code = document_load(&again, session->arena, "deep/er/again.yaml", demo_kinds, NULL,
                                   &problems, &err);
    cr_assert_eq(code, OK, "%s\n%s", err.message, str_text(&text));
    json_t *before = document_json(document), *after = document_json(&again);
    cr_expect_str_eq(json_canonical(session->arena, after, NULL),
                     json_canonical(session->arena, before, NULL));
    struct digest a = document_digest(document), b = document_digest(&again);
    cr_expect(digest_equal(&a, &b));
    json_decref(before);
    json_decref(after);
    str_release(&text);
}

static void run(struct session *session, struct str *out)
{
    const char *nearest;
    if (strcmp(session->verb, "explain") == 0) {
        bool known = schema_explain(&demo_kind, session->argument, out, &nearest);
        if (!known) str_addf(out, "nearest: %s\n", nearest ? nearest : "none");
        return;
    }
    struct document document;
    struct problems problems = { 0 };
    struct document_opts opts = { .set = session->set,
                                  .unset = session->unset,
                                  .environment = environment,
                                  .environment_context = session };
    struct err err;
    enum code code = document_load(&document, session->arena, session->first, demo_kinds, &opts,
                                   &problems, &err);
    if (!code) round_trip(session, &document);
    if (code && strcmp(session->verb, "problems") == 0) {
        add_json(session->arena, problems_json(&problems, code), out);
    } else if (code) {
        problems_print(&problems, out);
        str_addf(out, "%s: %s\n", code_text(code), err.message);
    } else if (strcmp(session->verb, "render") == 0) {
        document_render(&document, session->argument ? session->argument : ".", out);
    } else if (strcmp(session->verb, "values") == 0) {
        add_json(session->arena, document_values(&document, AFFECTS_MATH), out);
    } else if (strcmp(session->verb, "json") == 0) {
        add_json(session->arena, document_json(&document), out);
    } else {
        str_add(out, "fine\n");
    }
}

static void run_case(struct arena *arena, const char *path, bool rewrite)
{
    char dir[] = "/tmp/pawl-golden-XXXXXX";
    struct session session = { .arena = arena };
    struct bytes text;
    struct err err;
    struct str out = { 0 };
    cr_assert_eq(fs_read(arena, &text, path, 1 << 20, &err), OK, "%s", err.message);
    cr_assert(mkdtemp(dir) && chdir(dir) == 0);
    read_case(&session, text.at);
    cr_assert(session.verb && session.expected, "%s lacks a run or expect record", path);
    run(&session, &out);
    bool same = strcmp(str_text(&out), session.expected) == 0;
    if (rewrite && !same) {
        const char *whole = arena_format(arena, "%.*s%s", (int)session.head, text.at,
                                         str_text(&out));
        cr_expect_eq(fs_publish(path, whole, strlen(whole), &err), OK, "%s", err.message);
    } else {
        cr_expect(same, "%s:\n--- got\n%s--- expected\n%s", path, str_text(&out), session.expected);
    }
    str_release(&out);
    cr_expect_eq(fs_remove_tree(dir, &err), OK);
}

Test(schema_golden, every_case_prints_what_it_says)
{
    const char *mode = getenv("PAWL_GOLDEN");
    struct arena arena = { 0 };
    struct err err;
    char **names;
    size_t count, cases = 0;
    const char *folder = PAWL_SOURCE_DIR "/tests/golden/config";
    cr_assert_eq(fs_list(&arena, &names, &count, folder, &err), OK, "%s", err.message);
    for (size_t i = 0; i < count; i++) {
        if (!text_ends(names[i], ".case")) continue;
        run_case(&arena, path_join(&arena, folder, names[i]), mode && strcmp(mode, "write") == 0);
        cases++;
    }
    cr_expect(cases >= 40, "only %zu cases found", cases);
    arena_release(&arena);
}
