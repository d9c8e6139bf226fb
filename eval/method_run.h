/* The functions behind the method table (internal to eval/). */
#ifndef PAWL_EVAL_METHOD_RUN_H
#define PAWL_EVAL_METHOD_RUN_H

#include "eval/method.h"

#define METHOD_RUN(name)                                                                           \
    enum code name(struct answer *answer, const struct sample *sample,                             \
                   const struct question *question, struct err *err)

METHOD_RUN(run_clopper_pearson);
METHOD_RUN(run_mcnemar);
METHOD_RUN(run_mean);
METHOD_RUN(run_corpus);
METHOD_RUN(run_outer);
METHOD_RUN(run_quantile);
METHOD_RUN(run_exact);

#endif
