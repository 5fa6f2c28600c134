#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "replica/store_lmdb.h"

/*
 * Whoever holds a snapshot that is behind the last transaction: one that began later would not
 * be behind, so process and transaction name a moment, however many snapshots of it there are.
 */
struct held_snapshot {
	long pid;
	size_t txn;
	int64_t since_ms, tell_at_ms; /* tell_at_ms: since then, in all */
	bool is_seen, is_told;
};

struct readers_visit {
	struct store_writer *writer;
	size_t last_txn;
	int64_t now_ms, age_ms;
};

static struct held_snapshot *find(struct store_writer *writer, long pid, size_t txn)
{
	for (size_t i = 0; i < writer->held_count; i++) {
		struct held_snapshot *held = &writer->held[i];

		if (held->pid == pid && held->txn == txn) {
			return held;
		}
	}
	return NULL;
}

/* NULL: no memory; it is looked at next time. */
static struct held_snapshot *add(struct store_writer *writer)
{
	if (writer->held_count == writer->held_room) {
		size_t room = writer->held_room ? 2 * writer->held_room : 8;
		struct held_snapshot *grown =
		    reallocarray(writer->held, room, sizeof(*grown));

		if (!grown) {
			return NULL;
		}
		writer->held = grown;
		writer->held_room = room;
	}
	return &writer->held[writer->held_count++];
}

/* A line of mdb_reader_list(): pid, thread, transaction; "-" for one at rest. */
static int visit_reader(const char *line, void *context)
{
	struct readers_visit *visit = context;
	struct held_snapshot *held;
	size_t txn;
	long pid;

	if (sscanf(line, "%ld %*x %zu", &pid, &txn) != 2 || txn >= visit->last_txn) {
		return 0;
	}
	held = find(visit->writer, pid, txn);
	if (!held && (held = add(visit->writer))) {
		*held = (struct held_snapshot){ .pid = pid,
			.txn = txn,
			.since_ms = visit->now_ms,
			.tell_at_ms = visit->age_ms };
	}
	if (held) {
		held->is_seen = true;
	}
	return 0;
}

static uint64_t file_bytes(MDB_env *mdb, const MDB_envinfo *info)
{
	MDB_stat page;

	mdb_env_stat(mdb, &page);
	return ((uint64_t)info->me_last_pgno + 1) * page.ms_psize;
}

void store_old_readers(struct store_writer *writer, int64_t now_ms, int64_t age_ms,
    store_old_reader_tell *tell, void *context)
{
	MDB_env *mdb = writer->live->mdb;
	MDB_envinfo info;
	size_t kept = 0;

	if (writer->must_reopen) {
		return;
	}
	mdb_env_info(mdb, &info);
	struct readers_visit visit = { writer, info.me_last_txnid, now_ms, age_ms };

	mdb_reader_list(mdb, visit_reader, &visit);
	for (size_t i = 0; i < writer->held_count; i++) {
		struct held_snapshot held = writer->held[i];
		struct store_old_reader about = { held.pid, now_ms - held.since_ms,
			file_bytes(mdb, &info) };

		if (!held.is_seen) {
			about.held_ms = -1;
			if (held.is_told) {
				tell(context, &about);
			}
			continue;
		}
		if (about.held_ms >= held.tell_at_ms) {
			held.is_told = true;
			held.tell_at_ms = 2 * about.held_ms;
			tell(context, &about);
		}
		held.is_seen = false;
		writer->held[kept++] = held;
	}
	writer->held_count = kept;
}
