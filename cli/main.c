/* The program: reads argv and the environment, runs one command, prints what went wrong, exits. */
#include "base/log.h"
#include "cli/command.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

bool print_json(const struct invocation *in, json_t *document)
{
    if (in->json) {
        struct arena arena = { 0 };
        puts(json_pretty(&arena, document, NULL));
        arena_release(&arena);
        *in->printed = true;
    }
    return in->json;
}

void print_text(const struct invocation *in, const char *text)
{
    json_t *document = json_pack("{s:s,s:s}", "pawl", "text/1", "text", text);
    if (!print_json(in, document)) fputs(text, stdout);
    json_decref(document);
}

enum code load_document(struct invocation *in, struct document *document, const char *path,
                        const struct kind *const *kinds, struct err *err)
{
    struct document_opts opts = { .set = list_of(in, "set"),
                                  .unset = list_of(in, "unset"),
                                  .environment = environment_lookup,
                                  .environment_context = in };
    return document_load(document, in->arena, path, kinds, &opts, in->problems, err);
}

/* An err as the one problem of an error/1 document. */
static json_t *err_json(const struct err *err)
{
    json_t *problem = json_pack("{s:s}", "message", err->message);
    if (*err->hint) json_object_set_new(problem, "hint", json_string(err->hint));
    if (*err->file)
        json_object_set_new(problem, "position",
                            json_pack("{s:s,s:i,s:i}", "file", err->file, "line", err->line,
                                      "column", err->column));
    return json_pack("{s:s,s:s,s:[o]}", "pawl", "error/1", "code", code_text(err->code), "problems",
                     problem);
}

static void print_failure(const struct invocation *in, const struct err *err)
{
    if (in->json && !*in->printed) {
        json_t *document = in->problems->count ? problems_json(in->problems, err->code)
                                               : err_json(err);
        print_json(in, document);
        json_decref(document);
        return;
    }
    if (in->problems->count) {
        struct str text = { 0 };
        problems_print(in->problems, &text);
        fputs(str_text(&text), stderr);
        str_release(&text);
        return;
    }
    bool failure = err->code != STOPPED && err->code != GATE_FAILED && err->code != INCONCLUSIVE;
    fprintf(stderr, "%s%s\n", failure ? "error: " : "", err->message);
    if (*err->file && err->line)
        fprintf(stderr, "  --> %s:%d:%d\n", err->file, err->line, err->column);
    else if (*err->file) /* a text of the command line has no lines */
        fprintf(stderr, "  --> %s\n", err->file);
    if (*err->hint) fprintf(stderr, "  = %s\n", err->hint);
}

static int print_help(const struct invocation *in)
{
    struct str text = { 0 };
    if (in->command)
        help_command(in->command, &text);
    else if (in->family)
        help_family(in->family, &text);
    else
        help_all(&text);
    print_text(in, str_text(&text));
    str_release(&text);
    return 0;
}

int main(int argc, char **argv)
{
    struct arena arena = { 0 };
    struct problems problems = { .arena = &arena };
    bool printed = false;
    struct invocation in = {
        .arena = &arena, .environment = environ, .problems = &problems, .printed = &printed
    };
    struct err err = { 0 };
    bool help = false;
    int status = 0;
    signal(SIGXFSZ, SIG_IGN); /* a limit on file sizes is a write that fails, like a full disk */
    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        puts("pawl " PAWL_VERSION);
        return 0;
    }
    enum code code = invocation_read(&in, argc - 1, argv + 1, &help, &err);
    if (!code && help) {
        status = print_help(&in);
    } else {
        bool quiet = in.command && given(&in, "quiet");
        log_setup(quiet ? LOG_QUIET : LOG_NORMAL, isatty(STDERR_FILENO) != 0);
        if (!code) code = in.command->run(&in, &err);
        if (code) {
            err.code = code;
            if (!in.silent) print_failure(&in, &err);
        }
        status = code_exit(code);
    }
    if ((fflush(stdout) != 0 || ferror(stdout)) && !status) {
        err_errno(&err, IO, errno, "cannot write to standard output");
        fprintf(stderr, "error: %s\n", err.message);
        status = code_exit(IO);
    }
    arena_release(&arena);
    return status;
}
