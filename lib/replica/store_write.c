#include "config.h"

#include "replica/store_write.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replica/store_lmdb.h"

static MDB_dbi dbi_of(const struct store_writer *writer, unsigned db)
{
	return writer_env(writer)->dbi[db];
}

/*
 * A failure in the middle of a change leaves record and indexes out of step: the
 * transaction is lost, whatever the caller does next.
 */
static enum status failed(struct store_writer *writer, enum status status)
{
	if (status != CX_OK && writer->failure == CX_OK) {
		writer->failure = status;
	}
	return status;
}

static enum status db_failed(struct store_writer *writer, int rc)
{
	if (rc == MDB_MAP_FULL) {
		writer->was_full = true;
	}
	return failed(writer, lmdb_status(rc, NULL, ""));
}

static enum status db_get(struct store_writer *writer, unsigned db,
    struct span key_text, struct span *out)
{
	MDB_val key = val_of(key_text);
	MDB_val value;
	int rc = mdb_get(writer->txn, dbi_of(writer, db), &key, &value);

	*out = rc == MDB_SUCCESS ? span_of_val(value) : (struct span){ NULL, 0 };
	return rc == MDB_NOTFOUND ? CX_NOTFOUND : db_failed(writer, rc);
}

static enum status db_put(struct store_writer *writer, unsigned db,
    struct span key_text, struct span text)
{
	MDB_val key = val_of(key_text);
	MDB_val value = val_of(text);

	return db_failed(writer,
	    mdb_put(writer->txn, dbi_of(writer, db), &key, &value, 0));
}

static enum status db_delete(struct store_writer *writer, unsigned db,
    struct span key_text)
{
	MDB_val key = val_of(key_text);
	int rc = mdb_del(writer->txn, dbi_of(writer, db), &key, NULL);

	return rc == MDB_NOTFOUND ? CX_NOTFOUND : db_failed(writer, rc);
}

/* --- Transactions --- */

/* What META_COUNTS holds: source (1), kind (1), number (8, as this machine has it). */
enum {
	COUNT_SIZE = 10
};

static enum status load_counts(struct store_writer *writer)
{
	struct span stored;
	enum status status = db_get(writer, DB_META, SPAN(META_COUNTS), &stored);

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
	    buf.failed ? failed(writer, CX_ENOMEM)
		       : db_put(writer, DB_META, SPAN(META_COUNTS), buf_span(&buf));

	buf_release(&buf);
	return status;
}

static enum status load_head(struct store_writer *writer)
{
	struct span stored;
	enum status status = db_get(writer, DB_META, SPAN(META_HEAD), &stored);

	if (status == CX_OK) {
		status = failed(writer, head_decode(stored, &writer->head));
	}
	return status == CX_NOTFOUND ? failed(writer, CX_EFORMAT) : status;
}

static enum status store_head_put(struct store_writer *writer)
{
	uint8_t bytes[HEAD_SIZE_MAX];
	size_t len = head_encode(&writer->head, bytes);

	return db_put(writer, DB_META, SPAN(META_HEAD),
	    (struct span){ (const char *)bytes, len });
}

enum status store_begin(struct store_writer *writer, struct errbuf *err)
{
	struct store_env *env = writer_env(writer);

	assert(!writer->txn);
	enum status status = env_make_room(env, writer->was_full, err);

