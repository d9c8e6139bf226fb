/* Reading what must not be seen. A terminal does not show what is typed, and Ctrl-C there ends the
 * question without leaving the terminal mute. */
#include "cli/secret.h"

#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

void secret_wipe(char *passphrase)
{
    if (passphrase) key_wipe(&(struct bytes){ .at = passphrase, .len = strlen(passphrase) });
}

static enum code too_long(const char *where, struct err *err)
{
    return err_set(err, USAGE, "cannot use the passphrase from %s: it is longer than %d bytes",
                   where, KEY_PASSPHRASE_LIMIT);
}

/* One line, byte by byte, so that nothing of it stays in a buffer of stdio. */
static enum code read_line(char *text, struct err *err)
{
    enum { CTRL_C = 3 };
    size_t len = 0;
    char c = 0;
    while (read(STDIN_FILENO, &c, 1) == 1 && c != '\n' && c != '\r') {
        if (c == CTRL_C) return err_set(err, STOPPED, "stopped: no passphrase was given");
        if (len == KEY_PASSPHRASE_LIMIT) return too_long("the terminal", err);
        text[len++] = c;
    }
    text[len] = '\0';
    return OK;
}

static enum code ask(char *text, const char *question, struct err *err)
{
    struct termios before, quiet;
    if (tcgetattr(STDIN_FILENO, &before) != 0)
        return err_set(err, IO, "cannot ask for a passphrase: the terminal does not answer");
    quiet = before;
    quiet.c_lflag &= ~(tcflag_t)(ECHO | ISIG);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
    fputs(question, stderr);
    fflush(stderr);
    enum code code = read_line(text, err);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
    fputs("\n", stderr);
    return code;
}

static enum code from_terminal(const struct invocation *in, char **passphrase, const char *what,
                               bool twice, struct err *err)
{
    char *first = arena_take(in->arena, KEY_PASSPHRASE_LIMIT + 1);
    char *second = arena_take(in->arena, KEY_PASSPHRASE_LIMIT + 1);
    enum code code = ask(first, arena_format(in->arena, "passphrase of %s: ", what), err);
    if (!code && twice) code = ask(second, "the same again: ", err);
    if (!code && twice && strcmp(first, second) != 0)
        code = err_set(err, USAGE, "the two passphrases are not the same");
    secret_wipe(second);
    if (code) secret_wipe(first);
    if (!code) *passphrase = first;
    return code;
}

static enum code from_file(const struct invocation *in, char **passphrase, const char *path,
                           struct err *err)
{
    struct bytes bytes;
    enum code code = fs_read(in->arena, &bytes, path, KEY_FILE_LIMIT, err);
    if (code == NOT_FOUND)
        code = err_set(err, NOT_FOUND, "cannot open passphrase file '%s': no such file", path);
    if (code) return code;
    size_t len = strcspn(bytes.at, "\r\n");
    if (!len) code = err_set(err, USAGE, "passphrase file '%s' begins with an empty line", path);
    if (len > KEY_PASSPHRASE_LIMIT) code = too_long(path, err);
    if (!code) *passphrase = arena_copy_len(in->arena, bytes.at, len);
    key_wipe(&bytes);
    return code;
}

enum code secret_passphrase(const struct invocation *in, char **passphrase, const char *what,
                            bool twice, struct err *err)
{
    const char *file = text_of(in, "passphrase-file");
    if (!file) file = variable(in, "PAWL_PASSPHRASE_FILE");
    *passphrase = NULL;
    if (file && *file) return from_file(in, passphrase, file, err);
    if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) return OK;
    return from_terminal(in, passphrase, what, twice, err);
}

enum code secret_key_read(const struct invocation *in, struct key *key, const char *path,
                          struct err *err)
{
    struct bytes pem = { 0 };
    char *passphrase = NULL;
    memset(key, 0, sizeof *key);
    enum code code = key_file_read(in->arena, &pem, path, err);
    if (!code && key_is_encrypted(&pem))
        code = secret_passphrase(in, &passphrase, arena_format(in->arena, "key '%s'", path), false,
                                 err);
    if (!code) code = key_read_secret(key, &pem, passphrase, path, err);
    secret_wipe(passphrase);
    key_wipe(&pem);
    return code;
}

enum code secret_key(const struct invocation *in, struct key *key, struct err *err)
{
    const char *path = text_of(in, "key");
    if (!path) path = variable(in, "PAWL_KEY");
    memset(key, 0, sizeof *key);
    return path && *path ? secret_key_read(in, key, path, err) : OK;
}
