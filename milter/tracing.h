#ifndef CX_MILTER_TRACING_H
#define CX_MILTER_TRACING_H

#include "forward/trace.h"
#include "milter/envelope.h"

/*
 * The trace of the message at hand: taken from its headers while they come in, asked for each
 * object when recipients are looked at again, and written for the next time. One message at a
 * time: begin, header for each, end; release.
 */
struct tracing {
	struct trace_site site; /* no secrets: there is no trace */
	struct trace_message message;
	struct trace trace;
	int64_t now_s;
	struct span queue_id;
};

void tracing_init(struct tracing *);
void tracing_release(struct tracing *); /* and ready for the next message */

/* A message begins. `site` is borrowed until it ends. */
void tracing_begin(struct tracing *, const struct trace_site *site, int64_t now_s);
/* A header of the message; what matters is copied. CX_OK; CX_ENOMEM. */
enum status tracing_header(struct tracing *, struct span name, struct span value);
/* All headers are in; the MTA calls the message so (borrowed). CX_OK; CX_ETEMP. */
enum status tracing_end(struct tracing *, struct span queue_id);
/* Whether the message brought a genuine trace. */
bool tracing_has_returned(const struct tracing *);
/* A question_was_expanded; the context is a struct tracing. */
enum status tracing_was_expanded(void *tracing, const uint8_t id[16]);
/* The value of the header for what was expanded now; empty: none is wanted. */
enum status tracing_write(const struct tracing *, const struct envelope *,
    struct buf *out);

#endif
