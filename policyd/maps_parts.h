#ifndef CX_MAPS_PARTS_H
#define CX_MAPS_PARTS_H

#include "policyd/maps.h"

/*
 * What the files of the map service share: maps.c looks up in maps_client.c, and both of them
 * use maps_parts.c.
 */

/* One question to a map, with the key parsed as the map wants it. */
struct query {
	const struct view *view;
	struct workspace *workspace;
	struct span key;
	struct address address; /* maps of addresses */
	struct domain domain;   /* maps of domains */
};

typedef enum map_status map_lookup(struct query *, struct buf *value);

/* What "not found" is worth: without all domains ours may look foreign. */
enum map_status map_not_found(const struct view *);

/* The domain of query->address, where it is one of ours; CX_NOTFOUND, or "don't know". */
enum status map_own_domain(const struct query *, struct domain *out);

/* What a client may: the logins that may send as an address; whether it may relay. */
map_lookup map_lookup_login, map_lookup_relay;

#endif
