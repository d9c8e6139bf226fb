/* Stop requests: SIGTERM, SIGINT, SIGUSR1 and SIGUSR2 set a flag, nothing else. */
#ifndef PAWL_TRAINER_SIGNALS_H
#define PAWL_TRAINER_SIGNALS_H

#include <stdbool.h>

/* Installs the handlers for this process. A second SIGINT ends the process in the ordinary way. */
void signals_install(void);

/* Whether a stop was asked for; its name for messages. */
bool signals_stop(void);
const char *signals_name(void);

/* Whether SIGTERM was among them: who sent it to a rank may have lost another one. */
bool signals_ending(void);

#endif
