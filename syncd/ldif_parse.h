#ifndef CX_LDIF_PARSE_H
#define CX_LDIF_PARSE_H

#include <stdint.h>

#include "syncd/entry.h"
#include "value/errbuf.h"

/*
 * LDIF content records (RFC 2849). Values are decoded by libldap, one line at a time and
 * only lines that were looked at: it would read any file that "attr:< URL" or "include:"
 * names. Refused for the whole text: these two, change records, NUL bytes, a DN or
 * an entryUUID twice, a malformed entryUUID, and everything that is not LDIF. A byte order mark at
 * the start is skipped. Attributes with options are dropped; of parts of a range
 * ("member;range=0-1499") the entry tells.
 */

/* Who the entry is: its entryUUID, else SHA-256 of its normalised DN, truncated. */
struct ldif_entry {
	struct entry entry;
	uint8_t uuid[16];
	unsigned long line; /* of "dn:", from 1 */
	bool is_partial;    /* part of an attribute: half of the entry */
};

/* Called for each record, in order; what it is given is gone when it returns. */
typedef enum status ldif_visit(void *context, const struct ldif_entry *);

/*
 * `text` is worked on in place and has one writable byte behind its `len`; `scratch` is a folder
 * for what is too large for memory (value/spool.h). CX_OK; CX_EINVAL with "name:line: what";
 * CX_ENOMEM, CX_EIO; or what `visit` returned, which ends it.
 */
enum status ldif_parse(const char *name, const char *scratch, char *text, size_t len, ldif_visit *visit,
    void *context, struct errbuf *);

#endif
