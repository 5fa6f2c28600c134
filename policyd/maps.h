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

enum map_status {
	MAP_FOUND,
	MAP_NOT_FOUND,
	MAP_TEMPORARY,   /* don't know */
	MAP_UNAVAILABLE, /* don't know anything: no replica */
	MAP_NO_SUCH_MAP,
};

/*
 * view->snapshot NULL: there is none to be had. MAP_FOUND alone adds to `value`, never
 * nothing, and never a control character.
 */
enum map_status map_query(const struct view *, struct span map, struct span key,
    struct workspace *, struct buf *value);

#endif
