#ifndef CX_POLL_PARTS_H
#define CX_POLL_PARTS_H

#include "syncd/poll.h"

/* Inside a pass: what poll.c, poll_compare.c and poll_ask.c share. */

/* Of a DN as the server writes it: another spelling is another DN. */
uint64_t poll_dn_hash(struct span dn);

struct poll_look {
	struct poll *poll;
	enum status status;
};

#endif
