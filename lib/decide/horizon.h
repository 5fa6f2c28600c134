#ifndef CX_HORIZON_H
#define CX_HORIZON_H

#include "decide/resolve.h"

/*
 * Split horizon (SPEC section 5): whether a delivery would go back, under the address
 * it came for, to the system that a client sends for. Pure.
 *
 * CX_OK: *is_back is the answer. CX_ETEMP, CX_EFORMAT.
 */
enum status horizon_check(const struct view *, const struct client *,
    const struct delivery *deliveries, size_t count, bool *is_back, uint32_t *sources);

#endif
