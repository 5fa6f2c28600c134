#ifndef CX_ROUTE_H
#define CX_ROUTE_H

#include "decide/lookup.h"
#include "decide/view.h"
#include "value/address.h"
#include "value/buf.h"

/*
 * The next hop of an address as a delivery, as if it had no alternates (SPEC section 5):
 * resolve() uses it for each delivery, the transport map answers it. Pure.
 *
 * The first that applies: a mailbox here: mailbox_transport; a home server; the most
 * specific address space, where a domain's coexistForwardHost counts as one.
 *
 * CX_OK: `out` holds "transport:nexthop". CX_NOTFOUND: the MTA routes it (by MX, or as its
 * own). CX_EINVAL: a home server or connector that is not there (verdict `broken`), or a recipient
 * wrapped for the hop of SRS that does not get there at present.
 * CX_EEXIST: the address is ambiguous. CX_ETEMP, CX_EFORMAT: unavailable. `sources` (may be NULL)
 * collects the directories that decided, one bit for each precedence.
 */
#define NEXT_HOP_MAX 1024
enum status route(const struct view *, const struct address *, struct buf *out,
    uint32_t *sources);

/*
 * The same for an address of which the caller knows that `found` is what lookup_address()
 * finds (spares the second look-up). NULL: nothing is found.
 */
enum status route_found(const struct view *, const struct address *, const struct found *,
    struct buf *out, uint32_t *sources);

/*
 * The next hop of the address space that takes an address of any type, without look-up:
 * for one-off addresses. Results as route().
 */
enum status route_by_space(const struct view *, const struct address *, struct buf *out,
    uint32_t *sources);

/* The next hop of a connector. CX_EINVAL: it has none, or is disabled. */
enum status route_by_connector(const struct view *, const struct record_id *, struct buf *out,
    uint32_t *sources);

#endif
