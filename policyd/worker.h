#ifndef CX_WORKER_H
#define CX_WORKER_H

#include <stdatomic.h>

#include "policyd/counts.h"
#include "policyd/plan.h"
#include "policyd/session.h"

/*
 * A thread with an event loop of its own: accepts on the sockets of its service, serves
 * what it has accepted. Several workers accept on the same sockets.
 *
 * worker_new(), then any number of worker_set_plan(), then worker_stop() and
 * worker_free(); all from one other thread.
 */
struct worker;

/* After worker_stop() requests have this long to become whole, answers to be read. */
#define WORKER_STOP_MS 5000

/* Connections of all workers. */
struct worker_quota {
	atomic_size_t open;
	size_t max;
};

/*
 * Starts serving. Takes a reference of the plan; quota and counts must stay. CX_ENOMEM,
 * CX_EIO (logged).
 */
enum status worker_new(enum service_kind, struct plan *, struct worker_quota *,
    struct counts *, struct worker **out);
/* Soon the worker serves by this plan. Connections stay as they are. */
void worker_set_plan(struct worker *, struct plan *);
/* Accepts no more, answers what has come in, ends. */
void worker_stop(struct worker *);
/* Waits for the end of the thread. */
void worker_free(struct worker *);

/* When its loop last went round, by service_clock_ms(): within a second or two. */
int64_t worker_seen_at_ms(const struct worker *);

#endif
