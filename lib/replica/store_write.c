#include "config.h"

#include "replica/store_write.h"

#include <assert.h>
#include <string.h>

#include "replica/store_lmdb.h"

MDB_dbi writer_dbi(const struct store_writer *writer, unsigned db)
{
	return writer_env(writer)->dbi[db];
}

/* Told of so seldom that it costs nothing, and so often that it is no silence. */
enum {
	WORK_TOLD = 256
};

void store_on_progress(struct store_writer *writer, store_progress *tell, void *context)
{
	writer->progress = tell;
	writer->progress_context = context;
}

void store_works(struct store_writer *writer)
{
	if (++writer->work % WORK_TOLD == 0) {
		store_lives(writer);
	}
}

void store_lives(struct store_writer *writer)
{
	if (writer->progress) {
		writer->progress(writer->progress_context);
	}
}

enum status writer_failed(struct store_writer *writer, enum status status)
{
	if (status != CX_OK && writer->failure == CX_OK) {
		writer->failure = status;
	}
	return status;
}

enum status writer_db_failed(struct store_writer *writer, int rc)
{
	if (rc == MDB_MAP_FULL) {
		writer->was_full = true;
	}
	return writer_failed(writer, lmdb_status(rc, NULL, ""));
}

enum status writer_get(struct store_writer *writer, unsigned db, struct span key_text,
    struct span *out)
{
	MDB_val key = val_of(key_text);
	MDB_val value;

	store_works(writer);
	int rc = mdb_get(writer->txn, writer_dbi(writer, db), &key, &value);

	*out = rc == MDB_SUCCESS ? span_of_val(value) : (struct span){ NULL, 0 };
	return rc == MDB_NOTFOUND ? CX_NOTFOUND : writer_db_failed(writer, rc);
}

enum status writer_put(struct store_writer *writer, unsigned db, struct span key_text,
    struct span text)
{
	MDB_val key = val_of(key_text);
	MDB_val value = val_of(text);

	return writer_db_failed(writer,
	    mdb_put(writer->txn, writer_dbi(writer, db), &key, &value, 0));
}

enum status writer_delete(struct store_writer *writer, unsigned db,
    struct span key_text)
{
	MDB_val key = val_of(key_text);
	int rc = mdb_del(writer->txn, writer_dbi(writer, db), &key, NULL);

	return rc == MDB_NOTFOUND ? CX_NOTFOUND : writer_db_failed(writer, rc);
}

/* --- Transactions --- */

/* What META_COUNTS holds: source (1), kind (1), number (8, as this machine has it). */
enum {
	COUNT_SIZE = 10
};

static enum status load_counts(struct store_writer *writer)
{
	struct span stored;
	enum status status = writer_get(writer, DB_META, SPAN(META_COUNTS), &stored);

	memset(writer->counts, 0, sizeof(writer->counts));
	for (; stored.len >= COUNT_SIZE;
	     stored.ptr += COUNT_SIZE, stored.len -= COUNT_SIZE) {
		unsigned source = (unsigned char)stored.ptr[0];
		unsigned kind = (unsigned char)stored.ptr[1];

		if (kind <= RECORD_CONTAINER) {
			memcpy(&writer->counts[source][kind], stored.ptr + 2, 8);
		}
	}
	return status == CX_NOTFOUND ? CX_OK : status;
}

static enum status store_counts(struct store_writer *writer)
{
	struct buf buf;

	buf_init(&buf);
	for (unsigned source = 0; source < 256; source++) {
		for (unsigned kind = 0; kind <= RECORD_CONTAINER; kind++) {
			if (writer->counts[source][kind] > 0) {
				buf_add_char(&buf, (char)source);
				buf_add_char(&buf, (char)kind);
				buf_add(&buf, &writer->counts[source][kind], 8);
			}
		}
	}
	enum status status =
	    buf.failed ? writer_failed(writer, CX_ENOMEM)
		       : writer_put(writer, DB_META, SPAN(META_COUNTS), buf_span(&buf));

	buf_release(&buf);
	return status;
}

static enum status load_head(struct store_writer *writer)
{
	struct span stored;
	enum status status = writer_get(writer, DB_META, SPAN(META_HEAD), &stored);

	if (status == CX_OK) {
		status = writer_failed(writer, head_decode(stored, &writer->head));
	}
	return status == CX_NOTFOUND ? writer_failed(writer, CX_EFORMAT) : status;
}

