#ifndef CX_CONNECTIONS_H
#define CX_CONNECTIONS_H

#include <event2/event.h>

#include "policyd/service.h"

/*
 * The connections of one worker: reads, hands the bytes to the session, writes the
 * answers. Input and answers pass through memory that all of them share; only what
 * a client leaves unfinished or does not read is kept for it, and while it does not read
 * its answers no more is read from it. All functions on the worker's thread.
 */
struct connections;

/* Postfix keeps a connection 300 s idle and at most 1000 s: it shall be the one to close. */
#define CONNECTION_IDLE_MS    (1100 * 1000)
#define CONNECTION_PARTIAL_MS (30 * 1000)  /* in the middle of a request */
#define CONNECTION_BLOCKED_MS (100 * 1000) /* not reading its answers */
#define CONNECTION_LINGER_MS \
 (2 * 1000) /* for the last answer to arrive, before closing */
/* One that has been idle this long may be closed to make room for another. */
#define CONNECTION_EVICT_MS (10 * 1000)

/* Borrows base and service. CX_ENOMEM. */
enum status connections_new(struct event_base *, const struct protocol *,
    struct service *, struct connections **out);
/* Closes what is open. */
void connections_free(struct connections *);

/* Takes the descriptor; it is closed where there is no memory. */
void connections_adopt(struct connections *, int fd);
size_t connections_count(const struct connections *);

/* Closes those that have been in one state for too long. */
void connections_expire(struct connections *, int64_t now_ms);
/* Closes the one that has been idle the longest. False: none has long enough. */
bool connections_evict(struct connections *, int64_t now_ms);
/*
 * No more requests: answers what has arrived, closes what is idle. The rest closes when
 * its request is whole and its answer is out: until connections_count() is 0.
 */
void connections_finish(struct connections *);

#endif
