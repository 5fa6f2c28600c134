#ifndef CX_DN_H
#define CX_DN_H

#include "value/address.h"

/*
 * Distinguished names (RFC 4514), for references between entries. The parsing
 * is libldap's, but for plain names (dn_plain.h), which come out the same without it.
 * Others allocate; any thread. ldap-sync.md section 3 has the facts.
 */

/*
 * The key under which two spellings of a DN are equal: attribute types by their
 * usual short name in lower case (2.5.4.3, commonName: cn), values NFKD and lower
 * case, blanks trimmed and runs of them collapsed, the parts of a multi-valued
 * RDN sorted, escapes as libldap writes them. Over ADDRESS_KEY_TEXT_MAX bytes: "dn#" and
 * the SHA-256 in hexadecimal; else "dn:" and the text.
 * CX_EINVAL: not a DN, a value that is not UTF-8, or the empty DN. CX_ETOOLONG:
 * over 8192 bytes. CX_ENOMEM.
 */
enum status dn_key(struct span dn, struct key *out);

/*
 * Appends the value of the first RDN without its escapes, in the case in which it
 * is written ("SiteB" of cn=SiteB,ou=servers,...). Errors as above.
 */
enum status dn_rdn_value(struct span dn, struct buf *out);

#endif
