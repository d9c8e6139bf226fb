/* Time: RFC 3339 UTC text for documents, a monotonic clock for durations. */
#ifndef PAWL_BASE_CLOCK_H
#define PAWL_BASE_CLOCK_H

enum { TIME_TEXT = 32 };

/* Now as "2026-11-24T21:25:33Z"; returns `text`. */
const char *clock_utc(char text[TIME_TEXT]);

/* Seconds since the epoch; seconds of the monotonic clock. */
double clock_wall(void);
double clock_monotonic(void);

#endif
