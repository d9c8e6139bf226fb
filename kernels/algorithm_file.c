/* The table of choices as a document.
 *
 * Whoever reads one trusts nothing in it: what is not exactly what algorithms_json writes is
 * refused with its row, since a choice goes to the libraries as it stands. */
#include "kernels/algorithm.h"

#include <string.h>

#define KIND "algorithms/1"

enum { FILE_LIMIT = 64 << 20, DEVICE_TEXT = sizeof((struct device *)0)->description };

json_t *algorithms_json(const struct algorithms *table)
{
    json_t *rows = json_array();
    for (int i = 0; i < table->count; i++) {
        const struct algorithm_row *row = &table->rows[i];
        json_t *time = row->nanoseconds < 0 ? json_null()
                                            : json_integer((json_int_t)row->nanoseconds);
        json_array_append_new(rows, json_pack("{s:s,s:s,s:s,s:s,s:o}", "device", row->device,
                                              "call", row->call, "choice", row->choice, "name",
                                              row->name, "nanoseconds", time));
    }
    return json_pack("{s:s,s:o}", "pawl", KIND, "rows", rows);
}

struct digest algorithms_digest(const struct algorithms *table)
{
    json_t *document = algorithms_json(table);
    struct digest digest = json_digest(document);
    json_decref(document);
    return digest;
}

static enum code refuse(const struct algorithms *table, size_t row, const char *key,
                        const char *what, struct err *err)
{
    return err_set(err, DAMAGED, "cannot use '%s': row %zu, '%s': %s", table->path, row, key, what);
}

static bool printable(const char *text)
{
    for (; *text; text++)
        if (*text < ' ' || *text > '~') return false;
    return true;
}

/* Fills the texts of `row` (borrowed). */
static enum code read_texts(const struct algorithms *table, struct algorithm_row *row,
                            const json_t *from, size_t index, struct err *err)
{
    const struct {
        const char *key;
        const char **to;
        size_t room;
    } texts[] = {
        { "device", &row->device, DEVICE_TEXT },
        { "call", &row->call, ALGORITHM_CALL },
        { "choice", &row->choice, CHOICE_TEXT },
        { "name", &row->name, ALGORITHM_NAME },
    };
    for (size_t t = 0; t < sizeof texts / sizeof *texts; t++) {
        const json_t *member = json_object_get(from, texts[t].key);
        const char *text = json_string_value(member);
        if (!text) return refuse(table, index, texts[t].key, "missing or not a string", err);
        if (!*text || json_string_length(member) >= texts[t].room || !printable(text))
            return refuse(table, index, texts[t].key, "empty, too long or not printable", err);
        *texts[t].to = text;
    }
    return OK;
}

static enum code read_row(const struct algorithms *table, struct algorithm_row *row,
                          const json_t *from, size_t index, struct err *err)
{
    enum { MEMBERS = 5 };
    if (!json_is_object(from)) return refuse(table, index, "", "not an object", err);
    TRY(read_texts(table, row, from, index, err));
    const json_t *time = json_object_get(from, "nanoseconds");
    if (!json_is_null(time) && !(json_is_integer(time) && json_integer_value(time) >= 0))
        return refuse(table, index, "nanoseconds", "neither a whole number nor null", err);
    row->nanoseconds = json_is_null(time) ? -1 : json_integer_value(time);
    const char *key;
    json_t *value;
    if (json_object_size(from) == MEMBERS) return OK;
    json_object_foreach((json_t *)(uintptr_t)from, key, value)
    {
        static const char *const known[] = { "device", "call", "choice", "name", "nanoseconds" };
        bool expected = false;
        for (int k = 0; k < MEMBERS; k++) expected |= strcmp(key, known[k]) == 0;
        if (!expected) return refuse(table, index, key, "unknown", err);
    }
    return OK;
}

/* Rows come in their order, so that one table has one text. */
static bool follows(const struct algorithm_row *before, const struct algorithm_row *row)
{
    int order = strcmp(before->device, row->device);
    return order < 0 || (order == 0 && strcmp(before->call, row->call) < 0);
}

enum code algorithms_read(struct algorithms *table, const json_t *document, struct err *err)
{
    json_t *rows;
    struct algorithm_row row, before;
    TRY(json_get_array(&rows, document, "rows", table->path, err));
    const char *kind = json_string_value(json_object_get(document, "pawl"));
    if (!kind || strcmp(kind, KIND) != 0 || json_object_size(document) != 2)
        return err_set(err, DAMAGED, "cannot use '%s': it is not a document of kind " KIND,
                       table->path);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        TRY(read_row(table, &row, json_array_get(rows, i), i, err));
        if (i && !follows(&before, &row))
            return refuse(table, i, "call", "out of order, or twice there", err);
        algorithms_set(table, &row);
        before = row;
    }
    table->changed = false;
    return OK;
}

enum code algorithms_load(struct algorithms *table, const char *path, struct err *err)
{
    json_t *document;
    TRY(json_read_checked(&document, path, FILE_LIMIT, KIND, err));
    enum code code = algorithms_read(table, document, err);
    json_decref(document);
    return code;
}

enum code algorithms_publish(const struct algorithms *table, const char *path, struct err *err)
{
    json_t *document = algorithms_json(table);
    enum code code = json_publish_checked(document, path, err);
    json_decref(document);
    return code;
}
