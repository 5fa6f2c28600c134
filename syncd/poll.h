#ifndef CX_POLL_H
#define CX_POLL_H

#include <ldap.h>

#include "syncd/batch.h"
#include "syncd/ldap_entry.h"
#include "syncd/source.h"
#include "syncd/uuid_set.h"

/*
 * One pass over everything, in pages, for servers that cannot persist (ldap-sync.md 4.3). A pass
 * counts only when every page ended well; paging is no snapshot, so an entry must be missing
 * from two passes in a row before that is taken for a deletion. One thread.
 */
enum poll_event {
	POLL_NOTHING, /* read on */
	POLL_PAGE,    /* ask for the next page: poll_send() */
	POLL_DONE,    /* `batch` holds everything */
	POLL_ENDED,   /* the server ended it: `result`, `text` */
	POLL_BROKEN,  /* does not decode, or no memory */
};

struct poll {
	struct source *source;
	int msgid;           /* -1: no page is under way */
	struct berval *page; /* cookie of the next page; NULL: the first */
	struct batch batch;
	struct uuid_set seen;
	struct uuid_set missing; /* known, and not seen in the last pass */
	struct uuid_set *refused;
	struct ldap_entry entry;
	size_t entries;
	int64_t started_ms; /* the owner's */
	int result;
	char text[256]; /* not escaped */
};

#define POLL_PAGE_SIZE 500

void poll_init(struct poll *, struct source *, struct uuid_set *refused);
void poll_release(struct poll *);
/* Forgets a pass that was under way; `missing` stays. */
void poll_reset(struct poll *);
/* Sends for the first or the next page; an LDAP result code. */
int poll_send(struct poll *, LDAP *, const char *base, int scope, const char *filter,
    char **attributes);
enum poll_event poll_message(struct poll *, LDAP *, LDAPMessage *);
/*
 * After POLL_DONE: completes the batch, so that of the entries in `known` which
 * did not come only those are gone that did not come the last time either.
 */
enum status poll_seal(struct poll *, const struct uuid_set *known);

#endif
