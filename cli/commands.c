/* The list of all families, in the order in which help shows them. */
#include "cli/groups.h"

const struct command *const command_groups[] = {
    data_commands,     train_commands,    eval_commands,   channel_commands, release_commands,
    registry_commands, evidence_commands, key_commands,    trust_commands,   consent_commands,
    ask_commands,      keep_commands,     config_commands, tool_commands,    NULL,
};
