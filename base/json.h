/* JSON documents (jansson) in pawl's one shape.
 *
 * Every document is an object whose key "pawl" holds "<kind>/<version>". The canonical form -
 * sorted keys, no spaces, reals in the shortest of 17 digits - is what digests are taken over. */
#ifndef PAWL_BASE_JSON_H
#define PAWL_BASE_JSON_H

#include "base/arena.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/fs.h"

#include <jansson.h>

/* Parses `len` bytes: strict, duplicate keys refused, nesting limited. The position of a mistake is
 * put into `err` (DAMAGED). `name` stands in messages. The caller owns the result (json_decref). */
enum code json_parse(json_t **json, const char *bytes, size_t len, const char *name,
                     struct err *err);

/* Reads and parses a file of at most `limit` bytes and checks its kind ("report/1"; NULL: any). */
enum code json_read(json_t **json, const char *path, size_t limit, const char *kind,
                    struct err *err);

/* The canonical text, allocated in the arena; with `indent`, the form for people instead. */
char *json_canonical(struct arena *arena, const json_t *json, size_t *len);
char *json_pretty(struct arena *arena, const json_t *json, size_t *len);

/* SHA-256 of the canonical form. */
struct digest json_digest(const json_t *json);

/* Publishes the canonical form followed by a newline. */
enum code json_publish(const json_t *json, const char *path, struct err *err);

/* The same for documents whose digest nobody else keeps: the file has one more member, `self`, the
 * SHA-256 of the file without it. json_read_checked checks it, and that the file is the canonical
 * form byte for byte (else DAMAGED), and takes the member away. */
enum code json_publish_checked(const json_t *json, const char *path, struct err *err);
enum code json_read_checked(json_t **json, const char *path, size_t limit, const char *kind,
                            struct err *err);
/* The text of such a file, for documents that are created in another way. */
char *json_checked(struct arena *arena, const json_t *json, size_t *len);

/* Typed members of an object that was read from a file: absent or of another type is DAMAGED, with
 * the document's `name` and the key in the message. Borrowed results. */
enum code json_get_text(const char **text, const json_t *object, const char *key, const char *name,
                        struct err *err);
enum code json_get_int(int64_t *value, const json_t *object, const char *key, const char *name,
                       struct err *err);
enum code json_get_real(double *value, const json_t *object, const char *key, const char *name,
                        struct err *err);
enum code json_get_object(json_t **value, const json_t *object, const char *key, const char *name,
                          struct err *err);
enum code json_get_array(json_t **value, const json_t *object, const char *key, const char *name,
                         struct err *err);
enum code json_get_digest(struct digest *digest, const json_t *object, const char *key,
                          const char *name, struct err *err);

#endif
