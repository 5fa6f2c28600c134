#ifndef CX_POLL_H
#define CX_POLL_H

#include <ldap.h>

#include "syncd/batch.h"
#include "syncd/ldap_entry.h"
#include "syncd/poll_mark.h"
#include "syncd/poll_stamps.h"
#include "syncd/source.h"
#include "syncd/uuid_set.h"

/*
 * One pass of polling, for servers that cannot persist (ldap-sync.md 4.3): a paged search, and
 * searches for single entries by their ids. It counts only when every one of them ended well.
 *
 *   POLL_NEW         what has changed, by timestamp or counter: cheap, and blind to
 *                    removals, renamed containers, and what leaves no timestamp. `is_lean`: stamps
 *                    first, for much of what overlaps is known, then what differs
 *   POLL_IDENTITIES  all names and stamps, compared with the replica; what differs is read
 *   POLL_FULL        everything
 *
 * Paging is no snapshot: an entry that did not come is gone only if a direct search for
 * it finds nothing either, or if it did not come in the last complete pass already.
 *
 *   poll_start(), poll_send(), poll_message() ... POLL_PAGE: poll_send() again ... POLL_DONE
 *   poll_compare()               not for POLL_NEW
 *   poll_ask() while it sends, poll_ask_message() ... POLL_DONE
 *   poll_seal(), deliver `batch`, poll_commit(): now it counts
 *
 * One thread.
 */
enum poll_pass {
	POLL_NEW,
	POLL_IDENTITIES,
	POLL_FULL,
};

enum poll_event {
	POLL_NOTHING, /* read on */
	POLL_PAGE,    /* ask for the next page: poll_send() */
	POLL_DONE,    /* all of it has come */
	POLL_ENDED,   /* the server ended it: `result`, `text` */
	POLL_BROKEN,  /* does not decode, or no memory */
};

/* Of an entry that came in POLL_IDENTITIES. */
struct poll_fact {
	uint64_t dn_hash;
	bool is_known; /* in the replica, or known to be none of ours */
};

struct poll {
	struct source *source;
	enum poll_pass pass;
	bool is_lean;
	int msgid;           /* -1: no search is under way */
	struct berval *page; /* cookie of the next page; NULL: the first */
	struct batch batch;
	struct uuid_set *refused; /* borrowed */
	struct ldap_entry entry;
	struct uuid_set seen;
	struct poll_fact *facts; /* of `seen`, in its order */
	size_t fact_room;
	struct poll_stamps stamps; /* of the passes so far: name and stamps, hashed */
	struct poll_stamps next_stamps; /* what this pass saw */
	struct uuid_set wanted;         /* to be read: changed, or unknown */
	struct uuid_set absent;         /* known, and did not come */
	struct uuid_set missing;        /* absent in the last complete pass as well */
	struct uuid_set gone;           /* absent, and not found by a direct search */
	size_t ask_at;                  /* of `wanted`, then of `absent` */
	struct uuid_set asked;          /* in the search under way */
	struct uuid_set answered;       /* in all of them: there */
	uint8_t witness
	    [16]; /* one that came: a search that does not find it proves nothing */
	bool has_witness, found_witness;
	unsigned kinds; /* of identities that came: an or of enum ldap_identity */
	bool has_time;
	int64_t time_max; /* of all timestamps that came */
	bool has_news;
	int64_t
	    news_max; /* of those that came with an entry that was not known like that */
	bool
	    has_unread; /* one that is wanted was not found by its id: it cannot be searched for */
	size_t entries; /* that came */
	size_t whole;   /* of them, not with their stamps only */
	size_t references;
	size_t at_last_page, idle_pages;
	int64_t started_ms; /* the owner's */
	int result;
	char text[256]; /* not escaped */
};

#define POLL_PAGE_SIZE 500
/* More than that is not asked for one by one. */
#define POLL_ASK_MAX 2000

/* Ids, and what tells that an entry has changed. */
extern const char *const poll_attributes[];

void poll_init(struct poll *, struct source *, struct uuid_set *refused);
void poll_release(struct poll *);
/* Forgets a pass that was under way; what complete ones have taught stays. */
void poll_reset(struct poll *);
void poll_start(struct poll *, enum poll_pass, bool is_lean);
/*
 * Sends for the first or the next page; an LDAP result code. `attributes` is for entries that
 * are read whole.
 */
int poll_send(struct poll *, LDAP *, const char *base, int scope, const char *filter,
    char **attributes);
enum poll_event poll_message(struct poll *, LDAP *, LDAPMessage *);
/* Only names and stamps come: what differs is to be asked for. */
bool poll_reads_stamps(const struct poll *);

/* Fills `absent`, and in POLL_IDENTITIES `wanted`. Looks into the replica. */
enum status poll_compare(struct poll *);
/* There are too many differences, or the entries cannot be searched for: read them all. */
bool poll_needs_all(const struct poll *);
/*
 * The filter for the next entries to ask for one by one, in `out`; false: there are no more.
 * Then as poll_message().
 */
bool poll_ask(struct poll *, const char *filter, struct buf *out);
enum poll_event poll_ask_message(struct poll *, LDAP *, LDAPMessage *);
/* Completes the batch. */
enum status poll_seal(struct poll *);
/* It was delivered. */
void poll_commit(struct poll *);

/* An entry that is read whole; CX_OK also where it is skipped. */
enum status poll_take(struct poll *, LDAP *, LDAPMessage *, uint8_t uuid[16],
    bool *is_good);

#endif
