/* registry_verify: identity, chain, the channels' view, leftovers. Nothing stops at a first
 * problem, except that a chain cannot be read beyond a link that is broken. */
#include "registry/verify.h"

#include "base/str.h"
#include "registry/checked.h"
#include "registry/commit.h"
#include "registry/score.h"
#include "registry/statement.h"
#include "registry/views.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A name on disk may be no UTF-8; what is wrong with it must count all the same. */
static void append(json_t *list, const char *text)
{
    json_t *message = json_string(text);
    if (!message) message = json_string("a name that is not UTF-8");
    json_array_append_new(list, json_pack("{so}", "message", message));
}

void verify_problem(struct verifying *verifying, const struct err *err)
{
    if (!json_array_size(verifying->problems)) verifying->first = *err;
    append(verifying->problems, err->message);
}

void verify_wrong(struct verifying *verifying, const char *format, ...)
{
    char text[480];
    struct err err;
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    err_set(&err, DAMAGED, "%s", text);
    verify_problem(verifying, &err);
}

void verify_note(struct verifying *verifying, const char *format, ...)
{
    char text[480];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    append(verifying->notes, text);
}

static void append_digest(struct arena *arena, struct digest **list, size_t *count,
                          const struct digest *digest)
{
    if ((*count & (*count - 1)) == 0) {
        struct digest *more = ARENA_ARRAY(arena, *count ? *count * 2 : 1, struct digest);
        if (*count) memcpy(more, *list, *count * sizeof *more);
        *list = more;
    }
    (*list)[(*count)++] = *digest;
}

static void cite(struct verifying *verifying, const char *text)
{
    struct digest digest;
    if (!digest_parse(&digest, text)) {
        verify_wrong(verifying, "an entry cites content by '%.80s', which is no digest",
                     text ? text : "nothing");
        return;
    }
    append_digest(&verifying->arena, &verifying->extra, &verifying->extra_count, &digest);
}

bool verify_retired(const struct verifying *verifying, const struct digest *manifest)
{
    for (size_t i = 0; i < verifying->retired_count; i++)
        if (digest_equal(&verifying->retired[i], manifest)) return true;
    return false;
}

/* A promotion under a policy with a smallest score states the score: it must be what the registry
 * said then. */
static void verify_score(struct verifying *verifying, const struct entry *entry)
{
    const struct registry *registry = &verifying->registry;
    const json_t *stated = json_object_get(entry->body, "score");
    struct err err;
    double score;
    if (entry->kind != ENTRY_PROMOTE || !stated) return;
    if (registry_score_value(&score, registry, &registry->state, entry_text(entry, "model"),
                             entry_int(entry, "number"), &err))
        verify_wrong(verifying, "the score in journal entry %lld cannot be worked out again: %s",
                     (long long)entry->seq, err.message);
    else if (!(json_number_value(stated) <= score))
        verify_wrong(verifying, "journal entry %lld states a score of %g, but it was %g",
                     (long long)entry->seq, json_number_value(stated), score);
}

static enum code visit(void *context, const struct entry *entry, struct err *err)
{
    struct verifying *verifying = context;
    struct registry *registry = &verifying->registry;
    verify_score(verifying, entry);
    TRY(state_apply(&registry->state, entry, err));
    registry->state.head = (struct head){ .seq = entry->seq, .digest = entry->digest };
    const char *name;
    json_t *file, *row;
    size_t i;
    struct digest digest;
    if (entry->kind == ENTRY_RETIRE && entry_digest(entry, &digest, "digest"))
        append_digest(&verifying->arena, &verifying->retired, &verifying->retired_count, &digest);
    if (entry_digest(entry, &digest, "documents"))
        append_digest(&verifying->arena, &verifying->bundles, &verifying->bundle_count, &digest);
    struct err trouble;
    if (statement_check(registry, entry, &trouble)) verify_problem(verifying, &trouble);
    if (entry_text(entry, "statement")) cite(verifying, entry_text(entry, "statement"));
    json_object_foreach(json_object_get(entry->body, "files"), name, file)
        cite(verifying, json_string_value(file));
    json_array_foreach(json_object_get(entry->body, "evidence"), i, row)
        json_object_foreach(json_object_get(row, "files"), name, file)
            cite(verifying, json_string_value(file));
    const struct verify_opts *opts = verifying->opts;
    if (opts && opts->seq == entry->seq && !digest_equal(&opts->digest, &entry->digest))
        verify_wrong(verifying, "journal entry %lld is not the expected one", (long long)opts->seq);
    return OK;
}

