#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "replica/store_lmdb.h"

/*
 * A record that cannot be read, or is not what was written, has index entries that its bytes
 * do not tell. When it is replaced or removed, it is noted, and before the commit every
 * index is walked once for entries of such records that the new bytes do not have. The
 * numbers of records are counted anew too. Shapes of address spaces may stay counted:
 * readers then probe for a shape that nobody uses, which finds nothing.
 */

/* An entry to be deleted, as kept in a buf: this, the key, the value. */
struct stale {
	enum index_kind kind;
	size_t key_len, value_len;
};

struct repair {
	struct store_writer *writer;
	struct buf stale;
};

static int compare_ids(const void *a, const void *b)
{
	const struct record_id *left = a, *right = b;

	if (left->source != right->source) {
		return left->source < right->source ? -1 : 1;
	}
	return memcmp(left->uuid, right->uuid, sizeof(left->uuid));
}

enum status writer_suspect(struct store_writer *writer, const struct record_id *id)
{
	if (writer->suspect_count > 0 &&
	    record_id_equal(&writer->suspects[writer->suspect_count - 1], id)) {
		return CX_OK;
	}
	if (writer->suspect_count == writer->suspect_room) {
		size_t room = writer->suspect_room ? 2 * writer->suspect_room : 16;
		struct record_id *grown =
		    reallocarray(writer->suspects, room, sizeof(*grown));

		if (!grown) {
			return writer_failed(writer, CX_ENOMEM);
		}
		writer->suspects = grown;
		writer->suspect_room = room;
	}
	writer->suspects[writer->suspect_count++] = *id;
	return CX_OK;
}

/* Whether the record that is stored now has this entry. */
static enum status is_entry_of(struct store_writer *writer, const struct record_id *id,
    enum index_kind kind, struct span key, struct span value, bool *out)
{
	struct span stored;
	enum status status = store_get(writer, id, &stored);

	*out = false;
	if (status != CX_OK) {
		return status == CX_NOTFOUND ? CX_OK : status;
	}
	status = index_build(id, stored, &writer->after);
	if (status != CX_OK) {
		return writer_failed(writer, status == CX_EINVAL ? CX_EFORMAT : status);
	}
	for (size_t i = 0; i < writer->after.count && !*out; i++) {
		const struct index_entry *entry = &writer->after.entries[i];

		*out = entry->kind == kind &&
		       span_equal(index_key(&writer->after, entry), key) &&
		       span_equal((struct span){ (const char *)entry->value,
				      entry->value_len },
			   value);
	}
	return CX_OK;
}

static enum status look_at(struct repair *repair, enum index_kind kind, struct span key,
    struct span value)
{
	struct store_writer *writer = repair->writer;
	struct stale stale = { kind, key.len, value.len };
	struct record_id id;
	bool is_its_own;

	if (value.len < INDEX_ID_SIZE) {
		return CX_OK; /* another kind of damage; readers answer "don't know" */
	}
	index_get_id((const uint8_t *)value.ptr + value.len - INDEX_ID_SIZE, &id);
	if (!bsearch(&id, writer->suspects, writer->suspect_count, sizeof(id),
		compare_ids)) {
		return CX_OK;
	}
	enum status status = is_entry_of(writer, &id, kind, key, value, &is_its_own);
	if (status == CX_OK && !is_its_own) {
		buf_add(&repair->stale, &stale, sizeof(stale));
		buf_add_span(&repair->stale, key);
		buf_add_span(&repair->stale, value);
	}
	return status;
}

static enum status walk_index(struct repair *repair, enum index_kind kind)
{
	struct store_writer *writer = repair->writer;
	enum status status = CX_OK;
	MDB_cursor *cursor;
	MDB_val key, value;
	int rc = mdb_cursor_open(writer->txn, writer_dbi(writer, kind), &cursor);

	if (rc != MDB_SUCCESS) {
		return writer_db_failed(writer, rc);
	}
	while (status == CX_OK &&
	       (rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == MDB_SUCCESS) {
		status = look_at(repair, kind, span_of_val(key), span_of_val(value));
	}
	mdb_cursor_close(cursor);
	if (status != CX_OK || rc == MDB_NOTFOUND) {
		return status;
	}
	return writer_db_failed(writer, rc);
}

static enum status delete_stale(struct repair *repair)
{
	struct store_writer *writer = repair->writer;
	struct span rest = buf_span(&repair->stale);
	struct stale stale;

	if (repair->stale.failed) {
		return writer_failed(writer, CX_ENOMEM);
	}
	while (rest.len > 0) {
		memcpy(&stale, rest.ptr, sizeof(stale));
		rest.ptr += sizeof(stale);

		MDB_val key = val_of((struct span){ rest.ptr, stale.key_len });
		MDB_val value =
		    val_of((struct span){ rest.ptr + stale.key_len, stale.value_len });
		int rc =
		    mdb_del(writer->txn, writer_dbi(writer, stale.kind), &key, &value);

		if (rc != MDB_SUCCESS) {
			return writer_db_failed(writer, rc);
		}
		rest.ptr += stale.key_len + stale.value_len;
		rest.len -= sizeof(stale) + stale.key_len + stale.value_len;
	}
	return CX_OK;
}

/* Of those that can be read. */
static enum status count_anew(struct store_writer *writer)
{
	MDB_cursor *cursor;
	MDB_val key, value;
	int rc = mdb_cursor_open(writer->txn, writer_dbi(writer, DB_REC), &cursor);

	if (rc != MDB_SUCCESS) {
		return writer_db_failed(writer, rc);
	}
	memset(writer->counts, 0, sizeof(writer->counts));
	writer->are_counts_changed = true;
	while ((rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == MDB_SUCCESS) {
		struct record record;

		if (key.mv_size == INDEX_ID_SIZE &&
		    record_open(span_of_val(value), &record) == CX_OK) {
			writer->counts[*(const uint8_t *)key.mv_data][record.kind]++;
		}
	}
	mdb_cursor_close(cursor);
	return rc == MDB_NOTFOUND ? CX_OK : writer_db_failed(writer, rc);
}

enum status writer_repair(struct store_writer *writer)
{
	struct repair repair = { .writer = writer };
	enum status status = CX_OK;

	qsort(writer->suspects, writer->suspect_count, sizeof(*writer->suspects),
	    compare_ids);
	buf_init(&repair.stale);
	for (unsigned kind = 0; kind < INDEX_COUNT && status == CX_OK; kind++) {
		status = walk_index(&repair, (enum index_kind)kind);
	}
	if (status == CX_OK) {
		status = delete_stale(&repair);
	}
	if (status == CX_OK) {
		status = count_anew(writer);
	}
	buf_release(&repair.stale);
	return status;
}

size_t store_repaired(const struct store_writer *writer)
{
	return writer->suspect_count;
}
