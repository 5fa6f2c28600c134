#ifndef CX_CONTROL_H
#define CX_CONTROL_H

#include "syncd/sources.h"

/*
 * The control socket: for root and the user that syncd runs as, who send lines and get one
 * line for each:
 *
 *   status               one JSON object
 *   refresh [DIRECTORY]  "ok": a full refresh of it, or of all, was started
 *   accept DIRECTORY     "ok": the removals kept back were applied
 *
 * or "error: what". On the event loop's thread.
 */
#define CONTROL_LINE_MAX    512
#define CONTROL_CLIENTS_MAX 64
#define CONTROL_IDLE_S      60

struct control;

/* `fd` is a listening unix socket and becomes the control's. CX_ENOMEM. */
enum status control_new(struct event_base *, int fd, struct sources *, int64_t started,
    struct control **out);
/* Drops its clients. NULL is fine. */
void control_free(struct control *);

#endif