void verify_read_on(struct verifying *verifying)
{
    struct registry *registry = &verifying->registry;
    struct err err;
    struct head head = registry->state.head;
    if (journal_walk(&registry->journal, &head, visit, verifying, &err))
        verify_problem(verifying, &err);
}

static void verify_chain(struct verifying *verifying)
{
    struct registry *registry = &verifying->registry;
    struct err err;
    struct head head = { 0 };
    if (journal_end(&registry->journal, &head, visit, verifying, &err))
        verify_problem(verifying, &err);
    const struct verify_opts *opts = verifying->opts;
    if (opts && opts->seq > head.seq)
        verify_wrong(verifying, "journal ends at entry %lld, %lld is expected", (long long)head.seq,
                     (long long)opts->seq);
}

/* A sound view that knows more than the journal, or something else, tells of lost entries; one that
 * knows less is only late. */
static void verify_view(struct verifying *verifying)
{
    struct registry *registry = &verifying->registry;
    struct channels_view view;
    struct err err;
    if (channels_view_read(registry, &view, &err)) {
        if (registry->state.head.seq > 1 ||
            fs_exists(path_join(&verifying->arena, registry->dir, "cache/channels.json")))
            verify_note(verifying, "no usable channels view: %s", err.message);
        return;
    }
    const struct head *head = &registry->state.head;
    if (journal_holds(&registry->journal, &view.head, &err)) {
        verify_problem(verifying, &err);
    } else if (view.head.seq < head->seq) {
        verify_note(verifying, "the channels view is behind the journal: entry %lld of %lld",
                    (long long)view.head.seq, (long long)head->seq);
    } else if (view.head.seq == head->seq) {
        json_t *want = channels_view_of(&registry->state);
        json_object_del(view.json, "self");
        if (!json_equal(want, view.json))
            verify_wrong(verifying, "the channels view contradicts the journal at entry %lld",
                         (long long)head->seq);
        json_decref(want);
    }
    channels_view_release(&view);
}

static void verify_leftovers(struct verifying *verifying)
{
    static const char *const places[] = { "staging", "trash" };
    for (size_t p = 0; p < sizeof places / sizeof *places; p++) {
        char **names;
        size_t count;
        struct err err;
        const char *dir = path_join(&verifying->arena, verifying->registry.dir, places[p]);
        if (fs_list(&verifying->arena, &names, &count, dir, &err)) {
            verify_note(verifying, "%s", err.message);
            continue;
        }
        for (size_t i = 0; i < count; i++)
            if (!text_starts(names[i], "hold.")) /* these outlive what they were for */
                verify_note(verifying, "unfinished work in '%s/%s'", dir, names[i]);
    }
}

static json_t *result_of(const struct verifying *verifying)
{
    const struct state *state = &verifying->registry.state;
    json_t *head = json_pack("{sI}", "seq", (json_int_t)state->head.seq);
    json_set_digest(head, "digest", &state->head.digest);
    json_t *json = json_pack(
        "{ss sI sI sI so sO sO sb}", "pawl", "verify/1", "entries", (json_int_t)state->head.seq,
        "content", (json_int_t)verifying->content, "bytes", (json_int_t)verifying->bytes, "head",
        head, "problems", verifying->problems, "notes", verifying->notes, "open", (int)state->open);
    return json;
}

enum code registry_verify(const char *dir, json_t **result, const struct verify_opts *opts,
                          struct err *err)
{
    struct verifying verifying = { .opts = opts };
    struct registry *registry = &verifying.registry;
    struct err trouble;
    *result = NULL;
    enum code code = registry_open(registry, dir, &trouble);
    if (code == NOT_FOUND || code == USAGE || code == IO) {
        if (err) *err = trouble;
        return code;
    }
    verifying.problems = json_array();
    verifying.notes = json_array();
    if (code) verify_problem(&verifying, &trouble);
    verify_chain(&verifying);
    registry->id = registry->state.id;
    verify_view(&verifying);
    verify_content(&verifying);
    verify_layouts(&verifying);
    verify_leftovers(&verifying);
    *result = result_of(&verifying);
    code = json_array_size(verifying.problems) ? DAMAGED : OK;
    if (code && err) {
        *err = verifying.first;
        err->code = code;
    }
    json_decref(verifying.problems);
    json_decref(verifying.notes);
    registry_close(registry);
    arena_release(&verifying.arena);
    return code;
}
