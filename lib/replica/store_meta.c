#include "config.h"

#include <stdio.h>
#include <string.h>

#include "replica/store_lmdb.h"

/* The writer's values beside the data, and the table of sources. */

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
	enum status status = writer_get(writer, DB_META, key, &stored);

	if (status != CX_OK && status != CX_NOTFOUND) {
		return status;
	}
	if (span_equal(stored, value)) {
		return CX_OK;
	}
	return value.len > 0 ? writer_put(writer, DB_META, key, value)
			     : writer_delete(writer, DB_META, key);
}

enum status store_get_meta(struct store_writer *writer, const char *name,
    struct span *out)
{
	struct span key = span_of(name);

	*out = (struct span){ NULL, 0 };
	return is_own_key(key) ? CX_NOTFOUND : writer_get(writer, DB_META, key, out);
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
	int rc = mdb_cursor_open(writer->txn, writer_dbi(writer, DB_META), &cursor);

	if (rc != MDB_SUCCESS) {
		return writer_db_failed(writer, rc);
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
	return rc == MDB_NOTFOUND ? CX_OK : writer_db_failed(writer, rc);
}

static bool has_id(const struct source_info *sources, size_t count, uint8_t id)
{
	for (size_t i = 0; i < count; i++) {
		if (sources[i].id == id) {
			return true;
		}
	}
	return false;
}

/* Of those that are not somebody else by now. */
static struct source_info *find_by_name(struct store_head *head,
    const struct source_info *sources, size_t count, const char *name)
{
	for (size_t i = 0; i < head->source_count; i++) {
		if (strcmp(head->sources[i].name, name) == 0 &&
		    !has_id(sources, count, head->sources[i].id)) {
			return &head->sources[i];
		}
	}
	return NULL;
}

/* What it had not to provide before was not read: of these things nothing is known. */
static bool provides_more(const struct source_info *now, const struct source_info *before)
{
	return (now->provides_recipients && !before->provides_recipients) ||
	       (now->provides_domains && !before->provides_domains) ||
	       (now->provides_connectors && !before->provides_connectors);
}

/* Who is who: by the number given, else by name. */
static void identify_sources(struct store_head *old, struct source_info *sources,
    size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!head_find(old, sources[i].id)) {
			sources[i].id = 0;
		}
	}
	for (size_t i = 0; i < count; i++) {
		if (sources[i].id == 0) {
			struct source_info *known =
			    find_by_name(old, sources, count, sources[i].name);

			sources[i].id = known ? known->id : 0;
		}
	}
	for (size_t i = 0; i < count; i++) {
		const struct source_info *known =
		    sources[i].id ? head_find(old, sources[i].id) : NULL;

		sources[i].is_loaded =
		    known && known->is_loaded && !provides_more(&sources[i], known);
		sources[i].last_contact = known ? known->last_contact : 0;
	}
}

/* Not in the old table nor in the new one. */
static uint8_t free_number(struct store_head *old, const struct source_info *sources,
    size_t count)
{
	for (unsigned number = 1; number < 256; number++) {
		if (!head_find(old, (uint8_t)number) &&
		    !has_id(sources, count, (uint8_t)number)) {
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
			if (strcmp(sources[i].name, sources[j].name) == 0 ||
			    (sources[i].id && sources[i].id == sources[j].id)) {
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
	identify_sources(&old, sources, count);
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
	return writer_put_head(writer);
}

const struct source_info *store_sources(const struct store_writer *writer, size_t *count)
{
	*count = writer->head.source_count;
	return writer->head.sources;
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
	return writer_put_head(writer);
}
