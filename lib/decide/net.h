#ifndef CX_NET_H
#define CX_NET_H

#include "decide/view.h"

/*
 * Blocks of client addresses that connectors name. Look-ups probe the prefix lengths in use,
 * longest first; no scan. Pure.
 */

/*
 * What the longest block with relay permission or refusal says of an address, a refusal
 * before a permission of the same length. CX_NOTFOUND: no block.
 */
enum status net_relay(const struct view *, const struct ip *, struct net_entry *out);

/*
 * Calls back for each connector that has the address as a peer, until it returns false.
 * CX_OK, also when there is none; CX_ETEMP, CX_EFORMAT.
 */
typedef bool net_peer_visit(void *context, const struct record_id *connector);
enum status net_each_peer(const struct view *, const struct ip *, net_peer_visit *,
    void *context);

#endif
