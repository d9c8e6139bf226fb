/* What the system says of another process of this machine. */
#ifndef PAWL_BASE_PROCESS_H
#define PAWL_BASE_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

/* Whether a process runs. One that has ended counts as gone, also while its parent has not looked
 * after it: in containers nobody may ever do that. One that cannot be looked at may run. */
bool process_runs(int64_t pid);

/* When it began, in clock ticks since boot; tells a number that is used again from the first use.
 * -1 where the system does not say. */
int64_t process_started(int64_t pid);

#endif
