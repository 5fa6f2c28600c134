#ifndef CX_MILTER_TRACING_H
#define CX_MILTER_TRACING_H

#include "forward/trace.h"
#include "milter/envelope.h"
#include "milter/pool.h"

/*
 * The trace of the message at hand: taken from its headers while they come in, asked for each
 * object when recipients are looked at again, and written for the next time. One message at a time.
 */
struct tracing {
	/*
	 * The last ones: ours are behind what a stranger began the message with. Number n of
	 * the message is in n % TRACE_HEADERS_MAX.
	 */
	struct buf values[TRACE_HEADERS_MAX];
	size_t value_count; /* of the message */
	struct span message_id, date, from;
	struct span identity; /* what tells the message from others */
	struct trace trace;
	struct trace_site site;
};

void tracing_init(struct tracing *);
void tracing_release(struct tracing *); /* and ready for the next message */

/* A header of the message; what matters is copied. CX_OK; CX_ENOMEM. */
enum status tracing_header(struct tracing *, struct pool *, struct span name,
    struct span value);
/*
 * All headers are in. `site` is borrowed until the end of the message; without a secret there
 * is no trace. CX_OK; CX_ENOMEM.
 */
enum status tracing_read(struct tracing *, struct pool *, const struct trace_site *site,
    int64_t now_s);
/* Whether the message brought something that may be a trace of ours. */
bool tracing_may_return(const struct tracing *);
/* A question_was_expanded; the context is a struct tracing. */
enum status tracing_was_expanded(void *tracing, const uint8_t id[16]);
/* The value of the header for what was expanded now; empty: none is wanted. */
enum status tracing_write(const struct tracing *, const struct envelope *,
    int64_t now_s, struct buf *out);

#endif
