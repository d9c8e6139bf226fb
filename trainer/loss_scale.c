/* The loss scale's rows, and reading them.
 *
 * The key has no default in the document, so that a configuration that does not name it keeps its
 * digest; what holds under f16 then is what the rows of `dynamic` say. The first scale and the
 * distance of its growth are those of PyTorch's GradScaler. */
#include "trainer/loss_scale.h"

#include <string.h>

#define START           65536
#define GROWTH_EVERY    2000
#define FLOOR           1
#define TEXT_OF(number) #number
#define TEXT(number)    TEXT_OF(number)

#define SCALE_ROW(name, value, text)                                                               \
    {                                                                                              \
        .key = (name), .type = FIELD_REAL, .low = 0, .low_open = true, .high = 1 << 24,            \
        .fallback = (value), .since = "0.1", .help = (text), .example = "1024"                     \
    }

static const struct field dynamic_fields[] = {
    SCALE_ROW("start", TEXT(START), "The first one."),
    { .key = "growth_every",
      .type = FIELD_INT,
      .low = 1,
      .high = 1000000000,
      .fallback = TEXT(GROWTH_EVERY),
      .since = "0.1",
      .help = "Steps without an overflow until it doubles, to 2^24 at most.",
      .example = "1000" },
    SCALE_ROW("floor", TEXT(FLOOR), "The lowest one; what overflows there is for non_finite."),
    { 0 },
};

static const struct field fixed_fields[] = {
    { .key = "value",
      .type = FIELD_REAL,
      .required = true,
      .low = 0,
      .low_open = true,
      .high = 1 << 24,
      .since = "0.1",
      .help = "The factor.",
      .example = "1024" },
    { 0 },
};

const struct choice loss_scale_choices[] = {
    { .name = "dynamic",
      .help = "Halves where the gradient overflows, and that step changes nothing; doubles after "
              "many steps without.",
      .fields = dynamic_fields },
    { .name = "fixed",
      .help = "The same throughout.",
      .fields = fixed_fields,
      .shorthand = "value" },
    { 0 },
};

enum code loss_scale_read(struct loss_scale *scale, const struct node *choice, struct err *err)
{
    *scale = (struct loss_scale){ .start = START, .floor = FLOOR, .growth_every = GROWTH_EVERY };
    if (!choice) return OK;
    const struct node *options = node_options(choice, NULL);
    if (strcmp(node_choice(choice, NULL), "fixed") == 0) {
        *scale = (struct loss_scale){ .start = node_real(options, "value") };
        return OK;
    }
    *scale = (struct loss_scale){ .start = node_real(options, "start"),
                                  .floor = node_real(options, "floor"),
                                  .growth_every = node_int(options, "growth_every") };
    if (scale->floor <= scale->start) return OK;
    const struct mark *at = &node_at(options, "floor")->mark;
    err_set(err, CONFIG, "cannot scale the loss: floor is above start");
    return err_at(err, at->file, at->line, at->column);
}
