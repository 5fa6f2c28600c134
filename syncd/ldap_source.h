#ifndef CX_LDAP_SOURCE_H
#define CX_LDAP_SOURCE_H

#include <event2/event.h>

#include "syncd/follow.h"
#include "syncd/ldap_ranges.h"
#include "syncd/link.h"
#include "syncd/poll.h"
#include "syncd/recent.h"
#include "syncd/source.h"
#include "syncd/sync_times.h"
#include "syncd/syncrepl.h"

/*
 * The LDAP backend's own state and the seams between its parts, which all run in
 * the event loop and never wait:
 *
 *   source_ldap.c      start and stop, timers
 *   ldap_connection.c  connecting, losing the connection; reading messages
 *   ldap_retry.c       which server is next and when: failover, backoff
 *   ldap_session.c     a sync search: begin, refresh, changes
 *   ldap_handover.c    a full refresh beside the session in force, which takes its place
 *   ldap_ended.c       what follows when a search ends, or says nothing any more
 *   ldap_deliver.c     a batch on its way to the replica, and what follows from it
 *   ldap_grace.c       entries that a server which lags does not have yet
 *   ldap_probe.c       contextCSN as proof of contact and of being up to date
 *   ldap_newer.c       entries that a server which was killed forgot to tell of
 *   ldap_reread.c      entries whose references slapd may have repaired
 *   ldap_agenda.c      what is still to be read, kept over a crash or a lost connection
 *   ldap_polling.c     for servers that cannot persist: which pass, and what comes between
 *   ldap_pass.c        the searches of a pass
 *   ldap_pass_end.c    what a pass has read goes to the replica, and how far it has come
 *   ldap_poll_server.c what such a server says of itself, and contact with it
 *   ldap_ranges.c      entries whose values come in parts
 *
 * States: waiting -> connecting -> refresh -> persist (or poll) -> waiting ... A
 * connection that is lost in any of them ends in lsrc_lost() or lsrc_failed(), which
 * leave nothing running but the timer of the next attempt.
 */

/* More referrers of one batch than this: a full refresh is cheaper. */
#define LSRC_REREAD_MAX 1000

/*
 * Connections that are lost as soon as they are in step are made again ever more slowly, but the
 * next server must be reached within 10 s: that many failures make 4 s.
 */
#define LSRC_LOST_MAX 3

enum ldap_timer {
	TIMER_RETRY,
	TIMER_WATCH, /* files of the login, during TIMER_RETRY */
	TIMER_ATTEMPT,
	TIMER_DRAIN,
	TIMER_SETTLE,
	TIMER_COOKIE,
	TIMER_SILENCE,
	TIMER_PROBE,
	TIMER_REFRESH,  /* a full refresh that is wanted soon */
	TIMER_GRACE,    /* what was kept for want of proof is looked at again */
	TIMER_INTERVAL, /* the daily one */
	TIMER_REREAD,
	TIMER_POLL,
	TIMER_CONTACT, /* polling: is the server there? */
	TIMER_RANGE,
	TIMER_COUNT
};

struct ldap_source {
	struct source *source;
	char **uris; /* NULL-terminated */
	size_t uri_count, uri_at;
	char *filter;
	char **attributes; /* NULL-terminated; the mapping's and ours */
	char **poll_attributes; /* these, and what tells that an entry has changed */
	int scope;
	struct event *timers[TIMER_COUNT];

	struct link_attempt *attempt;
	LDAP *ld;
	struct event *readable;
	unsigned notices;  /* that came on this connection and mean nothing to us */
	size_t tried;      /* URIs since the last that worked */
	int64_t *refused_until; /* for each URI: it refused our login; 0: it did not */
	struct link_marks marks, last_marks; /* of the last attempt, of the last look */
	unsigned failures; /* rounds of them, and connections that were no good */
	bool is_polling;
	int64_t connected_ms, persist_again_ms;

	/* The session in force, and the one that a full refresh hands over to. */
	struct syncrepl *session, *next;
	struct uuid_set refused;
	struct uuid_set touched; /* delivered since `next` began */
	bool must_drop_cookie;
	struct recent recent; /* what came lately, and from whom */
	int64_t grace_until_ms; /* when entries that were spared are judged; 0: there are none */
	bool wants_refresh; /* as soon as the running one is done */
	bool was_newer;
	int64_t refresh_due_ms; /* of TIMER_REFRESH */
	int64_t forced_ms; /* when a refresh was last forced, or is to be; 0 never */
	int64_t flushed_ms; /* when the session last delivered changes */

	char *suffix; /* of the naming context that holds our base; NULL: not known */
	int root_msgid, probe_msgid, newer_msgid;
	bool is_probe_late;
	struct buf probe_csns, ahead_csns;

