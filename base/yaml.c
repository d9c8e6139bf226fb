/* From libyaml's events to a tree with marks.
 *
 * Bytes are looked at before libyaml sees them, so that an encoding mistake has line and column and
 * lines can be shown. What leaves the structure intact (a duplicate key, an empty value, a tag) is
 * noted and reading goes on; syntax errors and limits end it. libyaml 0.2.5 has no limits of its
 * own; depth is checked here before anything recurses. */
#include "base/yaml.h"

#include "base/fs.h"
#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

struct reader {
    yaml_parser_t parser;
    struct arena *arena;
    struct problems *problems;
    const char *name;
    const char **lines; /* where each line begins */
    int line_count;
    int nodes;
};

struct node *node_child(const struct node *map, const char *key)
{
    for (struct node *child = map->first; child; child = child->next)
        if (child->key && strcmp(child->key, key) == 0) return child;
    return NULL;
}

/* Why a code point cannot stand in a file, with advice; NULL when it can. */
static const char *refusal(uint32_t point, const char **hint)
{
    *hint = NULL;
    if (point == '\t') return *hint = "use spaces", "a tab is not allowed";
    if (point == 0) return *hint = "this is not a text file", "a NUL byte is not allowed";
    if (point == 0x85 || point == 0x2028 || point == 0x2029)
        return *hint = "end lines with a line feed", "a Unicode line break is not allowed";
    bool text = point >= 0x20 || point == '\n' || point == '\r';
    bool control = point >= 0x7F && point < 0xA0;
    bool nothing = point == 0xFEFF || (point & 0xFFFE) == 0xFFFE;
    if (text && !control && !nothing) return NULL;
    return *hint = "escape it in double quotes", "a control character is not allowed";
}

static void refuse_byte(struct reader *reader, const char *at, size_t left)
{
    const char *line = reader->lines[reader->line_count - 1], *hint;
    struct mark mark = { .file = reader->name,
                         .line = reader->line_count,
                         .column = utf8_columns(line, (size_t)(at - line)) + 1,
                         .width = 1,
                         .source = line };
    uint32_t point;
    if (utf8_decode(&point, at, left)) {
        const char *reason = refusal(point, &hint);
        problem_add(reader->problems, mark, "%s (U+%04X)", reason, point)->hint = hint;
    } else {
        problem_add(reader->problems, mark, "byte 0x%02x is not UTF-8", (unsigned char)*at)->hint =
            "save the file as UTF-8";
    }
}

/* Checks every byte and notes where lines begin. */
static bool scan(struct reader *reader, const char *text, size_t len)
{
    size_t lines = 2;
    for (size_t i = 0; i < len; i++) lines += text[i] == '\n' || text[i] == '\r';
    reader->lines = ARENA_ARRAY(reader->arena, lines, const char *);
    reader->lines[reader->line_count++] = text;
    for (size_t i = 0; i < len;) {
        uint32_t point;
        const char *hint;
        size_t step = utf8_decode(&point, text + i, len - i);
        if (!step || refusal(point, &hint)) {
            refuse_byte(reader, text + i, len - i);
            return false;
        }
        i += step;
        bool line_end = point == '\n' || (point == '\r' && text[i] != '\n');
        if (line_end) reader->lines[reader->line_count++] = text + i;
    }
    return true;
}

static struct mark mark_of(const struct reader *reader, yaml_mark_t start, yaml_mark_t end)
{
    int line = (int)start.line;
    if (line >= reader->line_count) line = reader->line_count - 1;
    struct mark mark = { .file = reader->name,
                         .line = line + 1,
                         .column = (int)start.column + 1,
                         .width = 1,
                         .source = reader->lines[line] };
    int width = (int)end.column - (int)start.column;
    if (end.line > start.line)
        width = utf8_columns(mark.source, strcspn(mark.source, "\r\n")) - (int)start.column;
    if (width > 1) mark.width = width;
    return mark;
}

