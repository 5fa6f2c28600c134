#ifndef CX_MAPPING_ROWS_H
#define CX_MAPPING_ROWS_H

#include "syncd_help.h"

/* A directory entry, and the record that becomes of it. */
struct row {
	const char *label;
	const char *ldif;
	enum status status;
	const char *record; /* as text; "" where there is none */
	const char *said;   /* notes and reason */
};
void row_check(const struct conf_directory *, const struct row *);

/* What entries begin with, and the lines of their DNs in records. */
/* clang-format off */
#define ADAM "dn: uid=adam,ou=people,dc=acme,dc=example\nobjectClass: inetOrgPerson\n"
#define ADAM_DN "dn uid=adam,ou=people,dc=acme,dc=example\n"
#define MAILBOX ADAM "objectClass: coexistMailbox\nmail: adam@acme.example\n"
#define DOMAIN "dn: cn=acme,dc=acme,dc=example\nobjectClass: coexistDomain\n"
#define DOMAIN_DN "dn cn=acme,dc=acme,dc=example\n"
#define CONNECTOR "dn: cn=POP3,dc=acme,dc=example\nobjectClass: coexistConnector\ncn: POP3\n"
#define CONNECTOR_DN "dn cn=POP3,dc=acme,dc=example\n"
/* clang-format on */

#endif
