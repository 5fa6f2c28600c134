#ifndef CX_MAPPING_BUILD_H
#define CX_MAPPING_BUILD_H

#include "replica/connector.h"
#include "replica/domain.h"
#include "replica/recipient.h"
#include "syncd/mapping.h"
#include "value/address.h"

/*
 * Inside the mapping: what mapping.c (tables, which entry is what) shares with
 * mapping_recipient.c and mapping_object.c, which build the records, and what these read
 * with: mapping_values.c, mapping_addresses.c, mapping_limit.c.
 */

#define MAPPING_NAMES_MAX 3 /* attributes that one role is read from */

/* NULL-terminated. */
typedef const char *const *names;

struct mapping_row {
	const char *name;
	/* Blank-separated attributes of each role. */
	const char *roles[ROLE_COUNT];
	/* An entry with one of these object classes is a recipient ... */
	const char *const recipient_classes[8];
	bool needs_address; /* ... if it has some address at all */
	const char *const mailbox_classes[4]; /* a mailbox, whatever else it is */
	const char *const group_classes[4];   /* always a group */
	const char *const member_group_classes[4]; /* a group where it has members */
	/* A home server whose RDN has this value is named by the RDN above it. */
	const char *home_server_skip;
};

struct mapping {
	const struct mapping_row *row;
	char *role_text[ROLE_COUNT];
	const char *roles[ROLE_COUNT][MAPPING_NAMES_MAX + 1];
	const char *parked[2];
	bool provides_recipients, provides_domains, provides_connectors;
	char **domains; /* limit; NULL-terminated, empty: any */
	struct key base; /* of a limited directory; len 0: none */
	char *filter;
	char **attributes;
	uint64_t fingerprint;
};

/* One call of mapping_apply(). */
struct mapper {
	const struct mapping *mapping;
	const struct entry *entry;
	struct buf *record;
	struct errbuf *why;
	mapping_note *note;
	void *context;
};

/* What is wrong with one value, to be left out; `value` is shown shortened. */
void mapper_note(const struct mapper *, const char *attribute, struct span value,
    const char *what);
/* The same as the reason why the entry cannot be used. Returns CX_EINVAL. */
enum status mapper_refuse(const struct mapper *, const char *attribute,
    struct span value, const char *what);
/* The entry has one of these object classes. */
bool mapper_has_class(const struct mapper *, const char *const *classes);

/* All values of some attributes, one after the other. Start with zeros behind `names`. */
struct value_cursor {
	names names;
	const struct attribute *attribute;
	size_t next;
};
bool mapper_next(const struct mapper *, struct value_cursor *, struct span *out);
/* The attribute that the last value came from. */
const char *value_cursor_name(const struct value_cursor *);
/*
 * The value of what may have one only, blanks trimmed; none: empty. CX_EINVAL: several.
 */
enum status mapper_single(const struct mapper *, names, struct span *out);
/* TRUE or FALSE in any case; CX_NOTFOUND: none; CX_EINVAL: unreadable (not refused yet). */
enum status mapper_boolean(const struct mapper *, names, bool *out);
/* The value for a person or a reference among several: that of the RDN, else the smallest. */
struct span mapper_name(const struct mapper *, names);

/*
 * Values of one tag, collected, then sorted and without doubles. `text` is what is sorted
 * and stored; `raw` (borrowed) goes with it.
 */
struct value_list {
	struct value_slot {
		size_t offset, len;
		struct span raw;
	} * slots;
	size_t count, room;
	struct buf text;
};
void value_list_init(struct value_list *);
void value_list_release(struct value_list *);
enum status value_list_add(struct value_list *, struct span text, struct span raw);
void value_list_sort(struct value_list *);
/* Of a sorted list. */
bool value_list_has(const struct value_list *, struct span text);
void value_list_put(const struct value_list *, struct buf *record, enum record_tag);
void value_list_put_raw(const struct value_list *, struct buf *record, enum record_tag);

/* The addresses that an entry claims; `rest` are proxies that may stand elsewhere as well. */
struct own_addresses {
	struct value_list primaries, mails, proxies, rest;
};
enum status mapper_own_addresses(const struct mapper *, struct own_addresses *,
    struct buf *scratch);
/*
 * Where mail goes instead; none: empty. A target that cannot be read makes the entry unusable:
 * without it, a custom recipient would look like a mailbox here.
 */
enum status mapper_target(const struct mapper *, struct buf *out, uint32_t *flags);
/* coexistForwardingAddress and coexistMemberAddress. */
enum status mapper_foreign_addresses(const struct mapper *, names, struct value_list *);

/* The directory is somebody else's: it may have addresses in some domains only. */
static inline bool mapping_is_limited(const struct mapping *mapping)
{
	return mapping->domains[0] != NULL;
}
/* Whether a canonical domain or "*.domain" lies within the limit of the directory. */
bool mapping_allows_domain(const struct mapping *, struct span domain);
/* The same of an address; of other types than SMTP none does. */
bool mapping_allows_address(const struct mapping *, const struct address *);
/*
 * Whether an entry lies where its directory says that they do. A server of somebody else
 * could name any DN, and so pass for an entry of ours that is gone.
 */
enum status mapping_is_within_base(const struct mapping *, struct span dn,
    const struct key *own, bool *out);

/* What follows the first RDN; nothing: empty. */
struct span dn_parent(struct span dn);

/* The builders. They append to `record`; results as mapping_apply(). */
enum status mapper_recipient(const struct mapper *);
enum status mapper_domain(const struct mapper *);
enum status mapper_connector(const struct mapper *);

#endif