/* libyaml's words for the mistakes that people make, in ours. */
static const struct {
    const char *theirs, *ours, *hint;
    bool at_start; /* point at what was begun, not at where the end was missed */
} syntax[] = {
    { .theirs = "mapping values are not allowed in this context",
      .ours = "a key cannot stand here",
      .hint = "one key per line; quote a text that contains ': '" },
    { .theirs = "did not find expected key",
      .ours = "the indentation fits no key above",
      .hint = "align it with the keys it belongs to" },
    { .theirs = "could not find expected ':'",
      .ours = "a key without ':'",
      .hint = "write key: value" },
    { .theirs = "did not find expected ',' or ']'",
      .ours = "a list in [ ] is not closed",
      .hint = "a ',' or ']' is missing" },
    { .theirs = "did not find expected ',' or '}'",
      .ours = "a map in { } is not closed",
      .hint = "a ',' or '}' is missing" },
    { .theirs = "did not find expected '-' indicator",
      .ours = "the indentation fits no list item above",
      .hint = "align the '-' of all items" },
    { .theirs = "found character that cannot start any token",
      .ours = "a value cannot begin with this character",
      .hint = "quote the text" },
    { .theirs = "found unexpected end of stream",
      .ours = "a quoted text is not closed",
      .hint = "the closing quote is missing",
      .at_start = true },
    { .theirs = "block sequence entries are not allowed in this context",
      .ours = "a list item cannot stand here",
      .hint = "begin the list on a line of its own" },
    { .theirs = "found unknown escape character",
      .ours = "unknown escape in a quoted text",
      .hint = "double a backslash, or use single quotes" },
    { .theirs = "did not find expected <document start>",
      .ours = "text behind the end of the document",
      .hint = "one file holds one document" },
};

static void syntax_problem(struct reader *reader)
{
    const yaml_parser_t *parser = &reader->parser;
    REQUIRE(parser->error != YAML_MEMORY_ERROR);
    struct mark mark = mark_of(reader, parser->problem_mark, parser->problem_mark);
    for (size_t i = 0; i < sizeof syntax / sizeof *syntax; i++) {
        if (!parser->problem || strcmp(parser->problem, syntax[i].theirs) != 0) continue;
        if (syntax[i].at_start) mark = mark_of(reader, parser->context_mark, parser->context_mark);
        bool flow = strstr(syntax[i].ours, "is not closed") && !syntax[i].at_start;
        const char *dollar = flow ? strstr(mark.source, "${") : NULL;
        bool substitution = dollar && dollar < mark.source + strcspn(mark.source, "\r\n");
        problem_add(reader->problems, mark, "%s", syntax[i].ours)->hint =
            substitution ? "inside { } and [ ], quote \"${...}\"" : syntax[i].hint;
        return;
    }
    problem_add(reader->problems, mark, "not YAML: %s",
                parser->problem ? parser->problem : "unreadable");
}

static bool next_event(struct reader *reader, yaml_event_t *event)
{
    if (yaml_parser_parse(&reader->parser, event)) return true;
    syntax_problem(reader);
    return false;
}

/* Tags, anchors and aliases have no meaning here. True when there was one. */
static bool refuse_decoration(struct reader *reader, struct mark mark, const yaml_char_t *anchor,
                              const yaml_char_t *tag)
{
    if (anchor)
        problem_add(reader->problems, mark, "anchor '&%s' is not allowed",
                    text_shown(reader->arena, (const char *)anchor))
            ->hint = "use extends or ${ref:path.to.key}";
    if (tag)
        problem_add(reader->problems, mark, "tag '%s' is not allowed",
                    text_shown(reader->arena, (const char *)tag))
            ->hint = "write the value alone";
    return anchor || tag;
}

static bool take_scalar(struct reader *reader, struct node *node, const yaml_event_t *event)
{
    size_t len = event->data.scalar.length;
    const char *text = (const char *)event->data.scalar.value;
    node->kind = NODE_SCALAR;
    node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    node->broken = refuse_decoration(reader, node->mark, event->data.scalar.anchor,
                                     event->data.scalar.tag);
    if (len > YAML_SCALAR) {
        problem_add(reader->problems, node->mark, "a text of %zu bytes, more than the limit of %d",
                    len, YAML_SCALAR);
        return false;
    }
    node->text = arena_copy_len(reader->arena, text, len);
    if (memchr(text, 0, len)) {
        problem_add(reader->problems, node->mark, "a NUL character is not allowed")->hint =
            "remove the \\0";
        node->broken = true;
    }
    return true;
}

static bool is_empty(const struct node *node)
{
    return node->kind == NODE_SCALAR && !node->quoted && !node->broken && node->text[0] == '\0';
}

static int by_key(const void *a, const void *b)
{
    const struct node *x = *(struct node *const *)a, *y = *(struct node *const *)b;
    int order = strcmp(x->key, y->key);
    if (order) return order;
    if (x->key_mark.line != y->key_mark.line) return x->key_mark.line < y->key_mark.line ? -1 : 1;
    return x->key_mark.column < y->key_mark.column ? -1 : 1;
}

/* Reports and unlinks every key that stands a second time. Sorted, so that a file of 100,000 keys
 * takes no quadratic time. */
