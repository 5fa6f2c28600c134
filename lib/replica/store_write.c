#include "config.h"

#include "replica/store_write.h"

#include <assert.h>
#include <string.h>

#include "replica/store_lmdb.h"

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
