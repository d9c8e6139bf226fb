/* One pass over the text; quotes are taken out in place, which only ever shortens a field. */
#include "dataset/csv.h"

#include <string.h>

enum code csv_begin(struct csv *csv, const char *path, char *text, size_t len, struct err *err)
{
    static const char mark[] = "\xEF\xBB\xBF";
    const char *zero = memchr(text, '\0', len);
    if (zero)
        return err_set(err, DAMAGED,
                       "cannot import '%s': a zero byte at byte %zu, so it is no text", path,
                       (size_t)(zero - text));
    size_t skip = len >= 3 && memcmp(text, mark, 3) == 0 ? 3 : 0;
    *csv = (struct csv){
        .path = path, .at = text + skip, .end = text + len, .line_start = text + skip, .line = 1
    };
    *csv->end = '\0';
    return OK;
}

bool csv_at_end(const struct csv *csv)
{
    return csv->at + strspn(csv->at, "\r\n") == csv->end;
}

static enum code misplaced(const struct csv *csv, const char *at, const char *what, struct err *err)
{
    err_set(err, DAMAGED, "cannot import '%s': %s", csv->path, what);
    return err_at(err, csv->path, csv->line, (int)(at - csv->line_start) + 1), DAMAGED;
}

/* Takes the quotes out of the field at csv->at; csv->at ends behind it. */
static enum code unquote(struct csv *csv, struct csv_field *field, struct err *err)
{
    char *from = csv->at + 1, *to = from;
    field->text = to;
    for (;; from++) {
        if (from == csv->end) {
            csv->line = field->line;
            return misplaced(csv, csv->line_start + field->column - 1,
                             "the quotes that open here never close", err);
        }
        if (*from == '"' && from[1] != '"') break;
        if (*from == '"') from++;
        if (*from == '\n') {
            csv->line++;
            csv->line_start = from + 1;
        }
        *to++ = *from;
    }
    csv->at = from + 1;
    if (csv->at < csv->end && !strchr(",\r\n", *csv->at))
        return misplaced(csv, csv->at, "text behind the closing quotes of a field", err);
    *to = '\0';
    return OK;
}

enum code csv_next(struct csv *csv, struct csv_field *field, struct err *err)
{
    *field = (struct csv_field){ .text = csv->at,
                                 .line = csv->line,
                                 .column = (int)(csv->at - csv->line_start) + 1 };
    if (*csv->at == '"') {
        TRY(unquote(csv, field, err));
    } else {
        csv->at += strcspn(csv->at, ",\r\n\"");
        if (*csv->at == '"') return misplaced(csv, csv->at, "quotes inside an unquoted field", err);
    }
    char *stop = csv->at;
    if (*stop == ',') {
        csv->at++;
    } else {
        field->last = true;
        if (*csv->at == '\r') csv->at++;
        if (*csv->at == '\n')
            csv->at++;
        else if (csv->at != csv->end)
            return misplaced(csv, stop, "a carriage return alone", err);
        csv->line++;
        csv->line_start = csv->at;
    }
    *stop = '\0';
    return OK;
}
