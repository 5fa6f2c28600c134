#include "config.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "replica/store_lmdb.h"

/*
 * A reader that checks what it reads, for tests that kill the writer, fill its disk, or hold
 * its snapshots:
 *
 *	check-reader DIRECTORY		snapshot after snapshot, until SIGTERM
 *	check-reader -1 DIRECTORY	one snapshot, checked as a whole
 *	check-reader -h N DIRECTORY	takes N snapshots and holds them until SIGTERM, then
 *					checks them and a new one
 *
 * A snapshot is consistent if the indexes hold the entries of its records (index_build())
 * and no others, the counts are right, and the directories make sense. The generation never
 * falls, and once there was a snapshot there always is one. What is wrong is a line on
 * standard output and exit 1; else the end is a line that says how much was seen, and exit 0.
 */
enum {
	SAMPLES = 50,	   /* records of a snapshot that is not checked as a whole */
	WHOLE_EVERY = 8,   /* one in so many is */
	PAUSE_MS = 10,
	HOLD_MAX = 2 * STORE_MAX_READERS,
};

static volatile sig_atomic_t is_told_to_stop;

static void on_stop(int number)
{
	(void)number;
	is_told_to_stop = 1;
}

static bool wrong(const char *what, struct span about)
{
	struct buf line;

	buf_init(&line);
	buf_add_text(&line, "wrong: ");
	buf_add_text(&line, what);
	buf_add_char(&line, ' ');
	buf_add_escaped(&line, about);
	puts(line.data);
	buf_release(&line);
	return false;
}

/* What one pass over the records adds up to. */
struct tally {
	struct index_set set;
	size_t entries[INDEX_COUNT];
	uint64_t records[256][RECORD_CONTAINER + 1];
	uint64_t total;
};

static bool is_named(const struct snapshot *snapshot, uint8_t source)
{
	return snapshot_precedence(snapshot, source) < STORE_SOURCES_MAX;
}

/* --- One record: it has all its keys --- */

static bool has_shape(struct snapshot *snapshot, struct span shape)
{
	MDB_val key = val_of(shape), value;

	return mdb_get(snapshot->txn, snapshot->env->dbi[DB_SHAPE], &key, &value) ==
	       MDB_SUCCESS;
}

static bool check_record(struct snapshot *snapshot, struct tally *tally, MDB_val key,
    MDB_val value)
{
	struct span stored = span_of_val(value), name = span_of_val(key);
	struct record_id id;
	bool is_good = true;

	if (key.mv_size != INDEX_ID_SIZE) {
		return wrong("id of a record", name);
	}
	index_get_id(key.mv_data, &id);
	if (!is_named(snapshot, id.source)) {
		return wrong("record of no directory", name);
	}
	if (index_build(&id, stored, &tally->set) != CX_OK) {
		return wrong("not a record", name);
	}
	for (size_t i = 0; i < tally->set.count; i++) {
		const struct index_entry *entry = &tally->set.entries[i];
		MDB_val wanted = val_of(index_key(&tally->set, entry));
		MDB_val data = { entry->value_len, (void *)(uintptr_t)entry->value };
		MDB_cursor *cursor;

		if (mdb_cursor_open(snapshot->txn, snapshot->env->dbi[entry->kind],
			&cursor) != MDB_SUCCESS) {
			return wrong("no cursor", name);
		}
		if (mdb_cursor_get(cursor, &wanted, &data, MDB_GET_BOTH) !=
		    MDB_SUCCESS) {
			is_good = wrong("record without its key",
			    index_key(&tally->set, entry));
		}
		mdb_cursor_close(cursor);
		if (entry->kind == INDEX_SPACE &&
		    !has_shape(snapshot, index_shape(&tally->set, entry))) {
			is_good = wrong("space without its shape",
			    index_key(&tally->set, entry));
		}
		tally->entries[entry->kind]++;
	}
	tally->records[id.source][(unsigned char)stored.ptr[1]]++;
	tally->total++;
	return is_good;
}

/* --- One key: it has its record --- */

