/* The families of commands; each file of cli/ defines one. */
#ifndef PAWL_CLI_GROUPS_H
#define PAWL_CLI_GROUPS_H

#include "cli/command.h"

extern const struct command data_commands[];     /* data.c */
extern const struct command train_commands[];    /* train.c */
extern const struct command eval_commands[];     /* evaluate.c */
extern const struct command channel_commands[];  /* channels.c */
extern const struct command release_commands[];  /* release.c */
extern const struct command registry_commands[]; /* registry.c */
extern const struct command evidence_commands[]; /* evidence.c */
extern const struct command key_commands[];      /* keys.c */
extern const struct command ask_commands[];      /* ask.c */
extern const struct command keep_commands[];     /* keep.c */
extern const struct command trust_commands[];    /* trust.c */
extern const struct command consent_commands[];  /* consent.c */
extern const struct command config_commands[];   /* config.c */
extern const struct command tool_commands[];     /* tools.c */

#endif
