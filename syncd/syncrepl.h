#ifndef CX_SYNCREPL_H
#define CX_SYNCREPL_H

#include <ldap.h>

#include "syncd/batch.h"
#include "syncd/ldap_entry.h"
#include "syncd/source.h"
#include "syncd/uuid_set.h"

/*
 * One sync search (RFC 4533, refreshAndPersist) from its request to its end, over
 * ldap_search_ext() and our own reading of the messages: libldap's ldap_sync_*
 * calls lose entries (ldap-sync.md, T1). Several may run on one connection.
 *
 *   syncrepl_start()    sends the request
 *   syncrepl_message()  takes each message of its msgid and says what it meant
 *
 * Until the refresh is done everything collects in `batch` and nothing may be
 * delivered. Then the owner delivers `batch` and, as more comes in, delivers it
 * whenever it likes. Not thread-safe: one connection, one thread.
 */
enum syncrepl_event {
	SYNCREPL_NOTHING, /* taken in; read on */
	SYNCREPL_DONE,    /* the refresh is in `batch`, complete: deliver it */
	SYNCREPL_CHANGED, /* persist stage: `batch` has another change */
	SYNCREPL_COOKIE,  /* persist stage: only the cookie is another */
	SYNCREPL_IGNORED, /* the server did not take our cookie: begin again without */
	SYNCREPL_ENDED,   /* the server ended the search: `result`, `text` */
	SYNCREPL_BROKEN,  /* against the protocol, or no memory: `text` */
};

struct syncrepl {
	struct source *source;
	int msgid; /* -1: none is running */
	bool has_sent_cookie;
	bool is_refreshed; /* in the persist stage */
	bool
	    is_present_closed; /* a present phase has ended: what was not named is gone */
	bool has_old_entry;    /* an entry came that our cookie covers */
	bool waits;        /* DONE was the last event, and its owner waits for parts of entries */
	bool is_over;      /* DONE was the last event: the server does not persist */
	struct buf cookie; /* as far as everything received goes */
	struct batch batch;
	struct uuid_set
	    *refused; /* borrowed: entries that are there and not in the replica */
	struct ldap_entry entry;
	size_t entries, references; /* received in the refresh */
	int64_t started_ms;         /* the owner's */
	int result;
	char text[256]; /* the server's or ours; not escaped */
};

void syncrepl_init(struct syncrepl *, struct source *, struct uuid_set *refused);
void syncrepl_release(struct syncrepl *);

/* What to ask for; all borrowed for the call. */
struct syncrepl_request {
	const char *base;
	int scope;
	const char *filter;
	char **attributes;
	struct span cookie; /* stored; empty: everything */
};
/* An LDAP result code. */
int syncrepl_start(struct syncrepl *, LDAP *, const struct syncrepl_request *);
/* The caller frees the message. */
enum syncrepl_event syncrepl_message(struct syncrepl *, LDAP *, LDAPMessage *);
/* Ends the search, if one is running, without waiting. Everything collected is dropped. */
void syncrepl_abandon(struct syncrepl *, LDAP *);
/* The cookie goes with the batch: call before each delivery. */
enum status syncrepl_seal(struct syncrepl *, bool has_contact);

/*
 * Entry -> change of the batch, through source_map(); keeps `refused`. Shared with the other
 * ways of reading entries (poll, re-reading). One that came in part is asked for as a whole, and
 * joins the batch later (ldap_ranges.h).
 */
enum status syncrepl_take_entry(struct source *, struct batch *,
    const struct ldap_entry *, const uint8_t uuid[16], struct uuid_set *refused);
/* The same of an entry that is whole and within its limits. */
enum status syncrepl_take(struct source *, struct batch *, const struct entry *,
    const uint8_t uuid[16], struct uuid_set *refused);

#endif
