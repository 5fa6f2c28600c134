#ifndef CX_LOST_ROUTE_H
#define CX_LOST_ROUTE_H

#include <stdbool.h>

#include "decide/resolve.h"

/*
 * Whether a delivery has no next hop and lies in a domain whose mail only we route: the MTA's
 * own routing would bring it back here, or send it out to a relay that does. CX_OK with the
 * answer, or why the replica could not be asked.
 */
enum status delivery_lacks_route(const struct view *, const struct delivery *, bool *out);

#endif
