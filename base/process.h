/* What the system says of this process and of others on the machine. */
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

/* The most bytes of this process that were resident at once since it began or since the last reset;
 * after a reset that is what is resident then. 0, and false, where the system does not do it. */
uint64_t process_peak(void);
bool process_peak_reset(void);

#endif