static bool check_key(struct snapshot *snapshot, struct tally *tally,
    enum index_kind kind, MDB_val key, MDB_val value)
{
	struct span name = span_of_val(key);
	MDB_val id_key, stored;
	struct record_id id;

	if (value.mv_size < INDEX_ID_SIZE) {
		return wrong("value of a key", name);
	}
	id_key = (MDB_val){ INDEX_ID_SIZE,
		(char *)value.mv_data + value.mv_size - INDEX_ID_SIZE };
	index_get_id(id_key.mv_data, &id);
	if (mdb_get(snapshot->txn, snapshot->env->dbi[DB_REC], &id_key, &stored) !=
	    MDB_SUCCESS) {
		return wrong("key without its record", name);
	}
	if (index_build(&id, span_of_val(stored), &tally->set) != CX_OK) {
		return wrong("key of what is not a record", name);
	}
	for (size_t i = 0; i < tally->set.count; i++) {
		const struct index_entry *entry = &tally->set.entries[i];

		if (entry->kind == kind && entry->value_len == value.mv_size &&
		    span_equal(index_key(&tally->set, entry), name) &&
		    memcmp(entry->value, value.mv_data, value.mv_size) == 0) {
			return true;
		}
	}
	return wrong("key that its record does not have", name);
}

static bool check_each_key(struct snapshot *snapshot, struct tally *tally,
    enum index_kind kind)
{
	MDB_cursor *cursor;
	MDB_val key, value;
	bool is_good = true;

	if (mdb_cursor_open(snapshot->txn, snapshot->env->dbi[kind], &cursor) !=
	    MDB_SUCCESS) {
		return wrong("no cursor", SPAN("index"));
	}
	while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == MDB_SUCCESS) {
		is_good = check_key(snapshot, tally, kind, key, value) && is_good;
	}
	mdb_cursor_close(cursor);
	return is_good;
}

/* --- A whole snapshot --- */

static size_t entries_of(struct snapshot *snapshot, unsigned db)
{
	MDB_stat stat;

	return mdb_stat(snapshot->txn, snapshot->env->dbi[db], &stat) == MDB_SUCCESS
		   ? stat.ms_entries
		   : SIZE_MAX;
}

/* META_COUNTS: source (1), kind (1), number (8), for each that is not 0. */
static bool check_counts(struct snapshot *snapshot, const struct tally *tally)
{
	uint64_t counted[256][RECORD_CONTAINER + 1] = { { 0 } };
	MDB_val key = val_of(SPAN(META_COUNTS)), value = { 0, NULL };
	int rc = mdb_get(snapshot->txn, snapshot->env->dbi[DB_META], &key, &value);

	if ((rc != MDB_SUCCESS && rc != MDB_NOTFOUND) || value.mv_size % 10 != 0) {
		return wrong("counts", span_of_val(value));
	}
	for (const uint8_t *p = value.mv_data; value.mv_size > 0;
	     p += 10, value.mv_size -= 10) {
		if (p[1] > RECORD_CONTAINER) {
			return wrong("counts: kind", SPAN("of record"));
		}
		memcpy(&counted[p[0]][p[1]], p + 2, 8);
	}
	return memcmp(counted, tally->records, sizeof(counted)) == 0
		   ? true
		   : wrong("counts", SPAN("are not those of the records"));
}

static bool check_shapes(struct snapshot *snapshot, const struct tally *tally)
{
	MDB_cursor *cursor;
	MDB_val key, value;
	size_t spaces = 0;

	if (mdb_cursor_open(snapshot->txn, snapshot->env->dbi[DB_SHAPE], &cursor) !=
	    MDB_SUCCESS) {
		return wrong("no cursor", SPAN("shape"));
	}
	while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == MDB_SUCCESS) {
		uint32_t count = 0;

		memcpy(&count, value.mv_data,
		    value.mv_size < sizeof(count) ? value.mv_size : sizeof(count));
		spaces += count;
	}
	mdb_cursor_close(cursor);
	return spaces == tally->entries[INDEX_SPACE]
		   ? true
		   : wrong("shapes", SPAN("are not those of the spaces"));
}

