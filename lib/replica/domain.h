#ifndef CX_DOMAIN_H
#define CX_DOMAIN_H

#include "replica/record.h"

enum domain_type {
	DOMAIN_AUTHORITATIVE = 1,
	DOMAIN_SHARED,
	DOMAIN_RELAY,
	DOMAIN_REWRITE,
};

/* coexistUnknownRecipient */
enum domain_unknown {
	DOMAIN_UNKNOWN_REJECT = 1,
	DOMAIN_UNKNOWN_FORWARD,
	DOMAIN_UNKNOWN_OBSERVE,
};

enum domain_flag {
	DOMAIN_DISABLED = 1 << 0,
	DOMAIN_OF_SRS = 1 << 1, /* never stored: of the settings alone, with no object */
};

struct domain {
	enum domain_type type;
	enum domain_unknown unknown;
	uint32_t flags;
	struct span dn;
	struct values patterns; /* canonical: "acme.example" or "*.acme.example" */
	struct span rewrite_domain; /* canonical */
	struct span forward_host;
};

/* CX_EFORMAT: not a domain. */
enum status domain_decode(const struct record *, struct domain *out);
const char *domain_type_text(enum domain_type);

#endif
