/* Help, the man page and completion, all from the command table. */
#include "cli/command.h"

#include <stdio.h>
#include <string.h>

static void add_options(struct str *out, const struct option *options)
{
    for (; options && options->name; options++) {
        char left[64];
        const char *value = options->value ? options->value : "";
        snprintf(left, sizeof left, "--%s %s", options->name, value);
        str_addf(out, "  %-26s %s\n", left, options->help);
    }
}

static void add_command(struct str *out, const struct command *command)
{
    str_addf(out, "  %-20s %s\n", command->name, command->help);
}

void help_family(const char *family, struct str *out)
{
    size_t len = strlen(family);
    str_addf(out, "Usage: pawl %s COMMAND [ARGUMENTS] [--OPTIONS]\n\n", family);
    for (const struct command *const *group = command_groups; *group; group++)
        for (const struct command *c = *group; c->name; c++)
            if (strncmp(c->name, family, len) == 0 && c->name[len] == ' ') add_command(out, c);
    str_addf(out, "\n`pawl %s COMMAND --help` shows a command's options and an example.\n", family);
}

void help_all(struct str *out)
{
    str_add(out, "pawl trains models from one YAML file, tests every candidate against a sealed "
                 "suite, and lets\nonly what passed move on to deployment.\n\n"
                 "Usage: pawl COMMAND [ARGUMENTS] [--OPTIONS]\n\n");
    for (const struct command *const *group = command_groups; *group; group++) {
        for (const struct command *c = *group; c->name; c++) add_command(out, c);
        str_add(out, "\n");
    }
    str_add(out,
            "`pawl COMMAND --help` shows a command's options and an example; `pawl --version` the "
            "version.\n");
}

void help_command(const struct command *command, struct str *out)
{
    str_addf(out, "Usage: pawl %s%s%s [--OPTIONS]\n\n%s\n", command->name,
             *command->args ? " " : "", command->args, command->help);
    if (command->detail) str_addf(out, "\n%s\n", command->detail);
    str_add(out, "\nOptions:\n");
    add_options(out, command->options);
    add_options(out, common_options);
    str_addf(out, "\nExample:\n  %s\n", command->example);
}

/* troff reads a leading dot or apostrophe as a request, and a backslash as an escape. */
static void add_roff(struct str *out, const char *text)
{
    for (const char *at = text; *at; at++) {
        if ((*at == '.' || *at == '\'') && (at == text || at[-1] == '\n')) str_add(out, "\\&");
        if (*at == '-')
            str_add(out, "\\-");
        else if (*at == '\\')
            str_add(out, "\\e");
        else
            str_add_char(out, *at);
    }
}

static void man_command(const struct command *command, struct str *out)
{
    str_add(out, ".SS pawl ");
    add_roff(out, command->name);
    str_add(out, " ");
    add_roff(out, command->args);
    str_add(out, "\n");
    add_roff(out, command->help);
    str_add(out, "\n");
    if (command->detail) {
        str_add(out, ".PP\n");
        add_roff(out, command->detail);
        str_add(out, "\n");
    }
    for (const struct option *o = command->options; o && o->name; o++) {
        str_add(out, ".TP\n.B ");
        add_roff(out, "--");
        add_roff(out, o->name);
        if (o->value) str_addf(out, " \\fI%s\\fR", o->value);
        str_add(out, "\n");
        add_roff(out, o->help);
        str_add(out, "\n");
    }
    str_add(out, ".PP\nExample:\n.PP\n.nf\n");
    add_roff(out, command->example);
    str_add(out, "\n.fi\n");
}

void help_man(struct str *out)
{
    str_add(out, ".TH PAWL 1 \"\" \"pawl " PAWL_VERSION "\" \"User Commands\"\n.SH NAME\npawl \\- "
                 "config\\-driven training, gated evaluation and a file\\-based model registry\n"
                 ".SH SYNOPSIS\n.B pawl\n.I COMMAND\n[\\fIARGUMENTS\\fR] [\\fB\\-\\-OPTIONS\\fR]\n"
                 ".SH DESCRIPTION\npawl trains models from one YAML file, tests every candidate "
                 "against a sealed suite, and lets only what passed move on to deployment.\n"
                 ".SH COMMANDS\n");
    for (const struct command *const *group = command_groups; *group; group++)
        for (const struct command *c = *group; c->name; c++) man_command(c, out);
    str_add(out, ".SH EXIT STATUS\n.TP\n.B 0\ndone; gate passed\n.TP\n.B 1\nfailed for a reason "
                 "that may pass\n.TP\n.B 2\nusage or configuration; nothing was started\n.TP\n.B "
                 "3\ngate failed\n.TP\n.B 4\ngate inconclusive\n.TP\n.B 5\nrefused by policy\n"
                 ".TP\n.B 6\ndamaged or foreign data\n.TP\n.B 7\nconflict: state moved "
                 "meanwhile\n.TP\n.B 8\nwould fail again the same way\n.TP\n.B 75\nstopped on "
                 "request; a complete checkpoint is there\n.SH ENVIRONMENT\n.TP\n.B "
                 "PAWL_REGISTRY\nthe registry, where \\-\\-registry is not given\n.TP\n.B "
                 "PAWL_ACTOR\nwho acts, for the registry's history\n");
}

void help_completion(struct str *out)
{
    str_add(out, "# bash completion for pawl, made from its command table\n"
                 "_pawl() {\n"
                 "    local line=\"${COMP_WORDS[*]:1:COMP_CWORD-1}\" word=\"${COMP_WORDS[COMP_CWORD"
                 "]}\" words=\n"
                 "    case \"$line\" in\n");
    for (const struct command *const *group = command_groups; *group; group++) {
        for (const struct command *c = *group; c->name; c++) {
            str_addf(out, "    '%s'|'%s '*) words='", c->name, c->name);
            for (const struct option *o = c->options; o && o->name; o++)
                str_addf(out, "--%s ", o->name);
            for (const struct option *o = common_options; o->name; o++)
                str_addf(out, "--%s ", o->name);
            str_add(out, "';;\n");
        }
    }
    str_add(out, "    *)\n        local commands='");
    for (const struct command *const *group = command_groups; *group; group++)
        for (const struct command *c = *group; c->name; c++) str_addf(out, "%s\n", c->name);
    str_add(out, "'\n"
                 "        local prefix=\"${line:+$line }\"\n"
                 "        words=$(while IFS= read -r name; do\n"
                 "            [[ $name == \"$prefix\"* ]] && name=${name#\"$prefix\"} && echo "
                 "\"${name%% *}\"\n"
                 "        done <<< \"$commands\" | sort -u);;\n"
                 "    esac\n"
                 "    [[ $word == -* || $words != --* ]] && COMPREPLY=($(compgen -W \"$words\" -- "
                 "\"$word\"))\n"
                 "    [[ ${#COMPREPLY[@]} -eq 0 ]] && COMPREPLY=($(compgen -f -- \"$word\"))\n"
                 "}\n"
                 "complete -o filenames -F _pawl pawl\n");
}