static bool check_sources(const struct snapshot *snapshot)
{
	size_t count;
	const struct source_info *sources = snapshot_sources(snapshot, &count);

	for (size_t i = 0; i < count; i++) {
		if (sources[i].id == 0 || sources[i].name[0] == '\0') {
			return wrong("directory", SPAN("without an id or a name"));
		}
		for (size_t j = 0; j < i; j++) {
			if (sources[i].id == sources[j].id ||
			    strcmp(sources[i].name, sources[j].name) == 0) {
				return wrong("directory twice",
				    span_of(sources[i].name));
			}
		}
	}
	return true;
}

static bool check_whole(struct snapshot *snapshot, struct tally *tally)
{
	MDB_cursor *cursor;
	MDB_val key, value;
	bool is_good = check_sources(snapshot);

	memset(tally->entries, 0, sizeof(tally->entries));
	memset(tally->records, 0, sizeof(tally->records));
	tally->total = 0;
	if (mdb_cursor_open(snapshot->txn, snapshot->env->dbi[DB_REC], &cursor) !=
	    MDB_SUCCESS) {
		return wrong("no cursor", SPAN("record"));
	}
	while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == MDB_SUCCESS) {
		is_good = check_record(snapshot, tally, key, value) && is_good;
	}
	mdb_cursor_close(cursor);
	/* Each record has its keys; as many as there are, so there are no others. */
	for (unsigned kind = 0; kind < INDEX_COUNT; kind++) {
		if (entries_of(snapshot, kind) != tally->entries[kind]) {
			check_each_key(snapshot, tally, (enum index_kind)kind);
			is_good = wrong("index", SPAN("has other keys than the records"));
		}
	}
	is_good = check_counts(snapshot, tally) && is_good;
	return check_shapes(snapshot, tally) && is_good;
}

/* --- Some of a snapshot --- */

static void random_bytes(uint8_t *out, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		out[i] = (uint8_t)(random() >> 8);
	}
}

static bool check_some(struct snapshot *snapshot, struct tally *tally)
{
	size_t count;
	const struct source_info *sources = snapshot_sources(snapshot, &count);
	MDB_cursor *records, *keys;
	bool is_good = check_sources(snapshot);
	enum index_kind kind = (enum index_kind)(random() % INDEX_COUNT);

	if (mdb_cursor_open(snapshot->txn, snapshot->env->dbi[DB_REC], &records) !=
		MDB_SUCCESS ||
	    mdb_cursor_open(snapshot->txn, snapshot->env->dbi[kind], &keys) !=
		MDB_SUCCESS) {
		return wrong("no cursor", SPAN("record"));
	}
	for (int i = 0; i < SAMPLES && count > 0; i++) {
		uint8_t bytes[INDEX_ID_SIZE];
		MDB_val key = { sizeof(bytes), bytes }, value;

		random_bytes(bytes, sizeof(bytes));
		bytes[0] = sources[(size_t)random() % count].id;
		if (mdb_cursor_get(records, &key, &value, MDB_SET_RANGE) ==
		    MDB_SUCCESS) {
			is_good = check_record(snapshot, tally, key, value) && is_good;
		}
	}
	/* A run of keys from anywhere. */
	char start[8] = "smtp:";
	MDB_val key = { sizeof(start), start }, value;

	random_bytes((uint8_t *)start + 5, 3);
	MDB_cursor_op op = MDB_SET_RANGE;

	for (int i = 0; i < SAMPLES &&
			mdb_cursor_get(keys, &key, &value, op) == MDB_SUCCESS;
	     i++) {
		is_good = check_key(snapshot, tally, kind, key, value) && is_good;
		op = MDB_NEXT;
	}
	mdb_cursor_close(keys);
	mdb_cursor_close(records);
	return is_good;
}

/* --- The ways to run --- */

struct seen {
	uint64_t snapshots, whole, generation, generations;
	bool is_any;
};

