#ifndef CX_UNIT_SIGNING_H
#define CX_UNIT_SIGNING_H

#include "forward/secrets.h"
#include "value/address.h"

/*
 * For tests of addresses that are signed. A checked fixture calls the first two; the secret
 * is "tops3cret".
 */
void signing_setup(void);
void signing_teardown(void);
extern struct secrets *signing_secrets;
/* Others, freed when the process exits: the first signs; NULL ends the list. */
struct secrets *signing_other_secrets(const char *first, const char *second);

/* In Postfix's internal form; it is an address. */
struct address signing_address(const char *text);

#endif
