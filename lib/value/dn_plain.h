#ifndef CX_DN_PLAIN_H
#define CX_DN_PLAIN_H

#include "value/address.h"

#define DN_LEN_MAX 8192

/*
 * Inside dn.c: most names of a directory need no parser ("uid=adam,ou=People,dc=acme"): types are
 * words, values are printable ASCII without anything that is ever escaped, one attribute an
 * RDN, no blanks but single ones within a value. Pure. False: not such a name (it may be
 * one all the same); `out` is undefined then.
 */
bool dn_plain_key(struct span dn, struct key *out);
/* The value of the first RDN, as written; lent from `dn`. */
bool dn_plain_rdn_value(struct span dn, struct span *out);

/* What dn_key() and dn_rdn_value() do with every other name; for tests, which compare. */
enum status dn_parsed_key(struct span dn, struct key *out);
enum status dn_parsed_rdn_value(struct span dn, struct buf *out);

/*
 * The name under which a type in lower case is compared; NULL: its own. RFC 4519,
 * 4524 and 2798.
 */
const char *dn_type_canonical(struct span type);

#endif
