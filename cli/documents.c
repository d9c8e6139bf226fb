/* Documents laid out in columns. Digests are shown with twelve digits, whole only where somebody
 * would compare or copy them: a version's own, its model's, and the head of the journal. */
#include "cli/documents.h"

#include "base/units.h"

#include <string.h>

/* "sha256:" and twelve digits. */
#define SHORT "%.19s"

const char *text_in(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

long long number_in(const json_t *object, const char *key)
{
    return (long long)json_integer_value(json_object_get(object, key));
}

/* The widest of `count` texts made by `make`, at most `limit`. */
static int widest(const json_t *rows, void (*make)(struct str *out, const json_t *row), int limit)
{
    struct str text = { 0 };
    size_t width = 0;
    for (size_t i = 0; i < json_array_size(rows); i++) {
        str_clear(&text);
        make(&text, json_array_get(rows, i));
        if (text.len > width) width = text.len;
    }
    str_release(&text);
    return width < (size_t)limit ? (int)width : limit;
}

static void add_version(struct str *out, const json_t *row)
{
    str_addf(out, "%s@%lld", text_in(row, "model"), number_in(row, "number"));
}

static void add_column(struct str *out, const json_t *row,
                       void (*make)(struct str *out, const json_t *row), int width)
{
    struct str text = { 0 };
    make(&text, row);
    str_addf(out, "%-*s", width, str_text(&text));
    str_release(&text);
}

/* What an entry did: "fashion@staging -> fashion@2", "fashion@2 passes", "suite sha256:…, look 2".
 */
static void add_subject(struct str *out, const json_t *entry)
{
    const char *subject = text_in(entry, "subject"), *channel = text_in(entry, "channel");
    const char *kind = text_in(entry, "kind");
    if (strcmp(kind, "approve") == 0 || strcmp(kind, "waive") == 0) {
        str_addf(out, "%s for %s", subject, channel);
        if (*text_in(entry, "rule")) str_addf(out, ": %s", text_in(entry, "rule"));
        if (*text_in(entry, "gate")) str_addf(out, " of gate %s", text_in(entry, "gate"));
    } else if (strcmp(kind, "policy") == 0 || strcmp(kind, "revoke") == 0) {
        str_addf(out, "%s " SHORT, *kind == 'p' ? "policy" : "key", subject);
    } else if (*channel) {
        str_addf(out, "%.*s@%s -> %s", (int)strcspn(subject, "@"), subject, channel, subject);
        if (json_is_true(json_object_get(entry, "unchanged"))) str_add(out, " (unchanged)");
    } else if (text_starts(subject, "sha256:")) {
        str_addf(out, "suite " SHORT, subject);
        if (json_object_get(entry, "look")) str_addf(out, ", look %lld", number_in(entry, "look"));
    } else {
        str_add(out, subject);
        if (*text_in(entry, "verdict")) str_addf(out, ": %s", text_in(entry, "verdict"));
    }
}

void history_text(struct str *out, const json_t *history)
{
    const json_t *entries = json_object_get(history, "entries");
    int width = widest(entries, add_subject, 60);
    for (size_t i = 0; i < json_array_size(entries); i++) {
        const json_t *e = json_array_get(entries, i);
        const char *reason = text_in(e, "reason");
        str_addf(out, "%6lld  %s  %-8s  ", number_in(e, "seq"), text_in(e, "time"),
                 text_in(e, "kind"));
        add_column(out, e, add_subject, width);
        if (*text_in(e, "person"))
            str_addf(out, "  by %s (%s)", text_in(e, "person"), text_in(e, "actor"));
        else
            str_addf(out, "  by %s", text_in(e, "actor"));
        str_addf(out, "%s%s\n", *reason ? ": " : "", reason);
    }
    if (!json_array_size(entries)) str_add(out, "no entries\n");
}

static void add_files(struct str *out, const json_t *files)
{
    char size[UNITS_TEXT];
    str_add(out, "\nfiles\n");
    for (size_t i = 0; i < json_array_size(files); i++) {
        const json_t *file = json_array_get(files, i);
        str_addf(out, "  %-18s  %9s  " SHORT "\n", text_in(file, "name"),
                 units_bytes_text(size, (double)number_in(file, "size")), text_in(file, "digest"));
    }
}

static void add_reports(struct str *out, const json_t *reports)
{
    str_add(out, "\nreports\n");
    for (size_t i = 0; i < json_array_size(reports); i++) {
        const json_t *report = json_array_get(reports, i);
        str_addf(out, "  %-12s  entry %-4lld  suite " SHORT "  report " SHORT "\n",
                 text_in(report, "verdict"), number_in(report, "seq"), text_in(report, "suite"),
                 text_in(report, "report"));
    }
    if (!json_array_size(reports)) str_add(out, "  none: it was not evaluated yet\n");
}

void run_facts_text(struct str *out, const json_t *facts)
{
    const json_t *data = json_object_get(facts, "data"), *device = json_object_get(facts, "device");
    str_addf(out, "  run            %s, seed %lld, started %s\n", text_in(facts, "name"),
             number_in(facts, "seed"), text_in(facts, "started"));
    str_addf(out, "  configuration  " SHORT "\n", text_in(facts, "config_digest"));
    str_addf(out, "  data           " SHORT "  %s\n", text_in(data, "digest"),
             text_in(data, "path"));
    str_addf(out, "  program        " SHORT "  pawl %s\n", text_in(facts, "binary"),
             text_in(facts, "build"));
    str_addf(out, "  device         %s, %s\n", text_in(device, "name"),
             text_in(device, "precision"));
}

void version_text(struct str *out, const json_t *version)
{
    const json_t *channels = json_object_get(version, "channels");
    add_version(out, version);
    str_addf(out, "\n  version digest  %s\n  model digest    %s\n", text_in(version, "digest"),
             text_in(version, "model_digest"));
    str_addf(out, "  weights         %s\n",
             strcmp(text_in(version, "variant"), "ema") == 0 ? "the run's average (ema)" : "raw");
    str_addf(out, "  added           %s by %s, entry %lld: %s\n", text_in(version, "time"),
             text_in(version, "actor"), number_in(version, "seq"), text_in(version, "reason"));
    str_add(out, "  channels        ");
    for (size_t i = 0; i < json_array_size(channels); i++)
        str_addf(out, "%s%s", i ? ", " : "", json_string_value(json_array_get(channels, i)));
    str_add(out, json_array_size(channels) ? "\n" : "none\n");
    add_files(out, json_object_get(version, "files"));
    add_reports(out, json_object_get(version, "reports"));
    const json_t *facts = json_object_get(version, "facts");
    if (!json_object_size(facts)) return;
    str_add(out, "\nmade by\n");
    run_facts_text(out, facts);
}

void verify_text(struct str *out, const json_t *result)
{
    static const struct {
        const char *list, *name;
    } kinds[] = { { "problems", "problem" }, { "notes", "note" } };
    const json_t *head = json_object_get(result, "head");
    char bytes[UNITS_TEXT];
    str_addf(out, "%lld entries, %lld files of content, %s hashed\n", number_in(result, "entries"),
             number_in(result, "content"),
             units_bytes_text(bytes, (double)number_in(result, "bytes")));
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        const json_t *list = json_object_get(result, kinds[k].list);
        for (size_t i = 0; i < json_array_size(list); i++)
            str_addf(out, "  %s: %s\n", kinds[k].name, text_in(json_array_get(list, i), "message"));
    }
    str_addf(out, "head %lld:%s\n", number_in(head, "seq"), text_in(head, "digest"));
    size_t wrong = json_array_size(json_object_get(result, "problems"));
    if (!wrong) str_add(out, "sound\n");
}

void status_text(struct str *out, const json_t *status, const char *dir)
{
    const json_t *current = json_object_get(status, "current");
    const json_t *bundles = json_object_get(status, "bundles");
    str_addf(out, "%s/current holds ", dir);
    add_version(out, current);
    bool image = json_object_get(current, "image") != NULL;
    str_addf(out, "%s, every file as it should be\n", image ? " as an image" : "");
    str_addf(out, "  version digest  %s\n  model digest    %s\n", text_in(current, "digest"),
             text_in(current, "model_digest"));
    if (json_is_string(json_object_get(status, "registry")))
        str_addf(out, "  registry        " SHORT ", seen up to entry %lld\n",
                 text_in(status, "registry"), number_in(status, "seq"));
    if (json_array_size(bundles)) str_add(out, "\nbundles, the last deployed first\n");
    for (size_t i = 0; i < json_array_size(bundles); i++) {
        const json_t *bundle = json_array_get(bundles, i);
        str_add(out, "  ");
        add_version(out, bundle);
        str_addf(out, "  " SHORT "  %s  as %s\n", text_in(bundle, "digest"),
                 text_in(bundle, "time"), text_in(bundle, "ref"));
    }
}
