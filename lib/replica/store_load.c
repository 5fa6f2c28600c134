#include "config.h"

#include "replica/store_load.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "replica/load_run.h"
#include "replica/store_lmdb.h"

/*
 * How many records a run holds: few at first, so that a small directory is sorted while it is
 * received, too; then enough to be worth merging.
 */
enum {
	RUN_RECORDS_FIRST = 2048,
	RUN_RECORDS_MAX = 32768,
	RUNS_OF_A_SIZE = 4, /* before it doubles */
};
#define RUN_BYTES ((size_t)32 << 20)

struct store_load {
	struct store_writer *writer;
	uint8_t source;
	size_t run_records_max;
	size_t count;
	struct load_run *filling; /* NULL: none yet */
	struct index_set set;     /* to check records that are rare */

	pthread_t thread;
	bool has_thread;
	pthread_mutex_t lock; /* for what follows */
	pthread_cond_t changed;
	bool is_ended;     /* no more runs will come */
	bool is_forgotten; /* and those that are there need no sorting */
	enum status failure;
	struct errbuf reason;
	struct load_run **runs; /* all that are full, by number */
	size_t run_count, run_room;
	size_t taken; /* so many of them are being sorted, or are */
};

static void note_failure(struct store_load *load, enum status status,
    const struct errbuf *reason)
{
	pthread_mutex_lock(&load->lock);
	if (load->failure == CX_OK) {
		load->failure = status;
		load->reason = *reason;
	}
	pthread_mutex_unlock(&load->lock);
}

static enum status failure_of(struct store_load *load)
{
	pthread_mutex_lock(&load->lock);
	enum status status = load->failure;

	pthread_mutex_unlock(&load->lock);
	return status;
}

/* --- Sorting, by the thread and in the end by the caller too --- */

/* The next run to be sorted, waited for; NULL: there will be none. */
static struct load_run *take_run(struct store_load *load)
{
	struct load_run *run = NULL;

	pthread_mutex_lock(&load->lock);
	while (load->taken == load->run_count && !load->is_ended) {
		pthread_cond_wait(&load->changed, &load->lock);
	}
	if (load->taken < load->run_count && load->failure == CX_OK &&
	    !load->is_forgotten) {
		run = load->runs[load->taken++];
	}
	pthread_mutex_unlock(&load->lock);
	return run;
}

static void sort_runs(struct store_load *load, bool is_caller)
{
	struct errbuf reason = { "" };
	struct run_sorter sorter;
	struct load_run *run;

	sorter_init(&sorter, load->source, load->writer->directory);
	while ((run = take_run(load))) {
		enum status status = run_sort(run, &sorter, &reason);

		if (status != CX_OK) {
			note_failure(load, status, &reason);
		}
		if (is_caller) {
			store_lives(load->writer);
		}
	}
	sorter_release(&sorter);
}

static void *sort_in_thread(void *context)
{
	sort_runs(context, false);
	return NULL;
}

/* Signals are for the threads that expect them. */
static enum status start_thread(struct store_load *load, struct errbuf *err)
{
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int rc = pthread_create(&load->thread, NULL, sort_in_thread, load);

	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc != 0) {
		errbuf_set(err, "thread: %s", strerror(rc));
		return rc == ENOMEM ? CX_ENOMEM : CX_ETEMP;
	}
	load->has_thread = true;
	return CX_OK;
}

static void end_thread(struct store_load *load, bool is_forgotten)
{
	pthread_mutex_lock(&load->lock);
	load->is_ended = true;
	load->is_forgotten = load->is_forgotten || is_forgotten;
	pthread_cond_broadcast(&load->changed);
	pthread_mutex_unlock(&load->lock);
	if (!load->has_thread) {
		return;
	}
	/* Two finish what is left sooner than one. */
	if (!is_forgotten) {
		sort_runs(load, true);
	}
	pthread_join(load->thread, NULL);
	load->has_thread = false;
}

/* --- Putting --- */

enum status store_load_new_sized(struct store_writer *writer, uint8_t source,
    size_t run_records_max, struct store_load **out, struct errbuf *err)
{
	struct store_load *load = calloc(1, sizeof(*load));

	if (!load) {
		errbuf_set(err, "load: %s", status_text(CX_ENOMEM));
		return CX_ENOMEM;
	}
	load->writer = writer;
	load->source = source;
	load->run_records_max = run_records_max;
	index_init(&load->set);
	pthread_mutex_init(&load->lock, NULL);
	pthread_cond_init(&load->changed, NULL);
	enum status status = start_thread(load, err);

	if (status != CX_OK) {
		store_load_free(load);
		return status;
	}
	*out = load;
	return CX_OK;
}

