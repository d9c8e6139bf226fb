/* One list, so that a new kind is one line. */
#include "cli/kinds.h"

#include "eval/suite.h"
#include "registry/card.h"
#include "registry/policy.h"
#include "trainer/experiment.h"

const struct kind *const document_kinds[] = { &experiment_kind, &suite_kind, &policy_kind,
                                              &card_kind,       &part_kind,  NULL };