enum status writer_put_head(struct store_writer *writer)
{
	uint8_t bytes[HEAD_SIZE_MAX];
	size_t len = head_encode(&writer->head, bytes);

	return writer_put(writer, DB_META, SPAN(META_HEAD),
	    (struct span){ (const char *)bytes, len });
}

enum status writer_recover(struct store_writer *writer, struct errbuf *err)
{
	enum status status = CX_OK;

	if (writer->must_reopen) {
		status = env_reopen(writer->live, err);
		writer->must_reopen = status != CX_OK;
	}
	return status;
}

enum status store_begin(struct store_writer *writer, struct errbuf *err)
{
	struct store_env *env = writer_env(writer);

	assert(!writer->txn);
	enum status status = writer_recover(writer, err);

	if (status == CX_OK) {
		status = env_make_room(env, writer->was_full, err);
	}
	if (status != CX_OK) {
		writer->must_reopen = !writer->live->mdb;
		return status;
	}
	writer->was_full = false;
	writer->failure = CX_OK;
	writer->suspect_count = 0;
	writer->is_changed = false;
	writer->are_counts_changed = false;
	int rc = mdb_txn_begin(env->mdb, NULL, 0, &writer->txn);

	if (rc == MDB_PANIC && !writer->build) {
		writer->must_reopen = true;
		status = writer_recover(writer, err);
		if (status != CX_OK) {
			return status;
		}
		rc = mdb_txn_begin(env->mdb, NULL, 0, &writer->txn);
	}
	if (rc != MDB_SUCCESS) {
		writer->txn = NULL;
		return lmdb_status(rc, err, "replica");
	}
	status = load_head(writer);
	if (status == CX_OK) {
		status = load_counts(writer);
	}
	if (status != CX_OK) {
		store_abort(writer);
		errbuf_set(err, "replica: %s", status_text(status));
	}
	return status;
}

enum status store_commit(struct store_writer *writer, struct errbuf *err)
{
	assert(writer->txn);
	if (writer->suspect_count > 0 && writer->failure == CX_OK) {
		writer_repair(writer);
	}
	if ((writer->is_changed || writer->is_build_changed) &&
	    writer->failure == CX_OK) {
		writer->head.generation++;
		writer_put_head(writer);
	}
	if (writer->are_counts_changed && writer->failure == CX_OK) {
		store_counts(writer);
	}
	if (writer->failure != CX_OK) {
		enum status failure = writer->failure;

		store_abort(writer);
		errbuf_set(err, "replica: %s",
		    writer->was_full ? "the map is full; it will be larger next time"
				     : status_text(failure));
		return failure;
	}
	int rc = mdb_txn_commit(writer->txn);

	writer->txn = NULL;
	if (rc == MDB_SUCCESS) {
		writer->is_build_changed = false;
	}
	if (rc == MDB_MAP_FULL) {
		writer->was_full = true;
	}
	return lmdb_status(rc, err, "replica");
}

void store_abort(struct store_writer *writer)
{
	if (writer->txn) {
		mdb_txn_abort(writer->txn);
		writer->txn = NULL;
	}
}

/* --- Records and their index entries --- */

static struct span id_span(const struct record_id *id, uint8_t bytes[INDEX_ID_SIZE])
{
	index_put_id(bytes, id);
	return (struct span){ (const char *)bytes, INDEX_ID_SIZE };
}

enum status writer_count_shape(struct store_writer *writer, struct span shape,
    int change)
{
	struct span stored;
	uint32_t count = 0;
	enum status status = writer_get(writer, DB_SHAPE, shape, &stored);

	if (status == CX_OK && stored.len == sizeof(count)) {
		memcpy(&count, stored.ptr, sizeof(count));
	} else if (status != CX_NOTFOUND) {
		return status == CX_OK ? writer_failed(writer, CX_EFORMAT) : status;
	}
	count += (uint32_t)change;
	if (count == 0) {
		return writer_delete(writer, DB_SHAPE, shape);
	}
	return writer_put(writer, DB_SHAPE, shape,
	    (struct span){ (const char *)&count, sizeof(count) });
}

/*
 * An entry is there that the old bytes of the record did not have, or is not there that they
 * had: they are not the bytes that were written.
 */
static enum status suspect_entry(struct store_writer *writer,
    const struct index_entry *entry)
{
	struct record_id id;

	index_get_id(entry->value + entry->value_len - INDEX_ID_SIZE, &id);
	return writer_suspect(writer, &id);
}

