/* What people write on a card, and model/1 in words. */
#include "registry/card.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const test_words[] = { "D1", "D2", "D3", "D4", "D5", "D6", "D7", "M1",
                                          "M2", "M3", "M4", "M5", "M6", "M7", "I1", "I2",
                                          "I3", "I4", "I5", "I6", "I7", "O1", "O2", "O3",
                                          "O4", "O5", "O6", "O7", NULL };

static const struct field text_item = { .type = FIELD_TEXT, .example = "en" };

#define WORDS(name, says, sample)                                                                  \
    {                                                                                              \
        .key = name, .type = FIELD_TEXT, .since = "0.2", .help = says, .example = sample           \
    }
#define LIST(name, says, sample)                                                                   \
    {                                                                                              \
        .key = name, .type = FIELD_LIST, .item = &text_item, .since = "0.2", .help = says,         \
        .example = sample                                                                          \
    }

static const struct field test_fields[] = {
    { .key = "test",
      .type = FIELD_WORD,
      .words = test_words,
      .required = true,
      .since = "0.2",
      .help = "Which test of the ML Test Score (`pawl score`) was done by hand.",
      .example = "D2" },
    { .key = "evidence",
      .type = FIELD_TEXT,
      .required = true,
      .since = "0.2",
      .help = "Where it is written down.",
      .example = "docs/ablation.md" },
    { .key = "by", .type = FIELD_TEXT, .since = "0.2", .help = "Who did it.", .example = "ana" },
    { 0 },
};

static const struct field test_item = { .type = FIELD_MAP, .fields = test_fields };

static const struct field card_table[] = {
    WORDS("summary", "What the model does, in a sentence or two.", "Sorts images of clothes."),
    WORDS("license", "The licence, as a short identifier.", "apache-2.0"),
    LIST("language", "Languages of the data, as codes.", "[en]"),
    LIST("tags", "Words to find it by.", "[fashion, images]"),
    WORDS("base_model", "The model that it was made from.", "fashion@3"),
    WORDS("contact", "Whom to ask, and where.", "ml-team@example.org"),
    WORDS("intended_use", "What it is meant for.", "Sorting returned goods."),
    LIST("users", "Who is meant to use it.", "[warehouse staff]"),
    WORDS("out_of_scope", "What it must not be used for.", "Anything about people."),
    WORDS("limitations", "Where it is known to be weak.", "Dark photographs."),
    WORDS("training_data", "What the training data is and where it comes from.", "Fashion-MNIST."),
    WORDS("ethics", "Risks for people, and what is done about them.", "None known."),
    { .key = "tests",
      .type = FIELD_LIST,
      .item = &test_item,
      .since = "0.2",
      .help = "Tests of the ML Test Score that people did; each counts half.",
      .example = "[{test: D2, evidence: docs/ablation.md, by: ana}]" },
    { 0 },
};

const struct kind card_kind = { .name = "card",
                                .version = 1,
                                .help = "What people say about a model; its numbers come from "
                                        "reports.",
                                .fields = card_table,
                                .no_environment = true };

enum code card_load(json_t **card, struct arena *arena, const char *path, struct problems *problems,
                    struct err *err)
{
    const struct kind *const kinds[] = { &card_kind, NULL };
    struct document document;
    *card = NULL;
    TRY(document_load(&document, arena, path, kinds, NULL, problems, err));
    *card = document_json(&document);
    return OK;
}

const char *const card_words[] = { "summary",      "license",     "language",      "tags",
                                   "base_model",   "contact",     "intended_use",  "users",
                                   "out_of_scope", "limitations", "training_data", "ethics",
                                   "tests",        NULL };

unsigned card_stated(const json_t *card)
{
    unsigned fields = 0;
    for (int i = 0; card_words[i]; i++)
        if (card_has(card, card_words[i])) fields |= 1U << i;
    return fields;
}

json_t *card_names(unsigned fields)
{
    json_t *names = json_array();
    for (int i = 0; card_words[i]; i++)
        if (fields >> i & 1) json_array_append_new(names, json_string(card_words[i]));
    return names;
}

unsigned card_fields_of(const json_t *names)
{
    unsigned fields = 0;
    for (size_t n = 0; n < json_array_size(names); n++) {
        const char *name = json_string_value(json_array_get(names, n));
        for (int i = 0; name && card_words[i]; i++)
            if (strcmp(card_words[i], name) == 0) fields |= 1U << i;
    }
    return fields;
}

const char *card_fields_text(struct arena *arena, unsigned fields)
{
    const char *text = "";
    for (int i = 0; card_words[i]; i++)
        if (fields >> i & 1)
            text = arena_format(arena, "%s%s%s", text, *text ? ", " : "", card_words[i]);
    return text;
}

bool card_knows(const char *key)
{
    for (const struct field *field = card_table; field->key; field++)
        if (strcmp(field->key, key) == 0) return true;
    return false;
}

bool card_has(const json_t *card, const char *key)
{
    const json_t *value = json_object_get(card, key);
    const char *text = json_string_value(value);
    if (json_is_array(value)) return json_array_size(value) > 0;
    return text && text[strspn(text, " \t\r\n")];
}

const char *card_number(char text[CARD_NUMBER], const json_t *number)
{
    double value = json_number_value(number);
    if (!json_is_number(number) || !isfinite(value)) {
        snprintf(text, CARD_NUMBER, "n/a");
        return text;
    }
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, CARD_NUMBER, "%.*g", digits, value);
        if (strtod(text, NULL) == value) break;
    }
    return text;
}

static bool is_text(const json_t *object, const char *key, const char *want)
{
    const char *got = json_string_value(json_object_get(object, key));
    return got && strcmp(got, want) == 0;
}

bool card_value_counts(const json_t *value)
{
    return is_text(value, "subject", "candidate") && is_text(value, "condition", "clean");
}

const char *card_architecture(struct arena *arena, const json_t *description)
{
    struct str text = { 0 };
    size_t i;
    json_t *layer;
    json_array_foreach(json_object_get(description, "layers"), i, layer)
    {
        const char *name = json_object_iter_key(json_object_iter(layer));
        str_addf(&text, "%s%s", i ? ", " : "", name ? name : "layer");
    }
    const char *copy = arena_copy(arena, str_text(&text));
    str_release(&text);
    return copy;
}

const char *card_input(struct arena *arena, const json_t *description)
{
    const json_t *input = json_object_get(description, "input");
    const char *column = json_string_value(json_object_get(input, "column"));
    const char *dtype = json_string_value(json_object_get(input, "dtype"));
    const json_t *shape = json_object_get(input, "shape");
    return arena_format(arena, "%s %s %s", dtype ? dtype : "", column ? column : "",
                        shape ? json_canonical(arena, shape, NULL) : "");
}

const char *card_output(struct arena *arena, const json_t *description)
{
    long long outputs = (long long)json_integer_value(json_object_get(description, "outputs"));
    bool classes = is_text(description, "task", "classification");
    return arena_format(arena, "%lld %s", outputs, classes ? "class scores" : "numbers");
}
