#ifndef CX_METRICS_HTTP_H
#define CX_METRICS_HTTP_H

#include <stdbool.h>

#include "value/buf.h"
#include "value/errbuf.h"
#include "value/status.h"

/*
 * The page that watchers fetch, over HTTP, from a thread of its own: /metrics (Prometheus),
 * /healthz (200 while the daemon works) and /readyz (200 while it can decide, else 503 and
 * the reasons). Whoever can connect may read: there is no secret in it, but the names of
 * directories are. Connections, memory and time of clients are bounded, and the oldest goes for
 * a new one; a crowd here takes nothing from the daemon's own work.
 */
struct metrics_http;

/* The functions are called in that thread, one at a time. */
struct metrics_site {
	void *context;
	void (*print)(void *context, struct buf *page);
	bool (*is_alive)(void *context);
	/* Where it is not: adds a line for each reason. */
	bool (*is_ready)(void *context, struct buf *why);
};

/*
 * Opens the socket (before the process gives up its rights); "" is none: *fd is -1. CX_EIO
 * with err.
 */
enum status metrics_open(const char *listen, int *fd, struct errbuf *);
/* Closes it again, where nothing comes of it. -1 is fine. */
void metrics_give_up(const char *listen, int fd);
/*
 * Serves on it, from now on its owner; -1: *out is NULL. After any fork. CX_EIO with err; the
 * socket is closed then.
 */
enum status metrics_start(const char *listen, int fd, const struct metrics_site *,
    struct metrics_http **out, struct errbuf *);
/* Says in the log, after a reload, that a changed `metrics_listen` waits for a start. */
void metrics_warn_of_restart(const char *before, const char *now);
/* Waits for the thread, closes the socket and removes its file. NULL is fine. */
void metrics_stop(struct metrics_http *);

#endif