static enum status entry_add(struct store_writer *writer, struct index_entry *entry)
{
	MDB_val key = val_of(index_key(&writer->after, entry));
	MDB_val value = { entry->value_len, entry->value };
	int rc = mdb_put(writer->txn, writer_dbi(writer, entry->kind), &key, &value,
	    MDB_NODUPDATA);

	if (rc == MDB_KEYEXIST) {
		return suspect_entry(writer, entry);
	}
	if (rc != MDB_SUCCESS || entry->kind != INDEX_SPACE) {
		return writer_db_failed(writer, rc);
	}
	return writer_count_shape(writer, index_shape(&writer->after, entry), 1);
}

static enum status entry_remove(struct store_writer *writer, struct index_entry *entry)
{
	MDB_val key = val_of(index_key(&writer->before, entry));
	MDB_val value = { entry->value_len, entry->value };
	int rc = mdb_del(writer->txn, writer_dbi(writer, entry->kind), &key, &value);

	if (rc == MDB_NOTFOUND) {
		return suspect_entry(writer, entry);
	}
	if (rc != MDB_SUCCESS || entry->kind != INDEX_SPACE) {
		return writer_db_failed(writer, rc);
	}
	return writer_count_shape(writer, index_shape(&writer->before, entry), -1);
}

/* Removes what is only in `before` and adds what is only in `after`; both are sorted. */
static enum status apply_difference(struct store_writer *writer)
{
	struct index_set *before = &writer->before;
	struct index_set *after = &writer->after;
	enum status status = CX_OK;
	size_t i = 0, j = 0;

	while (status == CX_OK && (i < before->count || j < after->count)) {
		int order = i == before->count ? 1
			    : j == after->count
				? -1
				: index_compare(before, &before->entries[i], after,
				      &after->entries[j]);

		if (order < 0) {
			status = entry_remove(writer, &before->entries[i++]);
		} else if (order > 0) {
			status = entry_add(writer, &after->entries[j++]);
		} else {
			i++;
			j++;
		}
	}
	return status;
}

static void count_record(struct store_writer *writer, uint8_t source,
    struct span record, int change)
{
	writer->counts[source][(unsigned char)record.ptr[1]] +=
	    (uint64_t)(int64_t)change;
	writer->are_counts_changed = true;
}

/*
 * The entries of the stored record, which is about to go. Where it is damaged, none: what is
 * left of it is found before the commit.
 */
static enum status build_before(struct store_writer *writer, const struct record_id *id,
    struct span stored)
{
	enum status status = index_build(id, stored, &writer->before);

	if (status == CX_EINVAL) {
		writer->before.count = 0;
		return writer_suspect(writer, id);
	}
	if (status == CX_OK) {
		count_record(writer, id->source, stored, -1);
	}
	return writer_failed(writer, status);
}

enum status store_put(struct store_writer *writer, const struct record_id *id,
    struct span record, bool *changed)
{
	uint8_t bytes[INDEX_ID_SIZE];
	struct span key = id_span(id, bytes);
	struct span stored;
	enum status status = index_build(id, record, &writer->after);

	if (changed) {
		*changed = false;
	}
	if (status != CX_OK) {
		return status == CX_EINVAL ? status : writer_failed(writer, status);
	}
	status = writer_get(writer, DB_REC, key, &stored);
	writer->before.count = 0;
	if (status == CX_OK) {
		if (span_equal(stored, record)) {
			return CX_OK;
		}
		status = build_before(writer, id, stored);
	} else if (status == CX_NOTFOUND) {
		status = CX_OK;
	}
	/* From here on `stored` is no more. */
	if (status == CX_OK) {
		status = writer_put(writer, DB_REC, key, record);
	}
	if (status == CX_OK) {
		status = apply_difference(writer);
	}
	if (status == CX_OK) {
		count_record(writer, id->source, record, 1);
		writer->is_changed = true;
		if (changed) {
			*changed = true;
		}
	}
	return status;
}

enum status store_remove(struct store_writer *writer, const struct record_id *id)
{
	uint8_t bytes[INDEX_ID_SIZE];
	struct span key = id_span(id, bytes);
	struct span stored;
	enum status status = writer_get(writer, DB_REC, key, &stored);

