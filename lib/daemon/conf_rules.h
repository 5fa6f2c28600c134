#ifndef CX_CONF_RULES_H
#define CX_CONF_RULES_H

#include "daemon/conf_read.h"

/*
 * What must be true of several keys together: a directory is LDAP or LDIF, credentials
 * come with a name, no two daemons listen at one place. CX_OK; CX_ECONF with
 * "name:line: what is wrong".
 */
enum status conf_rules_check(const struct conf *, const struct reading *,
    const char *name, struct errbuf *);

#endif
