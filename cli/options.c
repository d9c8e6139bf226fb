/* Reading the command line against the command table. */
#include "base/utf8.h"
#include "cli/command.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

const struct option common_options[] = {
    { "help", OPTION_FLAG, NULL, "Shows this text." },
    { "format", OPTION_TEXT, "text|json", "Form of the output; json for programs." },
    { "quiet", OPTION_FLAG, NULL, "No notes and no progress on standard error." },
    { 0 },
};

/* Words of argv that a command's name takes, when it begins with all of them; 0 otherwise. */
static int name_words(const char *name, int argc, char **argv)
{
    int words = 0;
    const char *at = name;
    while (*at) {
        size_t len = strcspn(at, " ");
        if (words >= argc || strlen(argv[words]) != len || memcmp(argv[words], at, len) != 0)
            return 0;
        words++;
        at += len + (at[len] == ' ');
    }
    return words;
}

static const struct command *find_command(int argc, char **argv, int *words)
{
    const struct command *best = NULL;
    *words = 0;
    for (const struct command *const *group = command_groups; *group; group++) {
        for (const struct command *command = *group; command->name; command++) {
            int taken = name_words(command->name, argc, argv);
            if (taken <= *words) continue;
            *words = taken;
            best = command;
        }
    }
    return best;
}

/* Words of argv before its first option, joined: "data import". */
static const char *plain_words(struct arena *arena, int argc, char **argv)
{
    const char *words = "";
    for (int i = 0; i < argc && argv[i][0] != '-'; i++)
        words = *words ? arena_format(arena, "%s %s", words, argv[i]) : argv[i];
    return words;
}

/* What follows `family` in a command's name, or NULL: "init" of "registry init" in "registry". */
static const char *name_behind(const struct command *command, const char *family)
{
    size_t len = strlen(family);
    bool inside = len && strncmp(command->name, family, len) == 0 && command->name[len] == ' ';
    return inside ? command->name + len + 1 : NULL;
}

static bool is_family(const char *words)
{
    for (const struct command *const *group = command_groups; *group; group++)
        for (const struct command *c = *group; c->name; c++)
            if (name_behind(c, words)) return true;
    return false;
}

/* "`pawl registry` needs a command behind it", with those that there are. */
static enum code lone_family(struct arena *arena, const char *family, struct err *err)
{
    const char *all = "";
    for (const struct command *const *group = command_groups; *group; group++) {
        for (const struct command *c = *group; c->name; c++) {
            const char *name = name_behind(c, family);
            if (name) all = arena_format(arena, *all ? "%s, %s" : "%s%s", all, name);
        }
    }
    err_set(err, USAGE, "`pawl %s` needs a command behind it", family);
    return err_hint(err, "One of: %s.", all);
}

static enum code unknown_command(struct arena *arena, int argc, char **argv, struct err *err)
{
    const char *words = plain_words(arena, argc, argv);
    if (is_family(words)) return lone_family(arena, words, err);
    const char *typed = argc && argv[0][0] != '-' ? argv[0] : "";
    for (int i = 1; i < argc && is_family(typed) && argv[i][0] != '-'; i++)
        typed = arena_format(arena, "%s %s", typed, argv[i]);
    const char *names[128];
    int count = 0;
    for (const struct command *const *group = command_groups; *group; group++)
        for (const struct command *c = *group; c->name && count < 127; c++)
            names[count++] = c->name;
    names[count] = NULL;
    const char *nearest = text_nearest(typed, names);
    if (!nearest && argc > 1)
        nearest = text_nearest(arena_format(arena, "%s %s", argv[0], argv[1]), names);
    err_set(err, USAGE, *typed ? "unknown command '%s'" : "no command given%s", typed);
    if (nearest) return err_hint(err, "Did you mean `pawl %s`? `pawl --help` lists all.", nearest);
    return err_hint(err, "`pawl --help` lists the commands.");
}

static const struct option *find_option(const struct option *table, const char *name, size_t len)
{
    for (; table && table->name; table++)
        if (strlen(table->name) == len && memcmp(table->name, name, len) == 0) return table;
    return NULL;
}

