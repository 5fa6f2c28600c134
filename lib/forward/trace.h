#ifndef CX_TRACE_H
#define CX_TRACE_H

#include <stdbool.h>
#include <stdint.h>

#include "forward/secrets.h"
#include "forward/trace_message.h"
#include "value/buf.h"
#include "value/span.h"
#include "value/status.h"

/*
 * The trace of a message (SPEC section 6): a header that names, in a form that only those who
 * have the site's secret can make, the objects that were expanded for it. A message that comes
 * back with it is not sent round again.
 *
 *   X-Coexist-Forwarded: acme; t=1795313003; q=4F1A2B3C4D;
 *    o=TOKEN TOKEN TOKEN
 *    TOKEN
 *
 * A token is base64url of the first 16 bytes of HMAC-SHA256 over organization, time, queue id, what
 * tells the message from others and the object's id. So a header that was copied into another message,
 * or whose time was changed, names nothing. The first is of no object, but of the header: who
 * has no secret makes none that is read any further. With "d=" for "o=" they are bound to date
 * and author: the message had no Message-ID then, and may have been given one since.
 *
 * The queue id is the message's where the header is written: another milter behind the first one,
 * of the same server, sees the header too, and the message has not been anywhere.
 *
 * Other systems fold headers as they like, and cut long lines where it pleases them: blanks do
 * not count, as tokens are all of one length; what follows something else is not read.
 */
#define TRACE_HEADER      "X-Coexist-Forwarded"
/*
 * Where recipients go that nothing is left of, each to an address of its own: the transport map
 * answers error:5.4.6 for all of the domain.
 */
#define TRACE_BOUNCE_DOMAIN  "coexist-returned.invalid"
#define TRACE_MAX_AGE_S   (7 * 24 * 60 * 60)
#define TRACE_TOKEN_SIZE  16
/* Some 18 kB: Sendmail refuses messages with more than 32 kB of headers in all. */
#define TRACE_WRITTEN_MAX 800
/* Of a message, the last ones that may be ours: a stranger can only put others before them. */
#define TRACE_HEADERS_MAX 16
#define TRACE_OBJECT_SIZE 16 /* entryUUID */
#define TRACE_QUEUE_MAX	  24 /* of a queue id: Postfix 15 or so, Sendmail 14 */

/* What tokens are bound to; borrowed. */
struct trace_site {
	const struct secrets *secrets;
	struct span organization;
};

/*
 * The value of the header for `count` objects; a queue id of other than letters and digits, or
 * over TRACE_QUEUE_MAX of them, counts as none; folded with a line feed and a blank, as
 * milters give headers to the MTA. CX_OK; CX_ETEMP: no digest; CX_ENOMEM. Of more than
 * TRACE_WRITTEN_MAX objects only the first are in it.
 */
enum status trace_make(const struct trace_site *, const struct trace_message *,
    int64_t now_s, struct span queue_id, const uint8_t (*objects)[TRACE_OBJECT_SIZE], size_t count,
    struct buf *out);

/*
 * The traces that a message came with. Owns what it holds; one thread at a time. Order: init,
 * add for each header, verify when all of the message's headers are known, has; release.
 */
struct trace {
	struct trace_part {
		int64_t when_s;
		bool is_by_date;
		char queue_id[TRACE_QUEUE_MAX];
		size_t queue_id_len;
		size_t secret; /* that it is signed with */
		uint8_t (*tokens)[TRACE_TOKEN_SIZE];
		size_t count;
	} parts[TRACE_HEADERS_MAX];
	size_t part_count;
	size_t next; /* the oldest of all, once there is no room */
};
void trace_init(struct trace *);
void trace_release(struct trace *); /* empty again */
/*
 * Takes in the value of a header of the message; one of another organization, of another time
 * or that does not parse is left out, and the first ones of too many. CX_OK; CX_ENOMEM.
 */
enum status trace_add(struct trace *, const struct trace_site *, struct span value,
    int64_t now_s);
/*
 * Leaves those that are genuine, and were written elsewhere than for this queue id. CX_OK;
 * CX_ETEMP: no digest.
 */
enum status trace_verify(struct trace *, const struct trace_site *,
    const struct trace_message *, struct span queue_id);
/*
 * Whether the object was expanded before for this message. CX_OK: it was; CX_NOTFOUND;
 * CX_ETEMP: no digest.
 */
enum status trace_has(const struct trace *, const struct trace_site *,
    const struct trace_message *, const uint8_t object[TRACE_OBJECT_SIZE]);

#endif
