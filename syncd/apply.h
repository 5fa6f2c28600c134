#ifndef CX_APPLY_H
#define CX_APPLY_H

#include "replica/store_write.h"
#include "syncd/batch.h"

/*
 * The one place that writes the replica: a batch becomes one transaction, with the cookie,
 * the lists for people and the valve's memory that belong to it. kill -9 at any moment
 * leaves the state of the last transaction. One thread; the time is the caller's.
 *
 * apply_open(), apply_sources() (again for each new configuration), then apply_batch().
 */
struct apply;

/* What there is to know of a directory here. */
struct apply_source {
	uint8_t id;
	unsigned max_delete_percent;
	int64_t contact_interval_s; /* what proves contact and nothing else is written so often */
	uint8_t
	    confhash[32]; /* of mapping and request: a cookie is good for one only */
};

struct apply_outcome {
	size_t changed; /* records put that were not stored like that */
	size_t removed;
	size_t newly_held; /* removals that this batch had and the valve keeps back */
	size_t held;       /* all that are kept back now */
	size_t skipped;    /* entries that cannot be used, now */
	size_t repaired;   /* of those changed or removed, damaged ones */
};

/* Takes the writer's lock. `is_new` may be NULL. Results as store_writer_open(). */
enum status apply_open(const char *directory, struct apply **out, bool *is_new,
    struct errbuf *);
void apply_close(struct apply *);
/* The replica's folder; as long as `apply` is. */
const char *apply_directory(const struct apply *);

/* A hash of where the entries of a directory come from: who it is, whatever it is called. */
struct apply_place {
	uint8_t bytes[32];
};

/*
 * The directories, in order of precedence; fills in their ids. One from a place that is known
 * (`places`, one for each; NULL: unknown) is known under another name, too, and keeps its
 * records; else the name tells. Those that are no longer there lose their records, those
 * that no longer provide a kind lose these. The first call looks at every record: a directory
 * of which some are damaged forgets its cookie, so that it is read anew as a whole.
 */
enum status apply_sources(struct apply *, struct source_info *sources,
    const struct apply_place *places, size_t count, struct errbuf *);

/*
 * A refresh begins, in an empty batch: what comes is compared with what is stored, and where
 * nothing is stored of the source yet and the refresh will have every entry
 * (`is_complete`) the records go into a new file as they come.
 */
enum status apply_begin_refresh(struct apply *, struct batch *, bool is_complete,
    struct errbuf *);

/*
 * CX_OK: it is in the replica, for good. Else nothing is, and the source must start again
 * from its stored cookie; CX_NOTFOUND: without it, for what came as stored is no
 * longer. Marks the changes that made a difference (is_changed).
 */
enum status apply_batch(struct apply *, const struct apply_source *, struct batch *,
    int64_t now, struct apply_outcome *, struct errbuf *);

/* Applies the removals that the valve keeps back. CX_NOTFOUND: there are none. */
enum status apply_accept(struct apply *, uint8_t source, size_t *removed,
    struct errbuf *);

/* The cookie stored for this very request; empty: none. */
enum status apply_cookie(struct apply *, const struct apply_source *, struct buf *out);
/* The same of batch.mark. */
enum status apply_mark(struct apply *, const struct apply_source *, struct buf *out);

/* The agenda of the last batch that had one; empty: none. */
enum status apply_agenda(struct apply *, uint8_t source, struct buf *out);

/* When every entry was last read (batch.is_full), in seconds since the epoch; 0: never. */
enum status apply_last_full(struct apply *, uint8_t source, int64_t *out);

struct apply_report {
	bool is_loaded;
	int64_t last_contact;
	size_t recipients, domains, connectors;
	size_t skipped, held;
};
enum status apply_report(struct apply *, uint8_t source, struct apply_report *out);

/* For looking; source_store() says how. */
struct store_writer *apply_store(struct apply *);
/* What store_on_progress() says. */
void apply_on_progress(struct apply *, store_progress *tell, void *context);
/*
 * Every few seconds: frees what readers that died still hold, tells of old ones, and looks for
 * damage after a failure. CX_EFORMAT: the replica is damaged, and only apply_open() replaces it.
 */
enum status apply_housekeeping(struct apply *, int64_t now_ms, int64_t age_ms,
    store_old_reader_tell *, void *context, struct errbuf *);

#endif
