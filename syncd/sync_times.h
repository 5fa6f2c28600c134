#ifndef CX_SYNC_TIMES_H
#define CX_SYNC_TIMES_H

#include <stdint.h>

/*
 * Every interval of syncd that is not a matter of configuration, in milliseconds.
 * A constant in an object file of its own: a test links a faster one.
 */
#define SYNC_REREADS 4

struct sync_times {
	int64_t first_retry; /* after a connection that had been good */
	int64_t backoff_min; /* then this, doubling, with a quarter of jitter */
	int64_t backoff_max; /* and at once where the server refuses us */
	int64_t attempt_max; /* for one URI, where there is another one to go to */
	int64_t stable;      /* a connection that stayed so long was good */
	int64_t settle;      /* one transaction of changes in this time, the first at once */
	int64_t cookie;      /* a new cookie without a change waits so long */
	int64_t silence;     /* no message for so long in a refresh, a pass: lost */
	int64_t refresh_max; /* a refresh that takes longer is given up */
	int64_t probe;       /* contextCSN is read so often; two misses: lost */
	int64_t newer;       /* "consumer state is newer": try again after this */
	int64_t container;   /* renamed containers: quiet for so long, then a refresh */
	int64_t
	    forced_refresh;    /* other reasons for a refresh count once in this time */
	int64_t persist_again; /* a server that cannot persist is asked again */
	int64_t watch;     /* files of the login are looked at so often while we wait */
	int64_t lag_grace; /* what another server sent so lately need not be here yet */
	int64_t poll_overlap; /* asked for again by each poll: replication may be so late */
	int64_t poll_identities; /* polling: all names and stamps are compared so often */
	int64_t poll_pass_max;   /* a pass that takes longer is given up */
	int64_t housekeeping;  /* readers are looked at so often */
	int64_t old_reader;    /* one that holds a snapshot for longer is told of */
	int64_t reread[SYNC_REREADS]; /* referrers, after a rename or a removal */
	int64_t look; /* an LDIF file is looked at so often, and must stay the same between two */
};

extern const struct sync_times sync_times;

#endif
