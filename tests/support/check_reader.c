#include "config.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "check_snapshot.h"

/*
 * A reader that checks what it reads, for tests that kill the writer, fill its disk, or hold
 * its snapshots:
 *
 *	check-reader DIRECTORY		snapshot after snapshot, until SIGTERM
 *	check-reader -1 DIRECTORY	one snapshot, checked as a whole
 *	check-reader -h N DIRECTORY	takes N snapshots and holds them until SIGTERM, then
 *					checks them and a new one
 *
 * Snapshots are consistent (check_snapshot.h), the generation never falls, and once there was
 * a snapshot there always is one. What is wrong is a line on standard output and exit 1; else
 * the end is a line that says how much was seen, and exit 0.
 */
enum {
	SAMPLES = 50,    /* records of a snapshot that is not checked as a whole */
	WHOLE_EVERY = 8, /* one in so many is */
	PAUSE_MS = 10,
	HOLD_MAX = 2 * STORE_MAX_READERS,
};

static volatile sig_atomic_t is_told_to_stop;

static void on_stop(int number)
{
	(void)number;
	is_told_to_stop = 1;
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
		return check_wrong("no cursor", SPAN("record"));
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

	for (int i = 0;
	     i < SAMPLES && mdb_cursor_get(keys, &key, &value, op) == MDB_SUCCESS;
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
		return check_wrong("the generation falls", span_of(text));
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
		return seen->is_any ? check_wrong("no snapshot:", span_of(err.text))
				    : true;
	}
	is_good = note_generation(seen, snapshot);
	is_good =
	    (is_whole ? check_whole(snapshot, tally) : check_some(snapshot, tally)) &&
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
		is_good =
		    look_once(store, &seen, tally, seen.snapshots % WHOLE_EVERY == 0);
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
		check_wrong("cannot read:", span_of(err.text));
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
