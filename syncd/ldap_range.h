#ifndef CX_LDAP_RANGE_H
#define CX_LDAP_RANGE_H

#include <stdbool.h>

#include "syncd/ldap_entry.h"
#include "value/buf.h"

/*
 * An entry whose values come in parts ("member;range=0-1499", then "member;range=1500-*"), put
 * together from the answers to several searches (Active Directory does this with more
 * than 1500 values). Pure but for memory. Nothing that is not whole is ever handed out.
 *
 *   range_entry_begin()  with the first answer, which has everything but the rest of some
 *   range_entry_next()   what to ask for now; false: it is complete
 *   range_entry_add()    with the answer to that
 *   range_entry_finish() the entry
 */
struct range_entry {
	struct entry entry; /* after range_entry_finish(); lends from here */
	/* The rest is private. */
	struct buf bytes; /* names and values */
	struct range_slot {
		size_t offset, len, attribute;
	} * slots;
	size_t slot_count, slot_room;
	struct range_attribute {
		size_t name_offset, name_len, count;
		uint32_t next; /* the first value that has not come */
		bool is_whole;
	} * attributes;
	size_t attribute_count, attribute_room;
	size_t dn_len;     /* the DN is the first of `bytes` */
	size_t total;      /* bytes of values */
	size_t stamps_len; /* the stamps are behind the DN */
	struct attribute *built;
	struct span *values;
};

void range_entry_init(struct range_entry *);
void range_entry_release(struct range_entry *);
/*
 * CX_OK; CX_EINVAL: the ranges make no sense; CX_ETOOLONG: over LDAP_ENTRY_VALUES_MAX or
 * LDAP_ENTRY_BYTES_MAX; CX_ENOMEM.
 */
enum status range_entry_begin(struct range_entry *, const struct ldap_entry *);
/* Appends "member;range=1500-*" to `out`. */
bool range_entry_next(const struct range_entry *, struct buf *out);
/* The same, and CX_ETEMP: the entry changed meanwhile, begin again. */
enum status range_entry_add(struct range_entry *, const struct ldap_entry *);
enum status range_entry_finish(struct range_entry *);

/*
 * An attribute description with a range; `name` is what stands before it. CX_NOTFOUND: it has
 * none; CX_EINVAL: one that cannot be ("member;range=5-2").
 */
struct range_part {
	struct span name;
	uint32_t from, to; /* both included */
	bool is_last;      /* "*": `to` means nothing */
};
enum status range_parse(struct span description, struct range_part *out);

#endif
