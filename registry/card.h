/* The model card: Markdown with a YAML front matter, as model hubs read it. Words come from people
 * (card/1), numbers from reports and from nowhere else.
 *
 * Sources: huggingface/hub-docs, modelcard.md (front matter, model-index); Mitchell et al. 2019,
 * "Model Cards for Model Reporting" (sections). */
#ifndef PAWL_REGISTRY_CARD_H
#define PAWL_REGISTRY_CARD_H

#include "base/schema.h"

extern const struct kind card_kind;

/* The fields of a card/1 file as canonical JSON (new reference). CONFIG with `problems`. */
enum code card_load(json_t **card, struct arena *arena, const char *path, struct problems *problems,
                    struct err *err);

/* Whether a card has a field, with something in it; `key` is one of card/1's. An unknown key is
 * false: card_knows tells. For policies that demand fields. */
bool card_has(const json_t *card, const char *key);
bool card_knows(const char *key);

/* The fields of a card by name, NULL-terminated: a set of them is a bit for each. Those with
 * something in them; a set as a list of names (new reference) and back, names of other programs
 * left out; "license, contact" (arena). */
extern const char *const card_words[];
unsigned card_stated(const json_t *card);
json_t *card_names(unsigned fields);
unsigned card_fields_of(const json_t *names);
const char *card_fields_text(struct arena *arena, unsigned fields);

/* A number in the fewest digits that give the same double back; "n/a" for anything else. */
enum { CARD_NUMBER = 40 };
const char *card_number(char text[CARD_NUMBER], const json_t *number);

/* Whether a row of quality.values is the candidate's own on clean rows. */
bool card_value_counts(const json_t *value);

/* model/1 in words: "conv, batch_norm, relu, dense"; "f32 x [4]"; "3 class scores". Arena. */
const char *card_architecture(struct arena *arena, const json_t *description);
const char *card_input(struct arena *arena, const json_t *description);
const char *card_output(struct arena *arena, const json_t *description);

#endif
