#ifndef CX_STORE_LOAD_STREAMS_H
#define CX_STORE_LOAD_STREAMS_H

#include "replica/load_run.h"
#include "replica/store_lmdb.h"

/*
 * What a new file is made of: for each database the entries of the runs and, of other sources,
 * those of the file in force, as one sequence in order of key and value. Private to
 * store_load_streams.c and store_load_merge.c.
 */

/* Of a uuid that is in several runs: the run that has its last record. */
struct winner {
	uint8_t uuid[16];
	unsigned run;
};

/* Where entries of one database come from, in order: a run, or the file in force. */
struct stream {
	struct run_entry entry;     /* the next one */
	const struct load_run *run; /* NULL: the file in force */
	struct span rest;
	MDB_cursor *cursor;
	MDB_cursor_op op;
};

struct merge {
	struct store_writer *writer;
	struct store_left_out left_out; /* of the file in force */
	uint8_t source;			/* of the runs */
	struct load_run **runs;
	size_t run_count;
	MDB_txn *live;
	bool has_others; /* there may be records that are not left out */
	struct errbuf *err;

	unsigned db; /* that is being written */
	struct stream *streams;
	struct stream **heap; /* those that have an entry; the least first */
	size_t heap_count;

	struct appender out;
	struct spool winners; /* struct winner, in order of uuid */
	uint64_t counts[RECORD_CONTAINER + 1];
};

/*
 * The sequence of merge->db: while heap_count > 0 the next entry is heap[0]->entry, good until
 * streams_advance(). `kind`: what the runs call it. Errors of LMDB, with `err`.
 */
enum status streams_open(struct merge *, unsigned kind);
enum status streams_advance(struct merge *);
void streams_close(struct merge *);

#endif
