#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "replica/store_load_streams.h"

/*
 * The second half of a load: the sorted runs, and what other directories have in the file
 * that is in force, become one new file, each database in order of its keys.
 */

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
			status = streams_advance(merge);
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
			status = streams_advance(merge);
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
			status = streams_advance(merge);
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

/* The shapes of what a source had are counted no more. What is damaged is left. */
static enum status forget_shapes_of(struct merge *merge, uint8_t source)
{
	struct store_writer *writer = merge->writer;
	struct record_id id = { .source = source };
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

		if (key.mv_size != INDEX_ID_SIZE) {
			continue;
		}
		index_get_id(key.mv_data, &id);
		if (id.source != source) {
			break;
		}
		if (record.len < 2 || record.ptr[1] != RECORD_CONNECTOR) {
			continue;
		}
		status = index_build(&id, record, &writer->before);
		if (status != CX_OK) {
			writer->before.count = 0;
			status = status == CX_EINVAL ? CX_OK : status;
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

static enum status forget_shapes(struct merge *merge)
{
	enum status status = CX_OK;

	for (unsigned source = 0; source < 256 && status == CX_OK; source++) {
		if (merge->left_out.kinds[source] >> RECORD_CONNECTOR & 1) {
			status = forget_shapes_of(merge, (uint8_t)source);
		}
	}
	return status;
}

/* Whether there is a record of a source that is not left out as a whole. */
static enum status look_for_others(struct merge *merge)
{
	uint8_t bytes[INDEX_ID_SIZE];
	MDB_val key, value;
	MDB_cursor *cursor;
	int rc =
	    mdb_cursor_open(merge->live, merge->writer->live->dbi[DB_REC], &cursor);

	if (rc != MDB_SUCCESS) {
		return fail(merge, rc);
	}
	rc = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
	while (rc == MDB_SUCCESS) {
		struct record_id id = { .source = *(const uint8_t *)key.mv_data };

		if (merge->left_out.kinds[id.source] != STORE_EVERYTHING) {
			break;
		}
		if (id.source++ == UINT8_MAX) {
			rc = MDB_NOTFOUND;
			break;
		}
		index_put_id(bytes, &id);
		key = (MDB_val){ sizeof(bytes), bytes };
		rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
	}
	merge->has_others = rc == MDB_SUCCESS;
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

static bool is_anything_left_out(const struct merge *merge)
{
	static const struct store_left_out nothing;

	return memcmp(&merge->left_out, &nothing, sizeof(nothing)) != 0;
}

/* Of what was left out there is what the runs had instead, or nothing. */
static enum status put_counts(struct merge *merge)
{
	struct store_writer *writer = merge->writer;
	enum status status = store_begin(writer, merge->err);

	if (status != CX_OK) {
		return status;
	}
	for (unsigned source = 0; source < 256; source++) {
		for (unsigned kind = 0; kind <= RECORD_CONTAINER; kind++) {
			uint64_t *count = &writer->counts[source][kind];
			uint64_t now =
			    source == merge->source ? merge->counts[kind] : 0;

			if (merge->left_out.kinds[source] >> kind & 1) {
				writer->are_counts_changed |= *count != now;
				*count = now;
			}
		}
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

/* `merge` has who writes, what comes in and what is left out. */
static enum status merge_into_build(struct merge *merge, struct errbuf *err)
{
	struct store_writer *writer = merge->writer;
	size_t run_count = merge->run_count;
	enum status status = CX_ENOMEM;
	int rc;

	errbuf_set(err, "load: %s", status_text(status));
	merge->err = err;
	merge->out = (struct appender){ .writer = writer, .err = err };
	spool_init(&merge->winners, writer->directory);
	merge->streams = calloc(run_count + 1, sizeof(*merge->streams));
	merge->heap = calloc(run_count + 1, sizeof(struct stream *));
	if (!merge->streams || !merge->heap) {
		goto out;
	}
	status = writer_recover(writer, err);
	if (status == CX_OK) {
		status = writer_make_build(writer, map_size_for(merge), err);
	}
	if (status != CX_OK) {
		goto out;
	}
	rc = mdb_txn_begin(writer->live->mdb, NULL, MDB_RDONLY, &merge->live);
	if (rc != MDB_SUCCESS) {
		status = fail(merge, rc);
		goto out;
	}
	status = look_for_others(merge);
	if (status == CX_OK) {
		status = merge_all(merge);
	}
	mdb_txn_abort(merge->live);
	store_abort(writer);
	if (status == CX_OK && is_anything_left_out(merge)) {
		status = put_counts(merge);
	}
	/* The runs were given back as they were read: not to be tried again. */
	if (status == CX_ETEMP && run_count > 0) {
		status = CX_EIO;
	}
out:
	if (status != CX_OK) {
		store_writer_discard(writer);
	}
	free(merge->streams);
	free(merge->heap);
	spool_release(&merge->winners);
	return status;
}

enum status load_merge(struct store_writer *writer, uint8_t source,
    struct load_run **runs, size_t run_count, struct errbuf *err)
{
	struct merge merge = {
		.writer = writer, .source = source, .runs = runs, .run_count = run_count
	};

	merge.left_out.kinds[source] = STORE_EVERYTHING;
	return merge_into_build(&merge, err);
}

enum status store_writer_build(struct store_writer *writer, struct errbuf *err)
{
	struct merge merge = { .writer = writer };

	return merge_into_build(&merge, err);
}

enum status store_writer_build_without(struct store_writer *writer,
    const struct store_left_out *left_out, struct errbuf *err)
{
	struct merge merge = { .writer = writer, .left_out = *left_out };

	return merge_into_build(&merge, err);
}
