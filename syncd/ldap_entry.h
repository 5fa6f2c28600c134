#ifndef CX_LDAP_ENTRY_H
#define CX_LDAP_ENTRY_H

#include <ldap.h>
#include <stdint.h>

#include "syncd/entry.h"
#include "syncd/sync_wire.h"

/*
 * An LDAP search entry as a struct entry: everything lends from the message, which must
 * outlive it. Attribute descriptions with options are dropped with their values, also the
 * parts of a range (";range="), which would be half the truth; `is_partial` tells of those.
 */
struct ldap_entry {
	struct entry entry;
	bool is_partial;
	struct attribute *attributes; /* the rest is private */
	size_t attribute_room;
	struct span *values;
	size_t value_count, value_room;
};

/* One may be loaded again and again; its memory is used again. */
void ldap_entry_init(struct ldap_entry *);
void ldap_entry_release(struct ldap_entry *);
/* CX_OK; CX_EINVAL: the message does not decode; CX_ENOMEM. */
enum status ldap_entry_load(struct ldap_entry *, LDAP *, LDAPMessage *);

/*
 * Who the entry is, where no sync control says so: entryUUID, else objectGUID, else
 * a hash of its normalised DN. CX_EINVAL: the DN is none.
 */
enum status ldap_entry_identity(const struct ldap_entry *,
    uint8_t uuid[SYNC_UUID_SIZE]);

#endif
