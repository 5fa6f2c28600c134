#ifndef CX_CONNECTOR_H
#define CX_CONNECTOR_H

#include "replica/record.h"

enum connector_flag {
	CONNECTOR_DISABLED = 1 << 0,
};

struct connector {
	uint32_t flags;
	struct span dn;
	struct span name;     /* cn, as written */
	struct span next_hop; /* as written; may be empty */
	struct values spaces;
	struct values peers;
	struct values relay_clients;
	struct values relay_certificates;
};

/* CX_EFORMAT: not a connector. */
enum status connector_decode(const struct record *, struct connector *out);

#endif