static bool note_generation(struct seen *seen, const struct snapshot *snapshot)
{
	uint64_t now = snapshot_generation(snapshot);

	if (seen->is_any && now < seen->generation) {
		char text[64];

		snprintf(text, sizeof(text), "from %llu to %llu",
		    (unsigned long long)seen->generation, (unsigned long long)now);
		return wrong("the generation falls", span_of(text));
	}
	seen->generations += !seen->is_any || now > seen->generation;
	seen->is_any = true;
	seen->generation = now;
	return true;
}

static void nap(void)
{
	const struct timespec pause_for = { 0, PAUSE_MS * 1000000L };

	nanosleep(&pause_for, NULL);
}

static bool look_once(struct store *store, struct seen *seen, struct tally *tally,
    bool is_whole)
{
	struct snapshot *snapshot;
	struct errbuf err = { "" };
	bool is_good;

	if (snapshot_begin(store, &snapshot, &err) != CX_OK) {
		/* There was none yet; but one that was there never goes. */
		return seen->is_any ? wrong("no snapshot:", span_of(err.text)) : true;
	}
	is_good = note_generation(seen, snapshot);
	is_good = (is_whole ? check_whole(snapshot, tally)
			    : check_some(snapshot, tally)) &&
		  is_good;
	snapshot_end(snapshot);
	seen->snapshots++;
	seen->whole += is_whole;
	return is_good;
}

static bool look_on(struct store *store, struct tally *tally)
{
	struct seen seen = { .is_any = false };
	bool is_good = true;

	puts("looks");
	while (is_good && !is_told_to_stop) {
		is_good = look_once(store, &seen, tally,
		    seen.snapshots % WHOLE_EVERY == 0);
		nap();
	}
	printf("snapshots=%llu whole=%llu generations=%llu generation=%llu\n",
	    (unsigned long long)seen.snapshots, (unsigned long long)seen.whole,
	    (unsigned long long)seen.generations, (unsigned long long)seen.generation);
	return is_good;
}

static bool look_whole(struct store *store, struct tally *tally)
{
	struct seen seen = { .is_any = true };
	bool is_good = look_once(store, &seen, tally, true);

	printf("generation=%llu records=%llu\n", (unsigned long long)seen.generation,
	    (unsigned long long)tally->total);
	return is_good;
}

static bool hold(struct store *store, struct tally *tally, unsigned count)
{
	static struct snapshot *held[HOLD_MAX];
	struct seen seen = { .is_any = false };
	struct errbuf err = { "" };
	bool is_good = true;
	unsigned got = 0;

	while (got < count && snapshot_begin(store, &held[got], &err) == CX_OK) {
		got++;
	}
	printf("holds %u %s\n", got, err.text);
	while (!is_told_to_stop) {
		nap();
	}
	for (unsigned i = 0; i < got; i++) {
		is_good = note_generation(&seen, held[i]) &&
			  check_whole(held[i], tally) && is_good;
		snapshot_end(held[i]);
	}
	return look_whole(store, tally) && is_good;
}

int main(int argc, char **argv)
{
	struct sigaction stop = { .sa_handler = on_stop };
	bool is_once = false, is_good;
	struct errbuf err = { "" };
	struct tally *tally = calloc(1, sizeof(*tally));
	unsigned count = 0;
	struct store *store;
	int option;

	while ((option = getopt(argc, argv, "1h:")) != -1) {
		switch (option) {
		case '1': is_once = true; break;
		case 'h': count = (unsigned)strtoul(optarg, NULL, 10); break;
		default: return EX_USAGE;
		}
	}
	if (optind != argc - 1 || count > HOLD_MAX || !tally) {
		return EX_USAGE;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	srandom((unsigned)getpid());
	sigaction(SIGTERM, &stop, NULL);
	if (store_open(argv[optind], &store, &err) != CX_OK) {
		wrong("cannot read:", span_of(err.text));
		free(tally);
		return 1;
	}
	index_init(&tally->set);
	is_good = count     ? hold(store, tally, count)
		  : is_once ? look_whole(store, tally)
			    : look_on(store, tally);
	store_close(store);
	index_release(&tally->set);
	free(tally);
	return is_good ? EX_OK : 1;
}
