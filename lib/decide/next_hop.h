#ifndef CX_NEXT_HOP_H
#define CX_NEXT_HOP_H

#include "value/buf.h"
#include "value/status.h"

/*
 * coexistNextHop as the transport map answers it: "transport:nexthop" is taken verbatim; a
 * bare host or address becomes relay:[host], which means no MX look-up (also "[host]",
 * "[host]:port" and "host.domain:port"). Pure.
 *
 * CX_EINVAL: empty, blanks or control characters in it, or the transports error and retry,
 * which smtpd would turn into a refusal and keep.
 */
enum status next_hop_print(struct span text, struct buf *out);
/* Whether it names a host by itself: a dotted name, an IP address, "[...]", "transport:...". */
bool next_hop_is_host(struct span text);

#endif
