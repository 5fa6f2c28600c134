#ifndef CX_WRAPPED_H
#define CX_WRAPPED_H

#include "decide/expand.h"

/*
 * Addresses in the SRS domain that stand for another one (SPEC section 9): rewritten senders, to
 * which bounces come, and recipients on their way through the re-injection hop. Pure.
 */

/* The domain of SRS, canonical; empty: SRS is off. */
struct span wrapped_domain(const struct settings *);
/* In that domain and written as one that stands for another; genuine or not. */
bool wrapped_is(const struct view *, const struct address *);
/* CX_OK: genuine; CX_EINVAL: forged, damaged or too old; CX_ETEMP: cannot tell. */
enum status wrapped_open(const struct view *, const struct address *, struct address *out);

/*
 * What becomes of one: it leads to what it stands for; forged, or for a client that has no
 * business with it, it is as an address that nobody has.
 */
void expand_wrapped(struct expansion *, const struct address *, const struct path *);

#endif
