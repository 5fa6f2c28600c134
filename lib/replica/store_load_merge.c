#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "replica/load_run.h"
#include "replica/store_lmdb.h"

/*
 * The second half of a load: the sorted runs, and what other directories have in the file
 * that is in force, become one new file, each database in order of its keys.
 */

/* Numbers of sources begin with 1. */
enum {
	NO_SOURCE = 0
};

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
	uint8_t source;
	struct load_run **runs;
	size_t run_count;
	MDB_txn *live;
	bool has_others; /* there are records of other sources */
	struct errbuf *err;

	unsigned db; /* that is being written */
	struct stream *streams;
	struct stream **heap; /* those that have an entry; the least first */
	size_t heap_count;

	struct appender out;
	struct spool winners; /* struct winner, in order of uuid */
	uint64_t counts[RECORD_CONTAINER + 1];
};

static enum status fail(struct merge *merge, int rc)
{
	return lmdb_status(rc, merge->err, "new replica");
}

static enum status count_shape(struct merge *merge, struct span shape, int change)
{
	enum status status = writer_count_shape(merge->writer, shape, change);

	if (status != CX_OK) {
		errbuf_set(merge->err, "load: shapes: %s", status_text(status));
	}
	return status;
}

/* --- What comes in --- */

/* All but those of INDEX_SPACE and records have the id at the end; these too, or as key. */
static const uint8_t *id_of(const struct merge *merge, const struct run_entry *entry)
{
	struct span in = merge->db == DB_REC ? entry->key : entry->value;

	return in.len < INDEX_ID_SIZE
		   ? NULL
		   : (const uint8_t *)in.ptr + in.len - INDEX_ID_SIZE;
}

static int compare_uuid(const void *a, const void *b)
{
	return memcmp(a, b, 16);
}

/* Of a record that came again in a later run. */
static bool is_outdated(const struct merge *merge, const struct stream *stream)
{
	if (merge->winners.len == 0 || !stream->run || merge->db == DB_REC) {
		return false;
	}
	const struct winner *found =
	    bsearch(id_of(merge, &stream->entry) + 1, merge->winners.data,
		merge->winners.len / sizeof(*found), sizeof(*found), compare_uuid);

	return found && found->run != stream->run->number;
}

/* The next entry of the file in force that is of another source. CX_NOTFOUND: none. */
static enum status live_next(struct merge *merge, struct stream *stream)
{
	MDB_val key, value;
	int rc;

	while ((rc = mdb_cursor_get(stream->cursor, &key, &value, stream->op)) ==
	       MDB_SUCCESS) {
		stream->op = MDB_NEXT;
		stream->entry = (struct run_entry){ span_of_val(key),
			span_of_val(value), { NULL, 0 } };
		const uint8_t *id = id_of(merge, &stream->entry);

		/* Damage is not ours to judge: it may be another's. */
		if (!id || id[0] != merge->source) {
			return CX_OK;
		}
	}
	return rc == MDB_NOTFOUND ? CX_NOTFOUND : fail(merge, rc);
}

static enum status stream_next(struct merge *merge, struct stream *stream)
{
	if (!stream->run) {
		return live_next(merge, stream);
	}
	do {
		if (!run_entry_next(&stream->rest, &stream->entry)) {
			return CX_NOTFOUND;
		}
	} while (is_outdated(merge, stream));
	return CX_OK;
}

/* By key and value; of records of one uuid the last first. */
static int compare_streams(const struct merge *merge, const struct stream *a,
    const struct stream *b)
{
	int order = span_compare(a->entry.key, b->entry.key);

	if (order != 0) {
		return order;
	}
	if (merge->db != DB_REC) {
		return span_compare(a->entry.value, b->entry.value);
	}
	return a->run && b->run ? (a->run->number > b->run->number ? -1 : 1) : 0;
}

