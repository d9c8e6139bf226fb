/* Adding a run to a registry: its best checkpoint, what is known of its making, and golden rows. */
#ifndef PAWL_WORKFLOW_ADD_H
#define PAWL_WORKFLOW_ADD_H

#include "registry/registry.h"

enum { GOLDEN_ROWS = 8 };

struct add_request {
    const char *source; /* a run, checkpoint or bundle directory */
    const char
        *name; /* the model's name; NULL: the run's, and then set (static storage of `text`) */
    char text[128];
    const json_t *card; /* card/1 (registry/card.h), or NULL */
    json_t *facts;      /* of its making, instead of the run's manifest; borrowed, or NULL */
    const char *actor;
    const char *reason; /* NULL: "added from SOURCE" */
};

/* Adds. Golden rows are a bundle's own, else the first rows of the validation split (else of the
 * training split) of the dataset that the run's manifest names; where that file is gone, made-up
 * rows take their place. Fails as registry_add, and with NOT_FOUND where there is no model. */
enum code add_run(struct registry *registry, struct added *added, struct add_request *request,
                  struct err *err);

#endif
