/* Secret keys and passphrases of the command line: from files or a terminal, never from arguments,
 * never printed. */
#ifndef PAWL_CLI_SECRET_H
#define PAWL_CLI_SECRET_H

#include "cli/command.h"
#include "registry/key.h"

/* The passphrase from --passphrase-file (PAWL_PASSPHRASE_FILE), whose first line it is, else from a
 * terminal, asked twice with `twice`; NULL where there is neither. In the arena: the caller wipes
 * it with secret_wipe. */
enum code secret_passphrase(const struct invocation *in, char **passphrase, const char *what,
                            bool twice, struct err *err);
void secret_wipe(char *passphrase);

/* The secret key that --key or PAWL_KEY names. Without one the key stays zeroed, which is OK.
 * key_release follows. */
enum code secret_key(const struct invocation *in, struct key *key, struct err *err);

/* The same of a named file. */
enum code secret_key_read(const struct invocation *in, struct key *key, const char *path,
                          struct err *err);

#endif
