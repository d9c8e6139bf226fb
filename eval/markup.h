/* Text inside XML and HTML. */
#ifndef PAWL_EVAL_MARKUP_H
#define PAWL_EVAL_MARKUP_H

#include "base/str.h"

/* Adds text with &, <, > and quotes replaced, safe in content and in attributes; control
 * characters, which XML has no place for, become spaces. */
void markup_text(struct str *out, const char *text);

#endif
