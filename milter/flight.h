#ifndef CX_MILTER_FLIGHT_H
#define CX_MILTER_FLIGHT_H

#include <stdbool.h>

/*
 * Counts the callbacks that are under way, for the stop to wait for. One for the process; calls
 * may come from any thread.
 */

/* False: no new work, the process is on its way out. */
bool flight_enter(void);
void flight_leave(void); /* for each flight_enter() that was true */

/* From now on none may enter. The number of those under way. */
unsigned flight_close(void);
/* Waits for these, `wait_s` seconds at most. Whether all have left. */
bool flight_wait(int wait_s);

#endif