/* Puts the stream at `at` where it belongs; all below are in order. */
static void heap_sink(struct merge *merge, size_t at)
{
	struct stream **heap = merge->heap;
	struct stream *sinking = heap[at];

	for (;;) {
		size_t child = 2 * at + 1;

		if (child >= merge->heap_count) {
			break;
		}
		if (child + 1 < merge->heap_count &&
		    compare_streams(merge, heap[child + 1], heap[child]) < 0) {
			child++;
		}
		if (compare_streams(merge, sinking, heap[child]) <= 0) {
			break;
		}
		heap[at] = heap[child];
		at = child;
	}
	heap[at] = sinking;
}

/* The first stream goes on to its next entry. */
static enum status heap_advance(struct merge *merge)
{
	enum status status = stream_next(merge, merge->heap[0]);

	if (status == CX_NOTFOUND) {
		merge->heap[0] = merge->heap[--merge->heap_count];
		status = CX_OK;
	}
	if (status == CX_OK && merge->heap_count > 1) {
		heap_sink(merge, 0);
	}
	return status;
}

static enum status add_stream(struct merge *merge, struct stream *stream)
{
	enum status status = stream_next(merge, stream);

	if (status == CX_OK) {
		merge->heap[merge->heap_count++] = stream;
	}
	return status == CX_NOTFOUND ? CX_OK : status;
}

static enum status streams_open(struct merge *merge, unsigned kind)
{
	enum status status = CX_OK;

	merge->heap_count = 0;
	for (size_t i = 0; i < merge->run_count && status == CX_OK; i++) {
		struct stream *stream = &merge->streams[i];

		*stream = (struct stream){ .run = merge->runs[i],
			.rest = run_entries(merge->runs[i], kind) };
		status = add_stream(merge, stream);
	}
	if (status == CX_OK && merge->has_others) {
		struct stream *stream = &merge->streams[merge->run_count];
		MDB_cursor *cursor;
		int rc = mdb_cursor_open(merge->live,
		    merge->writer->live->dbi[merge->db], &cursor);

		if (rc != MDB_SUCCESS) {
			return fail(merge, rc);
		}
		*stream = (struct stream){ .cursor = cursor, .op = MDB_FIRST };
		status = add_stream(merge, stream);
	}
	for (size_t i = merge->heap_count / 2; i-- > 0;) {
		heap_sink(merge, i);
	}
	return status;
}

static void streams_close(struct merge *merge)
{
	struct stream *live = &merge->streams[merge->run_count];

	if (live->cursor) {
		mdb_cursor_close(live->cursor);
	}
	live->cursor = NULL;
}

/* --- What goes out --- */

static enum status append(struct merge *merge, const struct run_entry *entry)
{
	if (entry->shape.len > 0) {
		enum status status = count_shape(merge, entry->shape, 1);

		if (status != CX_OK) {
			return status;
		}
	}
	return appender_add(&merge->out, entry->key, entry->value);
}

/* Passes over the records that came before the one at the front. */
static enum status skip_outdated(struct merge *merge, const struct stream *first)
{
	struct winner winner = { .run = first->run->number };
	enum status status = CX_OK;
	bool is_noted = false;

	memcpy(winner.uuid, merge->out.last_key + 1, sizeof(winner.uuid));
	while (status == CX_OK && merge->heap_count > 0) {
		struct stream *stream = merge->heap[0];

		if (!stream->run ||
		    !span_equal(stream->entry.key, appender_last_key(&merge->out))) {
			break;
		}
		if (!is_noted) {
			is_noted = true;
			status = spool_add(&merge->winners, &winner, sizeof(winner));
			spool_failure(&merge->winners, merge->err);
		}
		if (status == CX_OK) {
			status = heap_advance(merge);
		}
	}
	return status;
}

static enum status merge_records(struct merge *merge)
{
	enum status status = CX_OK;

	while (status == CX_OK && merge->heap_count > 0) {
		const struct stream *first = merge->heap[0];
		const struct run_entry *entry = &first->entry;

		status = append(merge, entry);
		if (status == CX_OK && first->run) {
			merge->counts[(unsigned char)entry->value.ptr[1]]++;
		}
		if (status == CX_OK) {
			status = heap_advance(merge);
		}
		if (status == CX_OK && first->run) {
			status = skip_outdated(merge, first);
		}
	}
	return status;
}

