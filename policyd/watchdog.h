#ifndef CX_WATCHDOG_H
#define CX_WATCHDOG_H

#include <stdbool.h>
#include <stddef.h>

#include "policyd/worker.h"

/*
 * Tells the service manager that the daemon is alive, for as long as every worker's
 * loop goes round. A thread of its own; none where the service manager does not ask.
 */
struct watchdog;

/* Borrows the workers. *out is NULL where nobody asks. CX_EIO. */
enum status watchdog_new(struct worker *const *workers, size_t count,
    struct watchdog **out);
void watchdog_free(struct watchdog *); /* NULL is fine */

/* Whether every loop has gone round lately. Any thread, and whoever asks: it logs nothing. */
bool watchdog_is_content(struct worker *const *workers, size_t count);

#endif