	if (status != CX_OK) {
		return status;
	}
	status = build_before(writer, id, stored);
	if (status != CX_OK) {
		return status;
	}
	writer->after.count = 0;
	status = writer_delete(writer, DB_REC, key);
	if (status == CX_OK) {
		status = apply_difference(writer);
	}
	if (status == CX_OK) {
		writer->is_changed = true;
	}
	return status;
}

enum status store_get(struct store_writer *writer, const struct record_id *id,
    struct span *out)
{
	uint8_t bytes[INDEX_ID_SIZE];

	return writer_get(writer, DB_REC, id_span(id, bytes), out);
}

bool store_holds(struct store_writer *writer, const struct record_id *id,
    struct span record)
{
	uint8_t bytes[INDEX_ID_SIZE];
	MDB_val key = val_of(id_span(id, bytes));
	MDB_val value;
	MDB_txn *txn;

	assert(!writer->txn);
	store_works(writer);
	if (writer->must_reopen ||
	    mdb_txn_begin(writer_env(writer)->mdb, NULL, MDB_RDONLY, &txn) !=
		MDB_SUCCESS) {
		return false;
	}
	bool is_stored =
	    mdb_get(txn, writer_dbi(writer, DB_REC), &key, &value) == MDB_SUCCESS &&
	    span_equal(span_of_val(value), record);

	mdb_txn_abort(txn);
	return is_stored;
}

enum status store_each(struct store_writer *writer, uint8_t source, store_visit *visit,
    void *context)
{
	struct record_id id = { .source = source };
	uint8_t bytes[INDEX_ID_SIZE];
	MDB_val key = val_of(id_span(&id, bytes));
	MDB_val value;
	MDB_cursor *cursor;
	int rc = mdb_cursor_open(writer->txn, writer_dbi(writer, DB_REC), &cursor);

	if (rc != MDB_SUCCESS) {
		return writer_db_failed(writer, rc);
	}
	for (rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
	     rc == MDB_SUCCESS; rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) {
		store_works(writer);
		if (key.mv_size != INDEX_ID_SIZE) {
			rc = MDB_CORRUPTED;
			break;
		}
		index_get_id(key.mv_data, &id);
		if (id.source != source || !visit(context, &id, span_of_val(value))) {
			break;
		}
	}
	mdb_cursor_close(cursor);
	return rc == MDB_NOTFOUND ? CX_OK : writer_db_failed(writer, rc);
}

size_t store_count(struct store_writer *writer, uint8_t source, enum record_kind kind)
{
	return (size_t)writer->counts[source][kind];
}

enum status store_has_dn(struct store_writer *writer, struct span dn_key)
{
	MDB_val key = val_of(dn_key);
	MDB_val value;

	if (dn_key.len == 0 || dn_key.len > INDEX_KEY_MAX) {
		return CX_NOTFOUND;
	}
	int rc = mdb_get(writer->txn, writer_dbi(writer, INDEX_DN), &key, &value);

	return rc == MDB_NOTFOUND ? CX_NOTFOUND : writer_db_failed(writer, rc);
}

enum status store_referrers(struct store_writer *writer, struct span dn_key,
    store_visit *visit, void *context)
{
	MDB_val key = val_of(dn_key);
	MDB_val value;
	MDB_cursor *cursor;
	enum status status = CX_OK;

	if (dn_key.len == 0 || dn_key.len > INDEX_KEY_MAX) {
		return CX_OK;
	}
	int rc = mdb_cursor_open(writer->txn, writer_dbi(writer, INDEX_REF), &cursor);

	if (rc != MDB_SUCCESS) {
		return writer_db_failed(writer, rc);
	}
	for (rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_KEY); rc == MDB_SUCCESS;
	     rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT_DUP)) {
		struct record_id id;
		struct span record;

		if (value.mv_size != INDEX_VALUE_SIZE) {
			rc = MDB_CORRUPTED;
			break;
		}
		index_get_id((const uint8_t *)value.mv_data + 1, &id);
		status = store_get(writer, &id, &record);
		if (status == CX_NOTFOUND) {
			status = CX_OK; /* left over from a damaged one: nobody to read */
			continue;
		}
		if (status != CX_OK) {
			break;
		}
		if (!visit(context, &id, record)) {
			break;
		}
	}
	mdb_cursor_close(cursor);
	return status != CX_OK || rc == MDB_NOTFOUND ? status
						     : writer_db_failed(writer, rc);
}