static enum code unknown_option(const struct invocation *in, const char *typed, struct err *err)
{
    const char *names[64];
    int count = 0;
    const struct option *tables[] = { in->command->options, common_options };
    for (int t = 0; t < 2; t++)
        for (const struct option *o = tables[t]; o && o->name && count < 63; o++)
            names[count++] = o->name;
    names[count] = NULL;
    const char *nearest = text_nearest(typed, names);
    err_set(err, USAGE, "unknown option '--%s' of `pawl %s`", typed, in->command->name);
    if (nearest) return err_hint(err, "Did you mean '--%s'?", nearest);
    return err_hint(err, "`pawl %s --help` lists the options.", in->command->name);
}

/* Reads one option at argv[*i]; moves *i over a value that stands apart. */
static enum code read_option(struct invocation *in, int argc, char **argv, int *i, struct err *err)
{
    const char *name = argv[*i] + 2, *equals = strchr(name, '=');
    size_t len = equals ? (size_t)(equals - name) : strlen(name);
    const struct option *option = find_option(in->command->options, name, len);
    if (!option) option = find_option(common_options, name, len);
    if (!option) return unknown_option(in, arena_copy_len(in->arena, name, len), err);
    const char *text = equals ? equals + 1 : NULL;
    if (option->kind == OPTION_FLAG && text)
        return err_set(err, USAGE, "option '--%s' takes no value", option->name);
    if (option->kind != OPTION_FLAG && !text) {
        if (*i + 1 >= argc)
            return err_set(err, USAGE, "option '--%s' needs a value: %s", option->name,
                           option->value);
        text = argv[++*i];
        if (strncmp(text, "--", 2) == 0) {
            err_set(err, USAGE, "option '--%s' needs a value: %s", option->name, option->value);
            return err_hint(err,
                            "'%s' looks like an option; a value like that is given as --%s=%s.",
                            text, option->name, text);
        }
    }
    int64_t number;
    if (option->kind == OPTION_INT && (!units_int(&number, text, NULL) || number < 0))
        return err_set(err, USAGE, "option '--%s' needs a whole number, not '%s'", option->name,
                       text);
    for (int v = 0; v < in->value_count; v++)
        if (in->values[v].option == option && option->kind != OPTION_LIST)
            return err_set(err, USAGE, "option '--%s' is given twice", option->name);
    in->values[in->value_count++] = (struct option_value){ option, text };
    return OK;
}

static enum code check_shape(struct invocation *in, struct err *err)
{
    const struct command *command = in->command;
    const char *format = text_of(in, "format");
    in->json = format && strcmp(format, "json") == 0;
    if (format && !in->json && strcmp(format, "text") != 0)
        return err_set(err, USAGE, "unknown format '%s': text or json", format);
    if (in->arg_count >= command->least && (command->most < 0 || in->arg_count <= command->most))
        return OK;
    if (in->arg_count < command->least)
        err_set(err, USAGE, "`pawl %s` needs %s", command->name, command->args);
    else
        err_set(err, USAGE, "`pawl %s` does not take '%s'", command->name, in->args[command->most]);
    return err_hint(err, "Usage: pawl %s %s", command->name, command->args);
}

/* Whether failures are to be told as JSON, known before the rest of the line is understood. */
static bool asks_for_json(int argc, char **argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--format=json") == 0) return true;
        if (strcmp(argv[i], "--format") == 0 && i + 1 < argc && strcmp(argv[i + 1], "json") == 0)
            return true;
    }
    return false;
}

/* `pawl --help`, `pawl help data import`, `pawl registry --help`: help without a command's row. */
static bool asks_for_help(struct invocation *in, int argc, char **argv)
{
    int words;
    bool asked = argc == 0;
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        asked |= strcmp(argv[i], "--help") == 0;
    if (argc && strcmp(argv[0], "help") == 0) {
        asked = true;
        argc--;
        argv++;
    }
    if (!asked) return false;
    in->command = find_command(argc, argv, &words);
    const char *typed = plain_words(in->arena, argc, argv);
    if (!in->command && is_family(typed)) in->family = typed;
    return in->command || in->family || !*typed;
}