	struct uuid_set reread;
	struct uuid_set reread_names; /* digests of names that they may still refer to */
	struct uuid_set reread_touched; /* delivered since the request went out */
	size_t reread_at, reread_round;
	int reread_msgid;
	bool does_reread_wait; /* for parts of entries; then its answer is complete */
	struct batch reread_batch;
	struct ldap_entry entry;

	struct ranges ranges;
	unsigned identities; /* seen so far: an or of enum ldap_identity */

	struct poll poll;
	struct polling {
		struct poll_mark mark; /* as stored */
		bool has_mark, is_mark_read;
		bool is_begun; /* on this connection */
		/* What the server says of itself before a pass. */
		bool has_usn;
		int64_t usn;
		uint8_t server[POLL_MARK_SERVER];
		struct buf server_text;
		char *service;   /* where its invocationId is; NULL: nowhere */
		bool is_blind;   /* it cannot be asked for what is new */
		bool was_empty;  /* nothing at all was new, not even what was last */
		bool is_unsearchable; /* entries are not found by their ids */
		size_t last_new; /* entries that the last incremental pass saw */
		bool wants_full, wants_identities;
		int64_t identities_ms; /* when they are due */
		int root_msgid, service_msgid, contact_msgid;
		bool is_contact_late;
		enum polling_step {
			POLLING_IDLE,
			POLLING_ROOT,
			POLLING_PAGES,
			POLLING_ASK,
			POLLING_RANGES,
		} step;
	} polling;
};

int64_t lsrc_now_ms(void); /* monotonic */
void lsrc_timer_start(struct ldap_source *, enum ldap_timer, int64_t ms);
void lsrc_timer_stop(struct ldap_source *, enum ldap_timer);
bool lsrc_timer_is_running(struct ldap_source *, enum ldap_timer);

/* Begins an attempt with the URI whose turn it is. */
void lsrc_connect(struct ldap_source *);
/* Back to where nothing runs. What came in and was not delivered is forgotten. */
void lsrc_disconnect(struct ldap_source *);
/* Reads what is there. A part may end the connection, or begin another, in any message. */
void lsrc_drain(struct ldap_source *);
/* On a connection, or when a pass of polling is due: a refresh, or a pass. */
void lsrc_begin_work(struct ldap_source *);
/* The connection is gone: a server that had us in step is tried again first. */
void lsrc_lost(struct ldap_source *, const char *why);
/* This server is of no use to us now: on to the next one, or later. */
void lsrc_failed(struct ldap_source *, const char *why);
/* The same, where source_deliver() or source_begin_refresh() has said why. */
void lsrc_stopped(struct ldap_source *);
/* The same, with a time of its own until all URIs have their next turn. */
void lsrc_failed_for(struct ldap_source *, const char *why, int64_t ms);
/* Nothing is wrong with this server, but there is nothing to wait for: again in `ms`. */
void lsrc_again_in(struct ldap_source *, const char *why, int64_t ms);

/* The time to wait after that many rounds of failures, give or take a quarter. */
int64_t lsrc_backoff(unsigned failures);
/* lsrc_connect() in `ms`, or as soon as a file of the login changes. */
void lsrc_retry_in(struct ldap_source *, int64_t ms);
/* lsrc_connect() at once, also with servers that refused us. */
void lsrc_retry_now(struct ldap_source *);
/* The server in use refused our login: it is left alone for long, lest it lock the account. */
void lsrc_refused(struct ldap_source *);
/* The URI in use is of no use: the next at once, or all again in `ms` (0: by backoff). */
void lsrc_next_uri(struct ldap_source *, int64_t ms);
/*
 * Soon again after a lost connection that had us in step: with the same server if the connection
 * was a good one, so that no server that lags is taken for the sake of a moment.
 */
void lsrc_retry_lost(struct ldap_source *, bool was_good);
void lsrc_on_watch_timer(struct ldap_source *);

/* Sends a search; *msgid -1 and false (after lsrc_lost()) where it cannot be sent. */
bool lsrc_search(struct ldap_source *, const char *base, int scope, const char *filter,
    char **attributes, LDAPControl **, int *msgid);

/* The refresh begins on a new connection. */
void lsrc_session_begin(struct ldap_source *);
/* Sends the search of `session` or `next`. False: the connection was given up. */
bool lsrc_session_start(struct ldap_source *, struct syncrepl **, struct span cookie);
void lsrc_session_message(struct ldap_source *, struct syncrepl *, LDAPMessage *);
/* What has come in goes to the replica. False: the connection was given up. */
bool lsrc_session_flush(struct ldap_source *, bool has_contact);
/* Entries that came in parts are whole now, or given up, and in the batch. */
void lsrc_session_ranged(struct ldap_source *, const struct batch *);
/* Gives up one of the two, if there is one. */
void lsrc_session_free(struct ldap_source *, struct syncrepl **);
void lsrc_session_end(struct ldap_source *);
bool lsrc_is_persisting(const struct ldap_source *);