static enum status merge_index(struct merge *merge)
{
	enum status status = CX_OK;

	while (status == CX_OK && merge->heap_count > 0) {
		status = append(merge, &merge->heap[0]->entry);
		if (status == CX_OK) {
			status = heap_advance(merge);
		}
	}
	return status;
}

static enum status merge_database(struct merge *merge, unsigned db)
{
	merge->db = db;
	unsigned kind = db == DB_REC ? RUN_RECORDS : db;
	enum status status = streams_open(merge, kind);

	if (status == CX_OK) {
		status = appender_open(&merge->out, db);
	}
	if (status == CX_OK) {
		status = db == DB_REC ? merge_records(merge) : merge_index(merge);
	}
	appender_close(&merge->out);
	streams_close(merge);
	for (size_t i = 0; i < merge->run_count; i++) {
		run_forget(merge->runs[i], kind);
	}
	return status;
}

/* --- What is no record --- */

/* Copies a database as it is, but for what belongs to the file itself. */
static enum status copy_database(struct merge *merge, unsigned db)
{
	MDB_cursor *cursor;
	MDB_val key, value;
	int rc = mdb_cursor_open(merge->live, merge->writer->live->dbi[db], &cursor);

	if (rc != MDB_SUCCESS) {
		return fail(merge, rc);
	}
	while ((rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == MDB_SUCCESS) {
		if (db == DB_META && span_equal(span_of_val(key), SPAN(META_FORMAT))) {
			continue;
		}
		rc = mdb_put(merge->writer->txn, writer_dbi(merge->writer, db), &key,
		    &value, 0);
		if (rc != MDB_SUCCESS) {
			break;
		}
	}
	mdb_cursor_close(cursor);
	return rc == MDB_NOTFOUND ? CX_OK : fail(merge, rc);
}

/* The shapes of what this source had are counted no more. What is damaged is left. */
static enum status forget_shapes(struct merge *merge)
{
	struct store_writer *writer = merge->writer;
	struct record_id id = { .source = merge->source };
	uint8_t bytes[INDEX_ID_SIZE];
	MDB_val key = { sizeof(bytes), bytes };
	MDB_val value;
	MDB_cursor *cursor;
	enum status status = CX_OK;
	int rc = mdb_cursor_open(merge->live, writer->live->dbi[DB_REC], &cursor);

	if (rc != MDB_SUCCESS) {
		return fail(merge, rc);
	}
	index_put_id(bytes, &id);
	for (rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
	     rc == MDB_SUCCESS && status == CX_OK;
	     rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) {
		struct span record = span_of_val(value);

		index_get_id(key.mv_data, &id);
		if (id.source != merge->source) {
			break;
		}
		if (record.len < 2 || record.ptr[1] != RECORD_CONNECTOR ||
		    index_build(&id, record, &writer->before) != CX_OK) {
			continue;
		}
		for (size_t i = 0; i < writer->before.count && status == CX_OK; i++) {
			struct index_entry *entry = &writer->before.entries[i];

			if (entry->kind == INDEX_SPACE) {
				status = count_shape(merge,
				    index_shape(&writer->before, entry), -1);
			}
		}
	}
	mdb_cursor_close(cursor);
	return status != CX_OK || rc == MDB_NOTFOUND ? status : fail(merge, rc);
}

/* Whether there is a record of another source: the first, or behind all of this one. */
static enum status look_for_others(struct merge *merge)
{
	struct record_id id = { .source = (uint8_t)(merge->source + 1) };
	uint8_t bytes[INDEX_ID_SIZE];
	MDB_val key, value;
	MDB_cursor *cursor;
	int rc =
	    mdb_cursor_open(merge->live, merge->writer->live->dbi[DB_REC], &cursor);