static void refuse_duplicates(struct reader *reader, struct node *map)
{
    if (map->count < 2) return;
    struct node **sorted = ARENA_ARRAY(reader->arena, map->count, struct node *);
    size_t count = 0, dropped = 0;
    for (struct node *child = map->first; child; child = child->next) sorted[count++] = child;
    qsort(sorted, count, sizeof *sorted, by_key);
    const struct node *kept = sorted[0];
    for (size_t i = 1; i < count; i++) {
        if (strcmp(sorted[i]->key, kept->key) != 0) {
            kept = sorted[i];
            continue;
        }
        problem_add(reader->problems, sorted[i]->key_mark, "duplicate key '%s'",
                    text_shown(reader->arena, kept->key))
            ->hint = arena_format(reader->arena, "first set in line %d", kept->key_mark.line);
        sorted[i]->key = NULL;
        dropped++;
    }
    if (!dropped) return;
    struct node **link = &map->first;
    while (*link) {
        if ((*link)->key)
            link = &(*link)->next;
        else
            *link = (*link)->next;
    }
    map->count -= dropped;
}

static struct node *read_node(struct reader *reader, yaml_event_t *event, int level);

/* The key's text and place; false ends reading. */
static bool read_key(struct reader *reader, yaml_event_t *event, struct node *key)
{
    key->mark = mark_of(reader, event->start_mark, event->end_mark);
    if (event->type != YAML_SCALAR_EVENT) {
        problem_add(reader->problems, key->mark, "a key must be a plain word")->hint =
            "write key: value";
        return false;
    }
    if (!take_scalar(reader, key, event)) return false;
    if (key->text[0]) return true;
    problem_add(reader->problems, key->mark, "a ':' without a key")->hint = "write key: value";
    return false;
}

static struct node *read_member(struct reader *reader, yaml_event_t *event, int level)
{
    struct node key = { 0 };
    bool fine = read_key(reader, event, &key);
    yaml_event_delete(event);
    if (!fine || !next_event(reader, event)) return NULL;
    struct node *child = read_node(reader, event, level);
    if (!child) return NULL;
    child->key = key.text;
    child->key_mark = key.mark;
    if (!is_empty(child)) return child;
    problem_add(reader->problems, key.mark, "'%s' has no value",
                text_shown(reader->arena, key.text))
        ->hint = "indent what belongs to it further, or give a value";
    child->broken = true;
    return child;
}

static struct node *read_item(struct reader *reader, yaml_event_t *event, int level)
{
    struct node *child = read_node(reader, event, level);
    if (!child || !is_empty(child)) return child;
    problem_add(reader->problems, child->mark, "a list item has no value")->hint =
        "indent what belongs to it further than '-', or give a value";
    child->broken = true;
    return child;
}

/* The children of a map or list up to its end event. */
static bool read_children(struct reader *reader, struct node *node, int level)
{
    bool map = node->kind == NODE_MAP;
    struct node **link = &node->first;
    for (;;) {
        yaml_event_t event;
        if (!next_event(reader, &event)) return false;
        if (event.type == YAML_MAPPING_END_EVENT || event.type == YAML_SEQUENCE_END_EVENT) {
            struct mark whole = mark_of(reader, event.start_mark, event.end_mark);
            if (whole.line == node->mark.line && whole.column > node->mark.column)
                node->mark.width = whole.column + whole.width - node->mark.column;
            yaml_event_delete(&event);
            return true;
        }
        *link = map ? read_member(reader, &event, level) : read_item(reader, &event, level);
        if (!*link) return false;
        link = &(*link)->next;
        node->count++;
    }
}

static bool take_container(struct reader *reader, struct node *node, int level)
{
    if (level >= YAML_LEVELS) {
        problem_add(reader->problems, node->mark, "more than %d levels of nesting", YAML_LEVELS);
        return false;
    }
    if (!read_children(reader, node, level + 1)) return false;
    if (node->kind == NODE_MAP) refuse_duplicates(reader, node);
    /* A block map begins at its first key: underline that. */
    if (node->mark.width == 1 && node->kind == NODE_MAP && node->first &&
        node->first->key_mark.column == node->mark.column)
        node->mark.width = node->first->key_mark.width;
    return true;
}

