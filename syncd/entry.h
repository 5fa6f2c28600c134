#ifndef CX_ENTRY_H
#define CX_ENTRY_H

#include "value/span.h"
#include "value/status.h"

/*
 * A directory entry as a source delivers it, borrowed for the call: LDIF and LDAP
 * both come to this form, and the mapping reads nothing else. Attribute names are
 * without options (";binary" and the like are dropped with their values).
 */
struct attribute {
	struct span name;
	const struct span *values;
	size_t count;
};

struct entry {
	struct span dn;
	const struct attribute *attributes;
	size_t count;
};

/* Case of the name is ignored; NULL: the entry has none. */
const struct attribute *entry_find(const struct entry *, const char *name);

#endif
