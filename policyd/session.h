#ifndef CX_SESSION_H
#define CX_SESSION_H

#include <stdbool.h>

#include "value/buf.h"
#include "value/span.h"
#include "value/status.h"

/*
 * One client's stream of requests and answers, without its socket: bytes go in,
 * answers come out, in order. What makes up a request and what is answered is
 * the protocol's business; keeping half of one until the rest has come, stopping
 * while the client does not read, and ending after nonsense is this module's.
 *
 * Whole requests are answered where they lie; only what is left of an unfinished one
 * is copied (session_input's bytes may be reused when it returns). A session belongs to
 * one thread.
 */

enum frame_status {
	FRAME_WHOLE,
	FRAME_PARTIAL,
	FRAME_BAD, /* there is no way to find the next one */
};

struct frame {
	size_t len;       /* bytes of input that it takes up */
	struct span body; /* what the protocol wants of it */
};

struct protocol {
	const char *name;  /* for log lines */
	size_t answer_max; /* no answer is longer */
	/*
	 * One frame at the start of `input`. *scanned is the protocol's own note on an
	 * unfinished one (0 at its beginning), so that a slow one is not read again from
	 * the start. *why is set for FRAME_BAD, a constant. Over its limit on a frame a
	 * protocol says FRAME_BAD, never FRAME_PARTIAL.
	 */
	enum frame_status (*find)(struct span input, size_t *scanned, struct frame *,
	    const char **why);
	/* Appends one answer. False: none, and end the session; *why says why. */
	bool (*answer)(void *context, struct span body, struct buf *out,
	    const char **why);
	/* What is said before ending over FRAME_BAD; NULL: nothing. */
	void (*farewell)(struct buf *out);
	/* Tells of the one reason a session ended early; `what` is the request. */
	void (*complain)(void *context, const char *why, struct span what);
};

enum session_state {
	SESSION_IDLE,    /* between requests */
	SESSION_PARTIAL, /* in the middle of one */
	SESSION_FULL,    /* `out` was full: send it, then session_resume() */
	SESSION_ENDED,   /* send what there is, then close */
};

/* Answering stops when `out` holds this much; so out needs this and answer_max. */
#define SESSION_OUTPUT_HIGH 65536

struct session {
	const struct protocol *protocol;
	enum session_state state;
	char *kept; /* input that waits */
	size_t kept_len;
	size_t kept_size;
	size_t scanned;
};

void session_init(struct session *, const struct protocol *);
void session_release(struct session *);

/* Answers what is whole in `bytes`. Never in SESSION_FULL or SESSION_ENDED. */
enum session_state session_input(struct session *, struct span bytes, void *context,
    struct buf *out);
/* Goes on with what waits, after SESSION_FULL. */
enum session_state session_resume(struct session *, void *context, struct buf *out);
/* The client has closed its sending side. Never in SESSION_FULL or SESSION_ENDED. */
enum session_state session_eof(struct session *, void *context);

#endif
