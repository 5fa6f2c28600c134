#ifndef CX_LDAP_ENTRY_H
#define CX_LDAP_ENTRY_H

#include <ldap.h>
#include <stdint.h>

#include "syncd/entry.h"
#include "syncd/sync_wire.h"
#include "value/buf.h"

/*
 * An LDAP search entry as a struct entry: everything lends from the message, which must
 * outlive it. Attribute descriptions with options are dropped with their values
 * ("cn;lang-de", "userCertificate;binary"), attributes without values too. The part of
 * a range ("member;range=0-1499") is kept under the name of its attribute, and listed: such an
 * entry is half the truth (ldap_range.h).
 */

/*
 * What one entry may hold, all its values together; a group of 100,000 members
 * by DN fits. One that has more is not used.
 */
#define LDAP_ENTRY_VALUES_MAX 131072
#define LDAP_ENTRY_BYTES_MAX  (32 * 1024 * 1024)

/* Attributes of one entry that may come in parts. */
#define LDAP_ENTRY_PARTS_MAX 16

struct ldap_entry {
	struct entry entry;
	bool is_partial;   /* some values are to be asked for yet */
	bool is_too_large; /* over the limits above: the attributes are not all there */
	bool has_bad_range;
	struct ldap_part {
		size_t attribute; /* of `entry` */
		uint32_t from, to;
		bool is_last;
	} parts[LDAP_ENTRY_PARTS_MAX];
	size_t part_count;
	struct attribute *attributes; /* the rest is private */
	size_t attribute_room;
	struct span *values;
	size_t value_count, value_room, bytes;
};

/* One may be loaded again and again; its memory is used again. */
void ldap_entry_init(struct ldap_entry *);
void ldap_entry_release(struct ldap_entry *);
/* CX_OK; CX_EINVAL: the message does not decode; CX_ENOMEM. */
enum status ldap_entry_load(struct ldap_entry *, LDAP *, LDAPMessage *);
/* Why is_too_large. */
const char *ldap_entry_too_large(void);

/*
 * Who the entry is, where no sync control says so: entryUUID, else Active Directory's objectGUID,
 * else 389's nsUniqueId, else a hash of its normalised DN. CX_EINVAL, CX_ETOOLONG: the DN is
 * none. `kind` (may be NULL) says which.
 */
enum ldap_identity {
	LDAP_IDENTITY_ENTRY_UUID = 1,
	LDAP_IDENTITY_OBJECT_GUID = 2,
	LDAP_IDENTITY_NS_UNIQUE_ID = 4,
	LDAP_IDENTITY_DN = 8, /* cannot be searched for */
};
enum status ldap_entry_identity(const struct ldap_entry *, uint8_t uuid[SYNC_UUID_SIZE],
    enum ldap_identity *kind);
/* Terms of a filter that find it, one for each kind (an or of enum ldap_identity). */
void ldap_identity_terms(struct buf *out, unsigned kinds,
    const uint8_t uuid[SYNC_UUID_SIZE]);

#endif
