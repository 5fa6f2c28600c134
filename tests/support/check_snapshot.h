#ifndef CX_CHECK_SNAPSHOT_H
#define CX_CHECK_SNAPSHOT_H

#include "replica/store_lmdb.h"

/*
 * Whether a snapshot is consistent, for tests: the indexes hold the entries of its records
 * (index_build()) and no others, the counts are right, the directories make sense. What is not
 * is a line "wrong: ..." on standard output.
 */

/* What one pass over the records adds up to. */
struct tally {
	struct index_set set;
	size_t entries[INDEX_COUNT];
	uint64_t records[256][RECORD_CONTAINER + 1];
	uint64_t total;
};

/* Prints the line; false. */
bool check_wrong(const char *what, struct span about);

/* Everything. `tally` says how much there was; its `set` is initialised by the caller. */
bool check_whole(struct snapshot *, struct tally *);

/* One record: it has all its keys, and is counted in `tally`. */
bool check_record(struct snapshot *, struct tally *, MDB_val key, MDB_val value);
/* One key: it has its record. */
bool check_key(struct snapshot *, struct tally *, enum index_kind, MDB_val key,
    MDB_val value);
bool check_sources(const struct snapshot *);

#endif
