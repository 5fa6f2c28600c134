#ifndef CX_IMCEA_H
#define CX_IMCEA_H

#include "value/address.h"

/*
 * Internet Mail Connector Encapsulated Addressing: addresses of other types in
 * an SMTP local part, IMCEAMS-MICROSOFT_PO2_ADAM@acme.example (MS-OXCMAIL
 * 2.1.3.1.8 and 2.2.3.1.2; SPEC section 4). Pure functions.
 */

/*
 * Reads the local part of an SMTP address. CX_NOTFOUND: it is not encapsulated.
 * CX_EINVAL: it says it is and does not decode (a malformed "+", NUL, CR or LF,
 * an empty type or value); CX_ETOOLONG: local part over ADDRESS_LOCAL_MAX.
 * CX_OK: `inner` is the address. Any type is decoded, SMTP and X500 too: what
 * may be done with it is the caller's decision. Any case of prefix and digits.
 */
enum status imcea_decode(const struct address *outer, struct address *inner);

/*
 * Encapsulates an address of another type under `domain`; prefix and type in
 * capitals. CX_ETOOLONG when the local part would be over ADDRESS_LOCAL_MAX;
 * CX_EINVAL for an SMTP address and for a type with "-", which ends a type.
 */
enum status imcea_encode(const struct address *inner, struct span domain,
    struct address *outer);

#endif