	if (status != CX_OK) {
		return status;
	}
	writer->was_full = false;
	writer->failure = CX_OK;
	writer->is_changed = false;
	writer->are_counts_changed = false;
	int rc = mdb_txn_begin(env->mdb, NULL, 0, &writer->txn);

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
	if (writer->is_changed && writer->failure == CX_OK) {
		writer->head.generation++;
		store_head_put(writer);
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

/* Counts the spaces of a shape, so that readers only ask for shapes in use. */
static enum status count_shape(struct store_writer *writer, struct span shape,
    int change)
{
	struct span stored;
	uint32_t count = 0;
	enum status status = db_get(writer, DB_SHAPE, shape, &stored);

	if (status == CX_OK && stored.len == sizeof(count)) {
		memcpy(&count, stored.ptr, sizeof(count));
	} else if (status != CX_NOTFOUND) {
		return status == CX_OK ? failed(writer, CX_EFORMAT) : status;
	}
	count += (uint32_t)change;
	if (count == 0) {
		return db_delete(writer, DB_SHAPE, shape);
	}
	return db_put(writer, DB_SHAPE, shape,
	    (struct span){ (const char *)&count, sizeof(count) });
}

static enum status entry_add(struct store_writer *writer, struct index_entry *entry)
{
	MDB_val key = val_of(index_key(&writer->after, entry));
	MDB_val value = { entry->value_len, entry->value };
	int rc = mdb_put(writer->txn, dbi_of(writer, entry->kind), &key, &value,
	    MDB_NODUPDATA);

	if (rc == MDB_KEYEXIST) {
		return CX_OK;
	}
	if (rc != MDB_SUCCESS || entry->kind != INDEX_SPACE) {
		return db_failed(writer, rc);
	}
	return count_shape(writer, index_shape(&writer->after, entry), 1);
}

static enum status entry_remove(struct store_writer *writer, struct index_entry *entry)
{
	MDB_val key = val_of(index_key(&writer->before, entry));
	MDB_val value = { entry->value_len, entry->value };
	int rc = mdb_del(writer->txn, dbi_of(writer, entry->kind), &key, &value);

	if (rc == MDB_NOTFOUND) {
		return CX_OK;
	}
	if (rc != MDB_SUCCESS || entry->kind != INDEX_SPACE) {
		return db_failed(writer, rc);
	}
	return count_shape(writer, index_shape(&writer->before, entry), -1);
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

/* The entries of the stored record, which must be sound: we wrote it. */
static enum status build_before(struct store_writer *writer, const struct record_id *id,
    struct span stored)
{
	enum status status = index_build(id, stored, &writer->before);

	return failed(writer, status == CX_EINVAL ? CX_EFORMAT : status);
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
		return status == CX_EINVAL ? status : failed(writer, status);
	}
	status = db_get(writer, DB_REC, key, &stored);
	writer->before.count = 0;
	if (status == CX_OK) {
		if (span_equal(stored, record)) {
			return CX_OK;
		}
		status = build_before(writer, id, stored);
		if (status == CX_OK) {
			count_record(writer, id->source, stored, -1);
		}
	} else if (status == CX_NOTFOUND) {
		status = CX_OK;
	}
	/* From here on `stored` is no more. */
	if (status == CX_OK) {
		status = db_put(writer, DB_REC, key, record);
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
	enum status status = db_get(writer, DB_REC, key, &stored);

	if (status != CX_OK) {
		return status;
	}
	status = build_before(writer, id, stored);
	if (status != CX_OK) {
		return status;
	}
	count_record(writer, id->source, stored, -1);
	writer->after.count = 0;
	status = db_delete(writer, DB_REC, key);
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

	return db_get(writer, DB_REC, id_span(id, bytes), out);
}

enum status store_each(struct store_writer *writer, uint8_t source, store_visit *visit,
    void *context)
{
	struct record_id id = { .source = source };
	uint8_t bytes[INDEX_ID_SIZE];
	MDB_val key = val_of(id_span(&id, bytes));
	MDB_val value;
	MDB_cursor *cursor;
	int rc = mdb_cursor_open(writer->txn, dbi_of(writer, DB_REC), &cursor);

	if (rc != MDB_SUCCESS) {
		return db_failed(writer, rc);
	}
	for (rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
	     rc == MDB_SUCCESS; rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) {
		index_get_id(key.mv_data, &id);
		if (id.source != source || !visit(context, &id, span_of_val(value))) {
			break;
		}
	}
	mdb_cursor_close(cursor);
	return rc == MDB_NOTFOUND ? CX_OK : db_failed(writer, rc);
}

size_t store_count(struct store_writer *writer, uint8_t source, enum record_kind kind)
{
	return (size_t)writer->counts[source][kind];
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
	int rc = mdb_cursor_open(writer->txn, dbi_of(writer, INDEX_REF), &cursor);

	if (rc != MDB_SUCCESS) {
		return db_failed(writer, rc);
	}
	for (rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_KEY); rc == MDB_SUCCESS;
	     rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT_DUP)) {
		struct record_id id;
		struct span record;

		index_get_id((const uint8_t *)value.mv_data + 1, &id);
		status = store_get(writer, &id, &record);
		if (status != CX_OK) {
			status =
			    failed(writer, status == CX_NOTFOUND ? CX_EFORMAT : status);
			break;
		}
		if (!visit(context, &id, record)) {
			break;
		}
	}
	mdb_cursor_close(cursor);
	return status != CX_OK || rc == MDB_NOTFOUND ? status : db_failed(writer, rc);
}

/* --- Values beside the data, sources --- */

static bool is_own_key(struct span key)
{
	return span_equal(key, SPAN(META_FORMAT)) || span_equal(key, SPAN(META_HEAD)) ||
	       span_equal(key, SPAN(META_COUNTS)) || key.len == 0 ||
	       key.len > INDEX_KEY_MAX;
}

enum status store_put_meta(struct store_writer *writer, const char *name,
    struct span value)
{
	struct span key = span_of(name);
	struct span stored;

	if (is_own_key(key)) {
		return CX_EINVAL;
	}
	enum status status = db_get(writer, DB_META, key, &stored);

	if (status != CX_OK && status != CX_NOTFOUND) {
		return status;
	}
	if (span_equal(stored, value)) {
		return CX_OK;
	}
	return value.len > 0 ? db_put(writer, DB_META, key, value)
			     : db_delete(writer, DB_META, key);
}

enum status store_get_meta(struct store_writer *writer, const char *name,
    struct span *out)
{
	struct span key = span_of(name);

