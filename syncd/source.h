#ifndef CX_SOURCE_H
#define CX_SOURCE_H

#include "daemon/conf.h"
#include "syncd/batch.h"
#include "syncd/mapping.h"

/*
 * One directory of the configuration, kept in step by a backend of its own (LDIF file, LDAP).
 * syncd's main thread runs one libevent loop; every backend is driven by events on that loop
 * and never blocks it (an LDAP connection attempt runs asynchronously), so a directory that
 * is down delays nobody else. Only apply.c writes the replica.
 *
 *   struct source      what all backends share: configuration, mapping, counters, state text
 *   struct source_ops  the backend: start, stop, refresh
 *
 * A backend fills a batch and calls source_deliver(); what it returns decides whether
 * it may go on (CX_OK) or must start again from the stored cookie (anything else).
 */
struct event_base;
struct ranges;
struct source;
struct store_writer;

struct source_ops {
	const char *name; /* "ldif", "ldap" */
	enum status (*start)(struct source *);
	void (*stop)(struct source *);
	/* A full refresh, as soon as possible (control socket, changed configuration). */
	void (*refresh)(struct source *);
};
extern const struct source_ops source_ldif;
extern const struct source_ops source_ldap;

struct source {
	const struct conf_directory *conf;
	const struct source_ops *ops;
	struct mapping *mapping;
	uint8_t id; /* in the replica */
	const char *scratch; /* folder for what is too large for memory */
	int64_t contact_ms; /* contact is proven so often where nothing else proves it */
	struct event_base *base;
	void *backend; /* the backend's own */
	/* For `status`: a constant such as "connecting", "refresh", "persist", "loaded". */
	const char *state;
	const char *server; /* URI in use or file; "" */
	char last_error[256];
	uint64_t entries_skipped, changes_applied, refreshes, errors;
	struct ranges *ranges; /* the LDAP backend's: entries that come in parts; or NULL */
	struct apply *apply; /* where source_deliver() goes */
};

/*
 * A refresh begins, in an empty batch: see apply_begin_refresh(). `is_complete`: the batch will
 * have everything there is. On failure an error was reported.
 */
enum status source_begin_refresh(struct source *, struct batch *, bool is_complete);
/*
 * Applies the batch in one transaction (apply.c). The batch is emptied. CX_NOTFOUND: start
 * again without the cookie.
 */
enum status source_deliver(struct source *, struct batch *);
/*
 * What every backend does with an entry that it read: maps it and adds to the batch a PUT,
 * an UNUSABLE (logged once, counted, listed) or, where it is none of ours, a NOT_OURS;
 * in a refresh it may be a SAME, and in a first load no change at all (batch.h).
 * CX_OK for all of these; CX_ENOMEM, CX_EIO: the batch must be given up. `is_ours` (may be
 * NULL): the entry has a record.
 */
enum status source_map(struct source *, struct batch *, const uint8_t uuid[16],
    const struct entry *, bool *is_ours);
/* An entry that cannot be used: logged once with its DN, counted. source_map() does it. */
void source_skipped(struct source *, struct span dn, const char *why);
/* Sets last_error, counts, logs (escaped). */
void source_error(struct source *, const char *fmt, ...) CX_PRINTF(2, 3);
/*
 * The replica's writer, for looking at what a batch is about to change (follow.c): in a transaction
 * of its own that is aborted. Nothing else writes but apply.c.
 */
struct store_writer *source_store(struct source *);
/* Seconds since a batch with is_full was delivered, also by an earlier process; -1: unknown. */
int64_t source_since_full(struct source *);
/* The stored cookie; empty when there is none or the request changed (confhash). */
enum status source_cookie(struct source *, struct buf *out);
/* The stored batch.agenda; empty: none. */
enum status source_agenda(struct source *, struct buf *out);
/* The stored mark of polling, in the same way. */
enum status source_mark(struct source *, struct buf *out);

#endif
