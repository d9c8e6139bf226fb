/* The card's text. Texts of people stand in it as they wrote them; in the front matter every text
 * is a JSON string, which YAML reads as it is. */
#include "registry/card.h"

#include "registry/documents_table.h"

#include <stdlib.h>
#include <string.h>

/* A text as a YAML scalar in double quotes. */
static void add_quoted(struct str *out, const char *text)
{
    json_t *json = json_string(text);
    char *quoted = json ? json_dumps(json, JSON_ENCODE_ANY | JSON_ENSURE_ASCII) : NULL;
    str_add(out, quoted ? quoted : "\"\"");
    free(quoted);
    json_decref(json);
}

static void add_pair(struct str *out, const char *indent, const char *key, const char *text)
{
    if (!*text) return;
    str_addf(out, "%s%s: ", indent, key);
    add_quoted(out, text);
    str_add_char(out, '\n');
}

static void add_list(struct str *out, const char *key, const json_t *list)
{
    size_t i;
    json_t *item;
    if (!json_array_size(list)) return;
    str_addf(out, "%s:\n", key);
    json_array_foreach(list, i, item)
    {
        str_add(out, "- ");
        add_quoted(out, json_string_value(item));
        str_add_char(out, '\n');
    }
}

/* A cell of a table: no bar and no line break leaves it. */
static void add_cell(struct str *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '|' || *text == '\\' || *text == '<') str_add_char(out, '\\');
        str_add_char(out, *text == '\n' || *text == '\r' ? ' ' : *text);
    }
}

static const char *dataset_name(const struct record *record)
{
    const char *path = member_text(json_object_get(record->facts, "data"), "path");
    return *path ? path_base(path) : "dataset";
}

/* One result of the model-index: a report's values over all rows. */
static void add_result(struct str *out, const struct record *record, const json_t *report)
{
    char number[CARD_NUMBER];
    const json_t *data = json_object_get(json_object_get(report, "inputs"), "data");
    const char *task = member_text(data, "task");
    size_t i;
    json_t *value;
    str_add(out, "  - task:\n");
    add_pair(out, "      ", "type", *task ? task : "other");
    str_add(out, "    dataset:\n");
    add_pair(out, "      ", "name", dataset_name(record));
    add_pair(out, "      ", "type", dataset_name(record));
    add_pair(out, "      ", "split", member_text(data, "split"));
    add_pair(out, "      ", "revision", member_text(data, "digest"));
    str_add(out, "    metrics:\n");
    json_array_foreach(json_object_get(json_object_get(report, "quality"), "values"), i, value)
    {
        const json_t *real = json_object_get(value, "value");
        if (!card_value_counts(value) || strcmp(member_text(value, "slice"), "all") != 0 ||
            !json_is_number(real))
            continue;
        str_add(out, "    - type: ");
        add_quoted(out, member_text(value, "metric"));
        str_addf(out, "\n      value: %s\n", card_number(number, real));
    }
}

static bool has_values(const json_t *report)
{
    return json_array_size(json_object_get(json_object_get(report, "quality"), "values")) > 0;
}

static void add_front(struct str *out, const struct record *record)
{
    const json_t *card = record->card;
    size_t i;
    json_t *report;
    bool begun = false;
    str_add(out, "---\n");
    add_pair(out, "", "license", member_text(card, "license"));
    add_list(out, "language", json_object_get(card, "language"));
    str_add(out, "library_name: \"pawl\"\n");
    add_list(out, "tags", json_object_get(card, "tags"));
    add_pair(out, "", "base_model", member_text(card, "base_model"));
    json_array_foreach(record->reports, i, report)
    {
        if (!has_values(report)) continue;
        if (!begun) {
            str_add(out, "model-index:\n- name: ");
            add_quoted(out, record->model);
            str_add(out, "\n  results:\n");
        }
        begun = true;
        add_result(out, record, report);
    }
    str_add(out, "---\n\n");
}

static void add_section(struct str *out, const json_t *card, const char *title, const char *key)
{
    size_t i;
    json_t *item;
    const json_t *value = json_object_get(card, key);
    if (!card_has(card, key)) return;
    str_addf(out, "## %s\n\n", title);
    if (json_is_string(value)) str_addf(out, "%s\n", json_string_value(value));
    json_array_foreach(value, i, item) str_addf(out, "- %s\n", json_string_value(item));
    str_add_char(out, '\n');
}

static void add_model(struct str *out, struct arena *arena, const struct record *record)
{
    char digest[DIGEST_TEXT], model[DIGEST_TEXT];
    const json_t *facts = record->facts, *data = json_object_get(facts, "data");
    const json_t *device = json_object_get(facts, "device");
    str_add(out, "## The model\n\n");
    if (*member_text(record->description, "task"))
        str_addf(out, "- Task: %s\n- Layers: %s\n- Input: %s\n- Output: %s\n",
                 member_text(record->description, "task"),
                 card_architecture(arena, record->description),
                 card_input(arena, record->description), card_output(arena, record->description));
    str_addf(out, "- Version digest: `%s`\n- Model digest: `%s`\n",
             digest_text(&record->digest, digest),
             digest_text(&record->files->model_digest, model));
    if (member_hex(facts, "config_digest"))
        str_addf(out, "- Training configuration: `%s`\n", member_text(facts, "config_digest"));
    if (member_hex(data, "digest"))
        str_addf(out, "- Training data: `%s`\n", member_text(data, "digest"));
    if (*member_text(device, "name"))
        str_addf(out, "- Trained on: %s, %s, by pawl %s\n", member_text(device, "name"),
                 member_text(device, "precision"), member_text(facts, "build"));
    str_add_char(out, '\n');
}

