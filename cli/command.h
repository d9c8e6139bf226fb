/* Commands: rows of one table. A row says name, arguments, options, help and an example; `--help`,
 * the man page and shell completion are made from it.
 *
 * To add a command: one row in the file of its family, listed in commands.c. */
#ifndef PAWL_CLI_COMMAND_H
#define PAWL_CLI_COMMAND_H

#include "base/arena.h"
#include "base/json.h"
#include "base/schema.h"

enum option_kind {
    OPTION_FLAG,
    OPTION_TEXT,
    OPTION_INT,
    OPTION_LIST /* may be given many times */
};

struct option {
    const char *name; /* without dashes; NULL ends a table */
    enum option_kind kind;
    const char *value; /* what stands for the value in help: "DIR" */
    const char *help;
};

struct invocation;

struct command {
    const char *name;   /* "data import idx" */
    const char *args;   /* "SOURCE..." for the usage line */
    int least, most;    /* positional arguments; most -1: any number */
    const char *help;   /* one sentence */
    const char *detail; /* more lines for --help, or NULL */
    const char *example;
    const struct option *options;
    enum code (*run)(struct invocation *in, struct err *err);
};

/* All commands, grouped by family; each group ends with a zeroed row, the list with NULL. */
extern const struct command *const command_groups[];
/* Options that every command takes: --help, --format, --quiet. */
extern const struct option common_options[];

struct option_value {
    const struct option *option;
    const char *text; /* NULL for a flag */
};

/* One call of a command. */
struct invocation {
    const struct command *command; /* NULL: help of all, or of a family */
    const char *family;            /* "registry", where its help was asked for; else NULL */
    struct arena *arena;
    char **environment; /* the snapshot */
    const char **args;
    int arg_count;
    struct option_value *values;
    int value_count;
    bool json;
    bool *printed;             /* whether standard output has its one JSON document */
    struct problems *problems; /* of a document: printed whole by main */
    bool silent;               /* another rank says what went wrong */
};

/* Options by name; a name that the command does not have is a bug. */
bool given(const struct invocation *in, const char *option);
const char *text_of(const struct invocation *in, const char *option);
int64_t int_of(const struct invocation *in, const char *option, int64_t fallback);
/* The same, required. USAGE names the option and shows the usage line. */
enum code need_text(const struct invocation *in, const char **text, const char *option,
                    struct err *err);
/* All values of a list option, NULL-terminated (arena). */
const char *const *list_of(const struct invocation *in, const char *option);

/* A variable of the environment's snapshot, or NULL. */
const char *variable(const struct invocation *in, const char *name);
const char *environment_lookup(const void *invocation, const char *name);

/* Who acts: PAWL_ACTOR, else USER@host. */
const char *actor_of(const struct invocation *in);

/* Finds the command in argv and reads options and arguments. USAGE with did-you-mean. `help` is set
 * when help was asked for. */
enum code invocation_read(struct invocation *in, int argc, char **argv, bool *help,
                          struct err *err);

/* Help texts: of all commands, of those that begin with a word, of one; the man page; bash
 * completion. */
void help_all(struct str *out);
void help_family(const char *family, struct str *out);
void help_command(const struct command *command, struct str *out);
void help_man(struct str *out);
void help_completion(struct str *out);

/* Prints a document: pretty JSON with --format json (kind and all), else nothing. Returns
 * in->json. */
bool print_json(const struct invocation *in, json_t *document);
/* Prints text as it is; with --format json as the document text/1 {text}. */
void print_text(const struct invocation *in, const char *text);

/* Loads an experiment with --set and --unset applied; problems go to in->problems. */
struct document;
enum code load_document(struct invocation *in, struct document *document, const char *path,
                        const struct kind *const *kinds, struct err *err);

#endif