/* The value that `event` begins; the event is given back. NULL ends reading. */
static struct node *read_node(struct reader *reader, yaml_event_t *event, int level)
{
    struct node *node = ARENA_NEW(reader->arena, struct node);
    node->mark = mark_of(reader, event->start_mark, event->end_mark);
    bool fine = true, container = false;
    if (++reader->nodes > YAML_NODES) {
        problem_add(reader->problems, node->mark, "more than %d values", YAML_NODES);
        fine = false;
    } else if (event->type == YAML_ALIAS_EVENT) {
        problem_add(reader->problems, node->mark, "alias '*%s' is not allowed",
                    text_shown(reader->arena, (const char *)event->data.alias.anchor))
            ->hint = "use extends or ${ref:path.to.key}";
        node->text = "";
        node->broken = true;
    } else if (event->type == YAML_SCALAR_EVENT) {
        fine = take_scalar(reader, node, event);
    } else {
        bool map = event->type == YAML_MAPPING_START_EVENT;
        node->kind = map ? NODE_MAP : NODE_LIST;
        container = true;
        refuse_decoration(reader, node->mark,
                          map ? event->data.mapping_start.anchor
                              : event->data.sequence_start.anchor,
                          map ? event->data.mapping_start.tag : event->data.sequence_start.tag);
    }
    yaml_event_delete(event);
    if (container) fine = take_container(reader, node, level);
    return fine ? node : NULL;
}

/* Stream start, one document, stream end. */
static struct node *read_document(struct reader *reader)
{
    struct node *root = NULL;
    for (;;) {
        yaml_event_t event;
        if (!next_event(reader, &event)) return NULL;
        struct mark mark = mark_of(reader, event.start_mark, event.end_mark);
        yaml_event_type_t type = event.type;
        bool tags = type == YAML_DOCUMENT_START_EVENT &&
                    event.data.document_start.tag_directives.start !=
                        event.data.document_start.tag_directives.end;
        if (type == YAML_STREAM_START_EVENT || type == YAML_DOCUMENT_END_EVENT ||
            type == YAML_DOCUMENT_START_EVENT || type == YAML_STREAM_END_EVENT) {
            yaml_event_delete(&event);
        } else {
            root = read_node(reader, &event, 0);
            if (!root) return NULL;
        }
        if (tags) problem_add(reader->problems, mark, "a %%TAG directive is not allowed");
        if (type == YAML_DOCUMENT_START_EVENT && root) {
            problem_add(reader->problems, mark, "a second document begins")->hint =
                "one file holds one document";
            return NULL;
        }
        if (type == YAML_STREAM_END_EVENT) break;
    }
    if (root && !is_empty(root)) return root;
    struct mark start = { .file = reader->name, .line = 1, .column = 1, .width = 1 };
    problem_add(reader->problems, start, "the file is empty");
    return NULL;
}

void yaml_collect(struct node **root, struct problems *problems, const char *text, size_t len,
                  const char *name)
{
    struct arena *arena = problems->arena;
    *root = NULL;
    if (len > YAML_BYTES) {
        struct mark mark = { .file = name, .line = 1, .column = 1, .width = 1 };
        problem_add(problems, mark, "%zu bytes, more than the limit of %d", len, YAML_BYTES);
        return;
    }
    if (len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) text += 3, len -= 3;
    struct reader reader = { .arena = arena,
                             .problems = problems,
                             .name = arena_copy(arena, name) };
    text = arena_copy_len(arena, text, len); /* marks point into it */
    if (!scan(&reader, text, len)) return;
    REQUIRE(yaml_parser_initialize(&reader.parser));
    yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text, len);
    *root = read_document(&reader);
    yaml_parser_delete(&reader.parser);
}

/* Hints of problems are fragments behind a caret; those of errors are sentences. */
static enum code first_problem(const struct problems *problems, struct err *err)
{
    const struct problem *problem = problems->first;
    err_set(err, CONFIG, "%s", problem->message);
    if (problem->hint)
        err_hint(err, "%c%s.",
                 problem->hint[0] - ('a' <= problem->hint[0] && problem->hint[0] <= 'z') * 32,
                 problem->hint + 1);
    err_at(err, problem->mark.file, problem->mark.line, problem->mark.column);
    return CONFIG;
}

enum code yaml_parse(struct node **root, struct arena *arena, const char *text, size_t len,
                     const char *name, struct err *err)
{
    struct problems problems = { .arena = arena };
    yaml_collect(root, &problems, text, len, name);
    return problems.count ? first_problem(&problems, err) : OK;
}

enum code yaml_read(struct node **root, struct arena *arena, const char *path, struct err *err)
{
    struct bytes bytes;
    *root = NULL;
    enum code code = fs_read(arena, &bytes, path, YAML_BYTES, err);
    if (code == DAMAGED) { /* too long: the user's mistake, not damage */
        if (err) err->code = CONFIG;
        return err_at(err, path, 1, 1), CONFIG;
    }
    if (code) return code;
    return yaml_parse(root, arena, bytes.at, bytes.len, path, err);
}
