#ifndef CX_MILTER_LIBMILTER_H
#define CX_MILTER_LIBMILTER_H

#include <stdbool.h>

#include "milter/session.h"
#include "value/errbuf.h"
#include "value/status.h"

/*
 * Between libmilter and sessions; the only file that knows <libmilter/mfapi.h>. Its
 * callbacks of one connection run on any thread, one at a time. Once in a process.
 *
 * Order: libmilter_open(), libmilter_run(), which ends on SIGTERM, SIGINT or SIGHUP
 * (libmilter's own thread takes them; they must be blocked), libmilter_close().
 */

/* How long a stop waits for callbacks that are under way. */
#define LIBMILTER_STOP_WAIT_S 30

/*
 * `fd` listens; `is_tcp` says on what. `env` must stay. CX_EIO with `err` filled.
 */
enum status libmilter_open(int fd, bool is_tcp, const struct session_env *env,
    struct errbuf *err);
enum status libmilter_run(void);
/* Waits for callbacks in flight. False: some still were when the time was up. */
bool libmilter_close(void);

#endif
