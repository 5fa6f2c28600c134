#ifndef CX_TRACE_H
#define CX_TRACE_H

#include <stdbool.h>
#include <stdint.h>

#include "forward/secrets.h"
#include "value/buf.h"
#include "value/span.h"
#include "value/status.h"

/*
 * The trace of a message (SPEC section 6): a header that names, in a form that only those who
 * have the site's secret can make, the objects that were expanded for it. A message that comes
 * back with it is not sent round again.
 *
 *   X-Coexist-Forwarded: acme; t=1795313003; o=TOKEN TOKEN
 *    TOKEN
 *
 * A token is base64url of the first 16 bytes of HMAC-SHA256 over organization, time, what tells
 * the message from others (its Message-ID) and the object's id. So a header that was copied into another
 * message, or whose time was changed, names nothing.
 */
#define TRACE_HEADER      "X-Coexist-Forwarded"
/* Where a recipient goes that nothing is left of: the transport map answers error:5.4.6. */
#define TRACE_BOUNCE_DOMAIN  "coexist-returned.invalid"
#define TRACE_BOUNCE_ADDRESS "loop@" TRACE_BOUNCE_DOMAIN
#define TRACE_MAX_AGE_S   (7 * 24 * 60 * 60)
#define TRACE_TOKEN_SIZE  16
#define TRACE_TOKENS_MAX  4000 /* of all headers of a message that are read */
/* Some 18 kB: Sendmail refuses messages with more than 32 kB of headers in all. */
#define TRACE_WRITTEN_MAX 800
#define TRACE_HEADERS_MAX 8
#define TRACE_OBJECT_SIZE 16 /* entryUUID */

/* What tokens are bound to; borrowed. */
struct trace_site {
	const struct secrets *secrets;
	struct span organization;
};

/*
 * The value of the header for `count` objects; folded with a line feed and a blank, as
 * milters give headers to the MTA. CX_OK; CX_ETEMP: no digest; CX_ENOMEM. Of more than
 * TRACE_WRITTEN_MAX objects only the first are in it.
 */
enum status trace_make(const struct trace_site *, struct span message_id, int64_t now_s,
    const uint8_t (*objects)[TRACE_OBJECT_SIZE], size_t count, struct buf *out);

/* The traces that a message came with. Owns what it holds; one thread at a time. */
struct trace {
	struct trace_part {
		int64_t when_s;
		size_t first, count; /* of tokens */
	} parts[TRACE_HEADERS_MAX];
	size_t part_count;
	uint8_t (*tokens)[TRACE_TOKEN_SIZE];
	size_t token_count, token_room;
};
void trace_init(struct trace *);
void trace_release(struct trace *); /* empty again */
/*
 * Takes in the value of a header of the message; one of another organization, of another time,
 * that does not parse or is one too many is left out. Only lack of memory is a failure.
 */
enum status trace_add(struct trace *, const struct trace_site *, struct span value,
    int64_t now_s);
/*
 * Whether the object was expanded before for this message. CX_OK: it was; CX_NOTFOUND;
 * CX_ETEMP: no digest.
 */
enum status trace_has(const struct trace *, const struct trace_site *,
    struct span message_id, const uint8_t object[TRACE_OBJECT_SIZE]);

#endif