enum code invocation_read(struct invocation *in, int argc, char **argv, bool *help, struct err *err)
{
    int words;
    in->json = asks_for_json(argc, argv);
    for (int i = 0; i < argc; i++)
        if (!utf8_valid(argv[i], strlen(argv[i])))
            return err_set(err, USAGE, "cannot use argument %d, '%s': it is not UTF-8 text", i + 1,
                           argv[i]);
    *help = asks_for_help(in, argc, argv);
    if (*help) return OK;
    bool about = strcmp(argv[0], "help") == 0; /* `pawl help WORD`, and there is no such command */
    in->command = about ? NULL : find_command(argc, argv, &words);
    if (!in->command) return unknown_command(in->arena, argc - about, argv + about, err);
    in->args = ARENA_ARRAY(in->arena, argc + 1, const char *);
    in->values = ARENA_ARRAY(in->arena, argc + 1, struct option_value);
    bool options = true;
    for (int i = words; i < argc; i++) {
        if (options && strcmp(argv[i], "--") == 0)
            options = false;
        else if (options && strncmp(argv[i], "--", 2) == 0)
            TRY(read_option(in, argc, argv, &i, err));
        else if (options && argv[i][0] == '-' && argv[i][1])
            return err_set(err, USAGE, "unknown option '%s': options have two dashes", argv[i]);
        else
            in->args[in->arg_count++] = argv[i];
    }
    return check_shape(in, err);
}

static const struct option_value *find_value(const struct invocation *in, const char *option)
{
    size_t len = strlen(option);
    REQUIRE(find_option(in->command->options, option, len) ||
            find_option(common_options, option, len));
    for (int v = 0; v < in->value_count; v++)
        if (strcmp(in->values[v].option->name, option) == 0) return &in->values[v];
    return NULL;
}

bool given(const struct invocation *in, const char *option)
{
    return find_value(in, option) != NULL;
}

const char *text_of(const struct invocation *in, const char *option)
{
    const struct option_value *value = find_value(in, option);
    return value ? value->text : NULL;
}

enum code need_text(const struct invocation *in, const char **text, const char *option,
                    struct err *err)
{
    const struct option *row = find_option(in->command->options, option, strlen(option));
    *text = text_of(in, option);
    if (*text && **text) return OK;
    err_set(err, USAGE, "`pawl %s` needs --%s %s", in->command->name, option, row->value);
    return err_hint(err, "Usage: pawl %s %s", in->command->name, in->command->args);
}

int64_t int_of(const struct invocation *in, const char *option, int64_t fallback)
{
    const char *text = text_of(in, option);
    int64_t value = fallback;
    if (text) units_int(&value, text, NULL); /* it was read once before */
    return value;
}

const char *const *list_of(const struct invocation *in, const char *option)
{
    const char **list = ARENA_ARRAY(in->arena, in->value_count + 1, const char *);
    int used = 0;
    for (int v = 0; v < in->value_count; v++)
        if (strcmp(in->values[v].option->name, option) == 0) list[used++] = in->values[v].text;
    return list;
}

const char *variable(const struct invocation *in, const char *name)
{
    size_t len = strlen(name);
    for (char **entry = in->environment; entry && *entry; entry++)
        if (strncmp(*entry, name, len) == 0 && (*entry)[len] == '=') return *entry + len + 1;
    return NULL;
}

const char *environment_lookup(const void *invocation, const char *name)
{
    return variable(invocation, name);
}

const char *actor_of(const struct invocation *in)
{
    const char *actor = variable(in, "PAWL_ACTOR");
    if (actor && *actor) return actor;
    const char *user = variable(in, "USER");
    char host[128] = "host";
    gethostname(host, sizeof host - 1);
    if (user && *user) return arena_format(in->arena, "%s@%s", user, host);
    return arena_format(in->arena, "uid-%u@%s", (unsigned)getuid(), host);
}
