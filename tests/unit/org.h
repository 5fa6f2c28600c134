#ifndef CX_ORG_H
#define CX_ORG_H

#include "decide/resolve.h"
#include "replica/store_write.h"

/*
 * A replica of a test's own in a temporary folder, and a view of it. One directory, loaded and
 * in contact at `now`, unless the test says otherwise.
 *
 *   org_open(&org); org_put(&org, ...) for each record; org_look(&org); ... ; org_close(&org)
 */
#define ORG_NOW 1000000

struct org {
	char *folder;
	struct store_writer *writer;
	struct store *store;
	struct settings settings;
	struct view view; /* after org_look() */
	struct arena arena;
	unsigned next;
};

void org_open(struct org *);
void org_close(struct org *);
/* Adds a record as make_record() makes it: flags, then tag and text ..., 0. */
void org_put(struct org *, enum record_kind, uint32_t flags, ...);
/* The domain acme.example (authoritative). */
void org_put_domain(struct org *);
/* uid=NAME,dc=acme with mail NAME@acme.example. */
void org_put_mailbox(struct org *, const char *name);
/* Sets the last contact of the directory; `is_loaded` as store_set_contact(). */
void org_contact(struct org *, int64_t when, bool is_loaded);
/* Commits, and takes a (new) snapshot into `view`. */
void org_look(struct org *);
/* resolve() for an address in internal form, with as much memory as it wants. */
struct resolution org_resolve(struct org *, const char *address, const struct client *);
#endif