static void add_goals(struct str *out, const json_t *suite)
{
    size_t i;
    json_t *gate;
    char bar[CARD_NUMBER];
    json_array_foreach(json_object_get(suite, "gates"), i, gate)
    {
        if (!json_is_true(json_object_get(gate, "goal"))) continue;
        str_addf(out, "- Goal `%s`: %s %s %s", member_text(gate, "id"), member_text(gate, "metric"),
                 member_text(gate, "rule"), card_number(bar, json_object_get(gate, "bar")));
        if (*member_text(gate, "why")) str_addf(out, " (%s)", member_text(gate, "why"));
        str_add_char(out, '\n');
    }
}

static void add_values(struct str *out, const json_t *quality)
{
    size_t i;
    json_t *value;
    char text[3][CARD_NUMBER];
    str_add(out, "\n| metric | slice | value | from | to | rows |\n"
                 "|---|---|---|---|---|---|\n");
    json_array_foreach(json_object_get(quality, "values"), i, value)
    {
        const json_t *rows = json_object_get(value, "n");
        if (!card_value_counts(value)) continue;
        str_add(out, "| ");
        add_cell(out, member_text(value, "metric"));
        str_add(out, " | ");
        add_cell(out, member_text(value, "slice"));
        str_addf(out, " | %s | %s | %s | %lld |\n",
                 card_number(text[0], json_object_get(value, "value")),
                 card_number(text[1], json_object_get(value, "low")),
                 card_number(text[2], json_object_get(value, "high")),
                 (long long)json_integer_value(rows));
    }
    str_add_char(out, '\n');
}

static void add_reports(struct str *out, const struct record *record)
{
    size_t i;
    json_t *report;
    str_add(out, "## What was found\n\n");
    if (!json_array_size(record->reports)) str_add(out, "It was not evaluated yet.\n\n");
    json_array_foreach(record->reports, i, report)
    {
        const json_t *inputs = json_object_get(report, "inputs");
        const json_t *suite = json_object_get(inputs, "suite");
        const json_t *verdict = json_object_get(report, "verdict");
        if (!has_values(report)) continue;
        str_add(out, "### Suite ");
        add_cell(out, member_text(suite, "name"));
        str_addf(out, ": %s\n\n", member_text(verdict, "result"));
        str_addf(out, "- Suite: `%s`\n- Report: `%s`\n", member_text(inputs, "suite_digest"),
                 member_text(json_object_get(report, "digests"), "report"));
        str_addf(out, "- Rows: `%s` of `%s`\n",
                 member_text(json_object_get(inputs, "data"), "split"),
                 member_text(json_object_get(inputs, "data"), "digest"));
        add_goals(out, suite);
        add_values(out, json_object_get(report, "quality"));
    }
}

/* What nobody has said: a reader should not have to notice an absence. */
static void add_unsaid(struct str *out, const json_t *card)
{
    bool first = true;
    for (const struct field *field = card_kind.fields; field->key; field++) {
        if (card_has(card, field->key) || strcmp(field->key, "tests") == 0) continue;
        str_addf(out, "%s%s", first ? "Not stated: " : ", ", field->key);
        first = false;
    }
    if (!first) str_add(out, ".\n");
}

void card_make(struct evidence *evidence, struct arena *arena, const struct record *record)
{
    static const struct {
        const char *title, *key;
    } sections[] = {
        { "Meant for", "intended_use" },
        { "Users", "users" },
        { "Not meant for", "out_of_scope" },
        { "Limits", "limitations" },
        { "Training data", "training_data" },
        { "Risks for people", "ethics" },
        { "Contact", "contact" },
    };
    struct str out = { 0 };
    size_t len;
    add_front(&out, record);
    str_addf(&out, "# %s\n\n", record->model);
    if (card_has(record->card, "summary"))
        str_addf(&out, "%s\n\n", member_text(record->card, "summary"));
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++)
        add_section(&out, record->card, sections[i].title, sections[i].key);
    add_model(&out, arena, record);
    add_reports(&out, record);
    add_unsaid(&out, record->card);
    const char *text = arena_copy_len(arena, out.at, out.len);
    document_text(evidence, "README.md", "text/markdown", text, out.len);
    str_release(&out);
    if (!json_object_size(record->card)) return;
    text = json_canonical(arena, record->card, &len);
    document_text(evidence, CARD_FIELDS_FILE, "application/vnd.pawl.card+json", text, len);
}