	if (rc != MDB_SUCCESS) {
		return fail(merge, rc);
	}
	rc = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
	if (rc == MDB_SUCCESS && *(const uint8_t *)key.mv_data == merge->source &&
	    merge->source < 255) {
		index_put_id(bytes, &id);
		key = (MDB_val){ sizeof(bytes), bytes };
		rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
	}
	merge->has_others =
	    rc == MDB_SUCCESS && *(const uint8_t *)key.mv_data != merge->source;
	mdb_cursor_close(cursor);
	return rc == MDB_NOTFOUND ? CX_OK : fail(merge, rc);
}

/* --- All of it --- */

static enum status merge_all(struct merge *merge)
{
	enum status status = appender_begin(&merge->out);

	if (status == CX_OK) {
		status = copy_database(merge, DB_META);
	}
	if (status == CX_OK) {
		status = copy_database(merge, DB_SHAPE);
	}
	if (status == CX_OK) {
		status = forget_shapes(merge);
	}
	/* The records first: they tell which entries are outdated. */
	if (status == CX_OK) {
		status = merge_database(merge, DB_REC);
	}
	for (unsigned kind = 0; kind < INDEX_COUNT && status == CX_OK; kind++) {
		status = merge_database(merge, kind);
	}
	return status == CX_OK ? appender_commit(&merge->out) : status;
}

static enum status put_counts(struct merge *merge)
{
	struct store_writer *writer = merge->writer;
	enum status status = store_begin(writer, merge->err);

	if (status != CX_OK) {
		return status;
	}
	if (memcmp(writer->counts[merge->source], merge->counts,
		sizeof(merge->counts)) != 0) {
		memcpy(writer->counts[merge->source], merge->counts,
		    sizeof(merge->counts));
		writer->are_counts_changed = true;
	}
	status = store_commit(writer, merge->err);
	writer->is_build_changed = status == CX_OK;
	return status;
}

/* What there is even in a small file. */
#define MAP_SLACK ((size_t)1 << 20)

/* Room for twice what it can become, so that the map is never in the way. */
static size_t map_size_for(const struct merge *merge)
{
	MDB_envinfo info;
	MDB_stat page;
	size_t size = merge->writer->map_size;
	size_t wanted = 0;

	mdb_env_info(merge->writer->live->mdb, &info);
	mdb_env_stat(merge->writer->live->mdb, &page);
	wanted = (info.me_last_pgno + 1) * page.ms_psize + MAP_SLACK;
	for (size_t i = 0; i < merge->run_count; i++) {
		wanted += merge->runs[i]->sorted.len;
	}
	while (size / 4 < wanted) {
		size *= 2;
	}
	return size;
}

enum status load_merge(struct store_writer *writer, uint8_t source,
    struct load_run **runs, size_t run_count, struct errbuf *err)
{
	struct merge merge = { .writer = writer,
		.source = source,
		.runs = runs,
		.run_count = run_count,
		.out = { .writer = writer, .err = err },
		.err = err };
	enum status status = CX_ENOMEM;
	int rc;

	errbuf_set(err, "load: %s", status_text(status));
	spool_init(&merge.winners, writer->directory);
	merge.streams = calloc(run_count + 1, sizeof(*merge.streams));
	merge.heap = calloc(run_count + 1, sizeof(struct stream *));
	if (!merge.streams || !merge.heap) {
		goto out;
	}
	status = writer_make_build(writer, map_size_for(&merge), err);
	if (status != CX_OK) {
		goto out;
	}
	rc = mdb_txn_begin(writer->live->mdb, NULL, MDB_RDONLY, &merge.live);
	if (rc != MDB_SUCCESS) {
		status = fail(&merge, rc);
		goto out;
	}
	status = look_for_others(&merge);
	if (status == CX_OK) {
		status = merge_all(&merge);
	}
	mdb_txn_abort(merge.live);
	store_abort(writer);
	if (status == CX_OK && source != NO_SOURCE) {
		status = put_counts(&merge);
	}
out:
	if (status != CX_OK) {
		store_writer_discard(writer);
	}
	free(merge.streams);
	free(merge.heap);
	spool_release(&merge.winners);
	return status;
}

enum status store_writer_build(struct store_writer *writer, struct errbuf *err)
{
	return load_merge(writer, NO_SOURCE, NULL, 0, err);
}
