#ifndef CX_CHECK_HERE_H
#define CX_CHECK_HERE_H

#include <stdbool.h>

#include "value/span.h"

/*
 * Whether "transport:nexthop" is SMTP to port 25 of this host: its name, localhost, or an
 * address of one of its interfaces. Another port is another server that runs here. Asks the
 * system at the first call, never the DNS. One thread.
 */
bool next_hop_is_here(struct span next_hop);

#endif