enum status store_load_new(struct store_writer *writer, uint8_t source,
    struct store_load **out, struct errbuf *err)
{
	return store_load_new_sized(writer, source, RUN_RECORDS_MAX, out, err);
}

/* Hands the run that is being filled to the thread. */
static enum status pass_on(struct store_load *load)
{
	struct load_run **runs;

	pthread_mutex_lock(&load->lock);
	enum status status = load->failure;

	if (status == CX_OK && load->run_count == load->run_room) {
		size_t room = load->run_room ? 2 * load->run_room : 64;

		runs = reallocarray(load->runs, room, sizeof(*runs));
		if (runs) {
			load->runs = runs;
			load->run_room = room;
		} else {
			status = CX_ENOMEM;
		}
	}
	if (status == CX_OK) {
		load->runs[load->run_count++] = load->filling;
		load->filling = NULL;
		pthread_cond_broadcast(&load->changed);
	}
	pthread_mutex_unlock(&load->lock);
	return status;
}

/* Any that index_build() would refuse. */
static enum status check_record(struct store_load *load, struct span bytes)
{
	static const struct record_id nobody;
	struct record record;

	if (record_open(bytes, &record) != CX_OK) {
		return CX_EINVAL;
	}
	switch (record.kind) {
	case RECORD_RECIPIENT:
	case RECORD_CONTAINER: return CX_OK;
	case RECORD_DOMAIN:
	case RECORD_CONNECTOR: break;
	}
	return index_build(&nobody, bytes, &load->set);
}

static bool is_full(const struct store_load *load)
{
	size_t doublings = load->run_count / RUNS_OF_A_SIZE;
	size_t limit = doublings < 8 ? (size_t)RUN_RECORDS_FIRST << doublings
				     : load->run_records_max;

	limit = limit < load->run_records_max ? limit : load->run_records_max;
	return load->filling->count >= limit ||
	       load->filling->incoming.len >= RUN_BYTES;
}

static enum status put(struct store_load *load, const uint8_t uuid[16],
    struct span record)
{
	if (!load->filling) {
		load->filling =
		    run_new(load->writer->directory, (unsigned)load->run_count);
		if (!load->filling) {
			return CX_ENOMEM;
		}
	}
	enum status status = run_add(load->filling, uuid, record);

	if (status == CX_OK && is_full(load)) {
		status = pass_on(load);
	}
	return status;
}

enum status store_load_put(struct store_load *load, const uint8_t uuid[16],
    struct span record)
{
	struct errbuf reason;
	enum status status = check_record(load, record);

	store_works(load->writer);
	if (status == CX_EINVAL) {
		return status;
	}
	if (status == CX_OK) {
		status = put(load, uuid, record);
	}
	if (status != CX_OK) {
		errbuf_set(&reason, "load: %s", status_text(status));
		if (load->filling) {
			spool_failure(&load->filling->incoming, &reason);
		}
		note_failure(load, status, &reason);
		return status;
	}
	load->count++;
	return CX_OK;
}

size_t store_load_count(const struct store_load *load)
{
	return load->count;
}

enum status store_load_build(struct store_load *load, struct errbuf *err)
{
	if (load->filling && failure_of(load) == CX_OK) {
		enum status status = pass_on(load);

		if (status != CX_OK) {
			errbuf_set(err, "load: %s", status_text(status));
			note_failure(load, status, err);
		}
	}
	end_thread(load, false);
	if (load->failure != CX_OK) {
		*err = load->reason;
		return load->failure;
	}
	enum status status =
	    load_merge(load->writer, load->source, load->runs, load->run_count, err);

	if (status != CX_OK) {
		store_writer_discard(load->writer);
	}
	return status;
}

void store_load_free(struct store_load *load)
{
	if (!load) {
		return;
	}
	end_thread(load, true);
	for (size_t i = 0; i < load->run_count; i++) {
		run_free(load->runs[i]);
	}
	free(load->runs);
	run_free(load->filling);
	index_release(&load->set);
	pthread_cond_destroy(&load->changed);
	pthread_mutex_destroy(&load->lock);
	free(load);
}
