/* The kinds of YAML documents that `config` knows. */
#ifndef PAWL_CLI_KINDS_H
#define PAWL_CLI_KINDS_H

#include "base/schema.h"

/* NULL-terminated. */
extern const struct kind *const document_kinds[];

#endif
