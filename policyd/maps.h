#ifndef CX_MAPS_H
#define CX_MAPS_H

#include "policyd/workspace.h"

/*
 * What the tables of the map service hold (SPEC section 8). Postfix asks a socketmap for
 * the full key only, so extensions, parent domains and case are handled here. Pure: every
 * answer comes from the snapshot.
 */

/* Postfix takes replies of up to 100,000 bytes; later keys get lost after a longer one. */
#define MAP_VALUE_MAX 65536

/*
 * The next hop of an address whose way is broken (two owners, a home server that is not
 * there): mail must not go by MX, back to us maybe. An error would be as good for mail in
 * the queue, but smtpd asks too, before any restriction, and keeps an error for the life of
 * the process: RCPT would get 451 4.3.0 instead of what the policy service says of it,
 * and go on getting it after the repair. No master.cf has a transport of this name, so
 * qmgr defers what is queued.
 */
#define MAP_NO_ROUTE "coexist-no-route:"

/* For error(8): the recipient's mail came back to us (SPEC section 6, trace). */
#define MAP_RETURNED "error:5.4.6 Mail forwarding loop"

enum map_status {
	MAP_FOUND,
	MAP_NOT_FOUND,
	MAP_TEMPORARY,   /* don't know */
	MAP_UNAVAILABLE, /* don't know anything: no replica */
	MAP_NO_SUCH_MAP,
	MAP_MALFORMED, /* no query at all */
	MAP_STATUS_COUNT
};

/*
 * view->snapshot NULL: there is none to be had. MAP_FOUND alone adds to `value`, never
 * nothing, and never a control character.
 */
enum map_status map_query(const struct view *, struct span map, struct span key,
    struct workspace *, struct buf *value);

#endif
