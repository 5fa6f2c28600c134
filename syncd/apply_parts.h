#ifndef CX_APPLY_PARTS_H
#define CX_APPLY_PARTS_H

#include "replica/sync_notes.h"
#include "syncd/apply.h"
#include "syncd/apply_plan.h"

/*
 * Inside apply: apply.c makes a batch a transaction, apply_reload.c a new file, apply_notes.c keeps what belongs to it
 * beside the data, apply_sources.c follows the configuration, apply_ask.c answers.
 */

/* The note of the last full refresh: 8 bytes, little-endian. */
#define FULL_SIZE 8

/*
 * Changes of one transaction: LMDB keeps the pages that they touch in memory, some 16 kB
 * each, and does not give it back. What is more goes into a new file, step by step.
 */
#define CHANGES_MAX 4000

/* What is remembered of a source between batches. */
struct apply_state {
	bool is_loaded;
	int64_t contact; /* as stored */
	int64_t cookie_written;
	bool has_cookie; /* one that is newer than the stored one */
	struct buf cookie;
};

struct apply {
	struct store_writer *store;
	char *directory;
	struct apply_state states[256];
	size_t changes_max;  /* of one transaction; tests have fewer */
	bool is_looked_over; /* every record was, for damage */
};

/* Where changes go. */
struct apply_steps {
	bool is_building; /* a new file */
	size_t changes, repaired; /* written there, and in transactions that have ended */
};

/* How many changes are made. */
enum attempt_way {
	WAY_DIRECT, /* in one transaction; with a load, in its new file */
	WAY_STEPS,  /* in a copy of the file, in many */
	WAY_RELOAD, /* the directory's records are loaded into a new file, kept ones and all */
};

/* One attempt at a batch. */
struct attempt {
	struct apply *apply;
	const struct apply_source *source;
	const struct batch *batch;
	int64_t now;
	struct errbuf *err;
	struct plan plan;
	struct valve valve;
	struct buf held, skipped; /* as stored */
	bool is_changed;          /* something that must be written now */
	enum attempt_way way;
	bool is_reload_barred; /* something stored cannot be loaded, and must stay */
	struct apply_steps steps;
	struct apply_outcome outcome;
};

/* --- apply.c --- */

/*
 * After each change: nobody sees a new file before it is published, so it is written in many
 * transactions, one of which may end here and another begin. Without one: nothing.
 */
enum status apply_step(struct apply *, struct apply_steps *, struct errbuf *);

/* --- apply_reload.c --- */

/*
 * The plan's outcome as a new file, made in order of keys: much faster than changes at random
 * places where they are many. In a transaction, which it ends; the build is there behind
 * it. CX_EFORMAT: a damaged record must stay as it is, and cannot be loaded.
 */
enum status attempt_reload(struct attempt *);

/* --- apply_notes.c; all within a transaction --- */

/* None: empty, CX_OK. */
enum status apply_get_note(struct apply *, uint8_t source, const char *what,
    struct buf *out);
/* Writes what is not there like that already; *changed is set, never cleared. */
enum status apply_put_note(struct apply *, uint8_t source, const char *what,
    struct span value, bool *changed);

enum status attempt_read_notes(struct attempt *);
/* The list of skipped entries, as it is after the batch. */
enum status attempt_merge_skipped(struct attempt *);
enum status attempt_write_valve(struct attempt *);
/* When everything was read, if it was. */
enum status attempt_write_full(struct attempt *);
/* The newest cookie there is, and the request that it is good for. */
enum status attempt_write_cookie(struct attempt *);
/* What the source must do yet because of this batch, or no longer. */
enum status attempt_write_agenda(struct attempt *);
/* How far polling has come, with the request that it is good for. */
enum status attempt_write_mark(struct attempt *);

#endif