	*out = (struct span){ NULL, 0 };
	return is_own_key(key) ? CX_NOTFOUND : db_get(writer, DB_META, key, out);
}

/* The first record of a source. */
static bool note_first(void *context, const struct record_id *id, struct span record)
{
	struct record_id *out = context;

	(void)record;
	*out = *id;
	return false;
}

/* Its records, and what is kept under "src/N/": the number may be given again. */
static enum status forget_source(struct store_writer *writer, uint8_t source)
{
	enum status status = CX_OK;
	MDB_cursor *cursor;
	MDB_val key, value;
	char prefix[16];
	size_t len = (size_t)snprintf(prefix, sizeof(prefix), "src/%u/", source);

	while (status == CX_OK) {
		struct record_id id = { .source = 0 };
		struct record_id none = id;

		status = store_each(writer, source, note_first, &id);
		if (status != CX_OK || record_id_equal(&id, &none)) {
			break;
		}
		status = store_remove(writer, &id);
	}
	if (status != CX_OK) {
		return status;
	}
	int rc = mdb_cursor_open(writer->txn, dbi_of(writer, DB_META), &cursor);

	if (rc != MDB_SUCCESS) {
		return db_failed(writer, rc);
	}
	for (;;) {
		key = (MDB_val){ len, prefix };
		rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
		if (rc != MDB_SUCCESS || key.mv_size < len ||
		    memcmp(key.mv_data, prefix, len) != 0) {
			break;
		}
		rc = mdb_cursor_del(cursor, 0);
		if (rc != MDB_SUCCESS) {
			break;
		}
	}
	mdb_cursor_close(cursor);
	return rc == MDB_NOTFOUND ? CX_OK : db_failed(writer, rc);
}

static struct source_info *find_by_name(struct store_head *head, const char *name)
{
	for (size_t i = 0; i < head->source_count; i++) {
		if (strcmp(head->sources[i].name, name) == 0) {
			return &head->sources[i];
		}
	}
	return NULL;
}

/* Not in the old table nor in the new one. */
static uint8_t free_number(struct store_head *old, const struct source_info *sources,
    size_t count)
{
	for (unsigned number = 1; number < 256; number++) {
		bool is_free = !head_find(old, (uint8_t)number);

		for (size_t i = 0; i < count && is_free; i++) {
			is_free = sources[i].id != number;
		}
		if (is_free) {
			return (uint8_t)number;
		}
	}
	return 0; /* cannot be: there are 255 for twice STORE_SOURCES_MAX */
}

static bool are_names_good(const struct source_info *sources, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (sources[i].name[0] == '\0' ||
		    !memchr(sources[i].name, '\0', sizeof(sources[i].name))) {
			return false;
		}
		for (size_t j = 0; j < i; j++) {
			if (strcmp(sources[i].name, sources[j].name) == 0) {
				return false;
			}
		}
	}
	return count <= STORE_SOURCES_MAX;
}

enum status store_set_sources(struct store_writer *writer, struct source_info *sources,
    size_t count)
{
	struct store_head old = writer->head;
	uint8_t before[HEAD_SIZE_MAX], after[HEAD_SIZE_MAX];
	size_t before_len = head_encode(&old, before);
	enum status status = CX_OK;

	if (!are_names_good(sources, count)) {
		return CX_EINVAL;
	}
	for (size_t i = 0; i < count; i++) {
		struct source_info *known = find_by_name(&old, sources[i].name);

		sources[i].id = known ? known->id : 0;
		sources[i].is_loaded = known && known->is_loaded;
		sources[i].last_contact = known ? known->last_contact : 0;
	}
	for (size_t i = 0; i < count; i++) {
		if (sources[i].id == 0) {
			sources[i].id = free_number(&old, sources, count);
		}
	}
	memcpy(writer->head.sources, sources, count * sizeof(*sources));
	writer->head.source_count = count;
	for (size_t i = 0; i < old.source_count && status == CX_OK; i++) {
		if (!head_find(&writer->head, old.sources[i].id)) {
			status = forget_source(writer, old.sources[i].id);
		}
	}
	size_t after_len = head_encode(&writer->head, after);

	if (status != CX_OK ||
	    (before_len == after_len && memcmp(before, after, after_len) == 0)) {
		return status;
	}
	writer->is_changed = true;
	return store_head_put(writer);
}

enum status store_set_contact(struct store_writer *writer, uint8_t source, int64_t when,
    bool is_loaded)
{
	struct source_info *info = head_find(&writer->head, source);

	if (!info) {
		return CX_NOTFOUND;
	}
	info->last_contact = when;
	info->is_loaded = info->is_loaded || is_loaded;
	return store_head_put(writer);
}
