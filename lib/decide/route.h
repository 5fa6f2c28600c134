#ifndef CX_ROUTE_H
#define CX_ROUTE_H

#include "decide/view.h"
#include "value/address.h"
#include "value/buf.h"

/*
 * The next hop of an address as a delivery, as if it had no alternates (SPEC section 5):
 * resolve() uses it for each delivery, the transport map answers it. Pure.
 *
 * CX_OK: `out` holds "transport:nexthop". CX_NOTFOUND: the MTA routes it (by MX,
 * or as its own). CX_EINVAL: a home server or connector that is not there (verdict
 * `broken`). CX_ETEMP, CX_EFORMAT: unavailable. `sources_read` (may be NULL) collects
 * the directories that decided, one bit for each precedence.
 */
enum status route(const struct view *, const struct address *, struct buf *out,
    uint32_t *sources_read);

#endif
