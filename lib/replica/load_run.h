#ifndef CX_LOAD_RUN_H
#define CX_LOAD_RUN_H

#include "replica/index.h"
#include "replica/load_sort.h"
#include "value/spool.h"

/*
 * A run: some of the records that are being loaded, and their index entries, each in order
 * of key. Filled by one thread, sorted by another, read when all are sorted.
 */

/* What there is to be sorted: index entries by kind, and the records. */
enum {
	RUN_RECORDS = INDEX_COUNT,
	RUN_KINDS
};

struct load_run {
	unsigned
	    number; /* of two records of one uuid that of the higher number counts */
	/* As they came: an incoming_header and the bytes, each. Released by run_sort(). */
	struct spool incoming;
	size_t count;
	/* Entries of each kind, one kind after the other. */
	struct spool sorted;
	size_t ends[RUN_KINDS];
};

/*
 * An entry as the database is to have it. Of records the key is the id and the value the
 * bytes; of INDEX_SPACE the shape is told too.
 */
struct run_entry {
	struct span key, value, shape;
};

struct load_run *run_new(const char *directory, unsigned number);
void run_free(struct load_run *);
/* CX_EIO, CX_ENOMEM. */
enum status run_add(struct load_run *, const uint8_t uuid[16], struct span record);

/* What sorting takes, kept from one run to the next. */
struct run_sorter {
	uint8_t source;
	struct index_set set;
	struct spool bytes; /* entries as they are made */
	struct spool
	    items[RUN_KINDS]; /* struct sort_item, `at` into `bytes` or `incoming` */
	struct spool temp;
};
void sorter_init(struct run_sorter *, uint8_t source, const char *directory);
void sorter_release(struct run_sorter *);

/* Within the run, too, the last record of a uuid counts. CX_EIO, CX_ENOMEM, CX_EINVAL. */
enum status run_sort(struct load_run *, struct run_sorter *, struct errbuf *);

/* The entries of a kind in order. */
struct span run_entries(const struct load_run *, unsigned kind);
/* They have been read for the last time. */
void run_forget(struct load_run *, unsigned kind);
/* Takes the first off; false: there is none. */
bool run_entry_next(struct span *rest, struct run_entry *out);

#endif