/* A full refresh after `ms`, once things are quiet; one that is wanted already stays. */
void lsrc_refresh_in(struct ldap_source *, int64_t ms, const char *why);
/*
 * For reasons that might come again and again: at most once in sync_times.forced_refresh,
 * the next one when that has passed.
 */
void lsrc_refresh_forced(struct ldap_source *, const char *why);
void lsrc_on_refresh_timer(struct ldap_source *);
/* A full refresh beside the session did not work: that one goes on. */
void lsrc_give_up_next(struct ldap_source *, const char *why);
/*
 * `next`, which has read everything, takes the place of the session. False: the connection was
 * given up.
 */
bool lsrc_hand_over(struct ldap_source *);

/* The server ended the search. */
void lsrc_session_ended(struct ldap_source *, struct syncrepl *);
/* Everything once more, from this server and on this connection. */
void lsrc_begin_without_cookie(struct ldap_source *, const char *why);
void lsrc_took_too_long(struct ldap_source *, const struct syncrepl *, const char *why);
/* Nothing more came of a refresh or a pass. */
void lsrc_on_silence(struct ldap_source *);

/*
 * A batch of whatever origin, with what follows from it. `is_full`: it holds everything, so
 * that nothing can be missing from it. False: the connection was given up.
 */
bool lsrc_deliver(struct ldap_source *, struct batch *, bool is_full);

/* Before a delivery: who sent what is remembered for a while. */
enum status lsrc_grace_note(struct ldap_source *, const struct batch *);
/*
 * Before the delivery of a refresh, whose new cookie is `cookie`: entries that another server sent
 * lately and this one does not have are spared, where it is not known to be as new. A
 * full refresh follows when the time of grace is over.
 */
enum status lsrc_grace_spare(struct ldap_source *, struct batch *, struct span cookie);
/* On each new connection that is in step: what is owed is not forgotten. */
void lsrc_grace_begin(struct ldap_source *);
void lsrc_on_grace_timer(struct ldap_source *);

void lsrc_probe_begin(struct ldap_source *);
void lsrc_probe_end(struct ldap_source *);
void lsrc_on_probe_timer(struct ldap_source *);
void lsrc_root_message(struct ldap_source *, LDAPMessage *);
void lsrc_probe_message(struct ldap_source *, LDAPMessage *);

void lsrc_newer_begin(struct ldap_source *);
void lsrc_newer_message(struct ldap_source *, LDAPMessage *);

void lsrc_reread_ranged(struct ldap_source *); /* as lsrc_session_ranged() */
/* Reads the next entry that came in parts, if there is one and none is being read. */
void lsrc_ranges_run(struct ldap_source *);
void lsrc_ranges_end(struct ldap_source *);
void lsrc_ranges_message(struct ldap_source *, LDAPMessage *);

/* Reads the referrers again, a few times, from now on. */
enum status lsrc_reread_add(struct ldap_source *, const struct follow *);
void lsrc_reread_end(struct ldap_source *);
void lsrc_on_reread_timer(struct ldap_source *);
void lsrc_reread_message(struct ldap_source *, LDAPMessage *);

/* With the batch goes what must be read because of it, and what was to be read already. */
enum status lsrc_agenda_note(struct ldap_source *, struct batch *, const struct follow *,
    bool is_full);
/* What was to be read when the last connection, or process, ended. `is_full`: it all is now. */
enum status lsrc_agenda_load(struct ldap_source *, bool is_full);

void lsrc_poll_begin(struct ldap_source *);
void lsrc_poll_end(struct ldap_source *);
bool lsrc_poll_owns(const struct ldap_source *, int msgid);
void lsrc_poll_message(struct ldap_source *, LDAPMessage *);
/* The next pass reads everything, at once if none is running. */
void lsrc_poll_full(struct ldap_source *);
/* The next pass compares all names. Nothing where we do not poll. */
void lsrc_poll_compare_soon(struct ldap_source *, int64_t ms, const char *why);
const char *lsrc_pass_name(enum poll_pass); /* for the log */
void lsrc_pass_start(struct ldap_source *, enum poll_pass, bool is_lean);
void lsrc_pass_message(struct ldap_source *, LDAPMessage *);
/* In step RANGES no search is left: delivers what came, once no entry waits for its parts. */
void lsrc_poll_ranged(struct ldap_source *);
/* ldap_poll_server.c: asks, then calls lsrc_poll_choose() */
void lsrc_poll_ask_server(struct ldap_source *);
void lsrc_poll_server_message(struct ldap_source *, LDAPMessage *);
void lsrc_poll_choose(struct ldap_source *);
void lsrc_on_contact_timer(struct ldap_source *);
void lsrc_contact_message(struct ldap_source *, LDAPMessage *);

/* The result code of a message, and the server's text (escaped, in `text`). */
int lsrc_result_of(struct ldap_source *, LDAPMessage *, char text[256]);

#endif
