#ifndef CX_ADDRESS_SPACE_H
#define CX_ADDRESS_SPACE_H

#include <stdbool.h>
#include <stdint.h>

#include "value/address.h"

/*
 * Address spaces "TYPE:pattern[;cost]": which addresses a connector takes
 * (SPEC section 5; the article Q148389).
 *
 * A space is stored under the key of its pattern. Its shape says how such a key
 * is made from an address ("smtp:*@" whole domain, "smtp:*.2" subdomains of a
 * two-label parent, "ms:110" network and post office, "x400:a,c,p" those three
 * attributes, "fax:5*" the first five bytes). A look-up asks, for each shape
 * in use for the type, for one key: no scan, whatever the number of connectors.
 *
 * Pure functions, any thread.
 */
#define ADDRESS_SPACE_COST_DEFAULT 1
#define ADDRESS_SPACE_COST_MAX	   1000000

struct address_space {
	struct key pattern;   /* canonical; "#sha256" when too long, like address keys */
	struct key shape;     /* "type:..." */
	uint32_t cost;
	uint16_t literals;    /* literal characters of the pattern */
	bool is_exact;	      /* the whole address, no wildcard */
};

/*
 * SMTP:user@pop.example.com   the address
 * SMTP:*@pop.example.com      the domain; SMTP:pop.example.com is the same
 * SMTP:*.example.com          its subdomains, any depth
 * SMTP:*                      every SMTP address ("SMTP:" too)
 * MS:NETWORK/PO/MAILBOX       later parts left out, empty or "*"; case ignored
 * X400:c=us;a=att;p=acme      addresses with at least these attributes
 * TYPE:value, TYPE:prefix*    other types; case ignored
 * No type: SMTP. ";cost" is what follows the last ";" if it is all digits.
 * CX_EINVAL, CX_ETOOLONG.
 */
enum status address_space_parse(struct span text, struct address_space *out);

/* Makes the space that a domain's coexistForwardHost counts as: cost 0. */
enum status address_space_of_domain(struct span domain_pattern, struct address_space *out);

/*
 * The key under which a space of this shape would hold the address. CX_NOTFOUND:
 * no space of this shape can match it. CX_EINVAL: not a shape.
 */
enum status address_space_probe(struct span shape, const struct address *,
    struct key *out);

/*
 * Spaces of one mailbox ("SMTP:user@pop.example.com") hold its extensions too: whether a shape is
 * theirs, and the key for the first `len` folded bytes as local part (address_next_base()).
 * CX_NOTFOUND: none can match.
 */
bool address_space_is_mailbox(struct span shape);
enum status address_space_probe_base(const struct address *, size_t len, struct key *out);

/* Whether it matches, without keys: what the probes are tested against. */
bool address_space_matches(struct span text, const struct address *);

/*
 * Order in which spaces that match are preferred: exact before wildcard, more
 * literal characters before fewer, then lower cost (< 0: a first). Equal: by
 * name, which the caller knows.
 */
int address_space_compare(const struct address_space *a, const struct address_space *b);

#endif
