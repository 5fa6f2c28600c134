#ifndef CX_ADDRESS_PATTERN_H
#define CX_ADDRESS_PATTERN_H

#include <stdint.h>

#include "value/address.h"

/*
 * Patterns of address spaces as they are read, before keys are made of them: what
 * address_space.c and address_space_probe.c share. Pure functions, any thread.
 */
enum pattern_kind {
	PATTERN_EXACT,	    /* text: folded value or local part, and domain */
	PATTERN_ANY,	    /* SMTP:* and X400:* */
	PATTERN_DOMAIN,	    /* text: the domain */
	PATTERN_SUBDOMAINS, /* text: the parent */
	PATTERN_PREFIX,	    /* text: what values begin with */
	PATTERN_MS,	    /* text: the parts, "*" for one that may be any */
	PATTERN_X400,	    /* text: the attributes, canonical */
};

struct pattern {
	char type[ADDRESS_TYPE_MAX + 1];
	enum pattern_kind kind;
	struct buf text; /* over `memory`: a pattern cannot be copied */
	char memory[3 * ADDRESS_VALUE_MAX + ADDRESS_DOMAIN_MAX + 8];
};

/* "TYPE:pattern[;cost]"; results as address_space_parse(). */
enum status pattern_parse(struct span text, struct pattern *out, uint32_t *cost);
/* "acme.example", "*.acme.example" or "*". */
enum status pattern_parse_domain(struct span domain, struct pattern *out);

/* The key under which a pattern of this type, kind and text is stored. */
void pattern_key(const char *type, enum pattern_kind, struct span text, struct key *out);

#define PATTERN_MS_PARTS 3 /* network, post office, mailbox */

/* The parts of an MS address; absent ones are empty, the last one is the rest. */
void pattern_split_ms(struct span text, struct span parts[PATTERN_MS_PARTS]);

bool pattern_is_star(struct span);
bool pattern_has_star(struct span);

#endif
