#ifndef CX_DELIVER_H
#define CX_DELIVER_H

#include "decide/expand.h"

/* Where an expansion ends: one delivery, or the note why there is none. Pure. */

/*
 * One delivery. `found` is what lookup_address() finds for the address; NULL: nothing.
 * `must_route`: no next hop is no route (an encapsulated address has no MX to go by).
 */
struct destination {
	const struct address *address;
	const struct found *found;
	enum rule rule;
	struct span object;
	bool is_foreign;
	bool must_route;
};
void deliver(struct expansion *, const struct destination *, const struct path *);

/* A mailbox to itself, under its primary address. `via`: the address that led to it, or NULL. */
void deliver_self(struct expansion *, const struct found *, const struct address *via,
    const struct path *);
/* To an address outside our domains. */
void deliver_foreign(struct expansion *, const struct address *, struct span object,
    const struct path *);
/* A target of another type, encapsulated under the domain of the address looked up. */
void deliver_encapsulated(struct expansion *, const struct found *,
    const struct address *target, const struct address *via, const struct path *);
/* A target that is the custom recipient's own address: delivered there as it is. */
void deliver_own_target(struct expansion *, const struct found *,
    const struct address *target, const struct address *via, const struct path *);

/*
 * The extension that a delivery of this object itself keeps: its own, and what came along.
 * `memory` may be used for it.
 */
struct span own_extension(struct expansion *, const struct found *, const struct address *via,
    const struct path *, char memory[ADDRESS_LOCAL_MAX + 1]);

/* A reference to nothing, or the asked address that nobody has. */
void note_missing(struct expansion *, const struct path *, struct span subject);
/* What does not parse leads nowhere; but lack of memory says nothing about it. */
void note_malformed(struct expansion *, const struct path *, struct span subject, enum status);
void note_missing_address(struct expansion *, const struct path *, const struct address *);

#endif
