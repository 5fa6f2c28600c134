#include "config.h"

#include "check_snapshot.h"

#include <stdio.h>
#include <string.h>

bool check_wrong(const char *what, struct span about)
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

bool check_record(struct snapshot *snapshot, struct tally *tally, MDB_val key,
    MDB_val value)
{
	struct span stored = span_of_val(value), name = span_of_val(key);
	struct record_id id;
	bool is_good = true;

	if (key.mv_size != INDEX_ID_SIZE) {
		return check_wrong("id of a record", name);
	}
	index_get_id(key.mv_data, &id);
	if (!is_named(snapshot, id.source)) {
		return check_wrong("record of no directory", name);
	}
	if (index_build(&id, stored, &tally->set) != CX_OK) {
		return check_wrong("not a record", name);
	}
	for (size_t i = 0; i < tally->set.count; i++) {
		const struct index_entry *entry = &tally->set.entries[i];
		MDB_val wanted = val_of(index_key(&tally->set, entry));
		MDB_val data = { entry->value_len, (void *)(uintptr_t)entry->value };
		MDB_cursor *cursor;

		if (mdb_cursor_open(snapshot->txn, snapshot->env->dbi[entry->kind],
			&cursor) != MDB_SUCCESS) {
			return check_wrong("no cursor", name);
		}
		if (mdb_cursor_get(cursor, &wanted, &data, MDB_GET_BOTH) !=
		    MDB_SUCCESS) {
			is_good = check_wrong("record without its key",
			    index_key(&tally->set, entry));
		}
		mdb_cursor_close(cursor);
		if (entry->kind == INDEX_SPACE &&
		    !has_shape(snapshot, index_shape(&tally->set, entry))) {
			is_good = check_wrong("space without its shape",
			    index_key(&tally->set, entry));
		}
		tally->entries[entry->kind]++;
	}
	tally->records[id.source][(unsigned char)stored.ptr[1]]++;
	tally->total++;
	return is_good;
}

/* --- One key: it has its record --- */

bool check_key(struct snapshot *snapshot, struct tally *tally, enum index_kind kind,
    MDB_val key, MDB_val value)
{
	struct span name = span_of_val(key);
	MDB_val id_key, stored;
	struct record_id id;

	if (value.mv_size < INDEX_ID_SIZE) {
		return check_wrong("value of a key", name);
	}
	id_key = (MDB_val){ INDEX_ID_SIZE,
		(char *)value.mv_data + value.mv_size - INDEX_ID_SIZE };
	index_get_id(id_key.mv_data, &id);
	if (mdb_get(snapshot->txn, snapshot->env->dbi[DB_REC], &id_key, &stored) !=
	    MDB_SUCCESS) {
		return check_wrong("key without its record", name);
	}
	if (index_build(&id, span_of_val(stored), &tally->set) != CX_OK) {
		return check_wrong("key of what is not a record", name);
	}
	for (size_t i = 0; i < tally->set.count; i++) {
		const struct index_entry *entry = &tally->set.entries[i];

		if (entry->kind == kind && entry->value_len == value.mv_size &&
		    span_equal(index_key(&tally->set, entry), name) &&
		    memcmp(entry->value, value.mv_data, value.mv_size) == 0) {
			return true;
		}
	}
	return check_wrong("key that its record does not have", name);
}

static bool check_each_key(struct snapshot *snapshot, struct tally *tally,
    enum index_kind kind)
{
	MDB_cursor *cursor;
	MDB_val key, value;
	bool is_good = true;

	if (mdb_cursor_open(snapshot->txn, snapshot->env->dbi[kind], &cursor) !=
	    MDB_SUCCESS) {
		return check_wrong("no cursor", SPAN("index"));
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
		return check_wrong("counts", span_of_val(value));
	}
	for (const uint8_t *p = value.mv_data; value.mv_size > 0;
	     p += 10, value.mv_size -= 10) {
		if (p[1] > RECORD_CONTAINER) {
			return check_wrong("counts: kind", SPAN("of record"));
		}
		memcpy(&counted[p[0]][p[1]], p + 2, 8);
	}
	return memcmp(counted, tally->records, sizeof(counted)) == 0
		   ? true
		   : check_wrong("counts", SPAN("are not those of the records"));
}

static bool check_shapes(struct snapshot *snapshot, const struct tally *tally)
{
	MDB_cursor *cursor;
	MDB_val key, value;
	size_t spaces = 0;

	if (mdb_cursor_open(snapshot->txn, snapshot->env->dbi[DB_SHAPE], &cursor) !=
	    MDB_SUCCESS) {
		return check_wrong("no cursor", SPAN("shape"));
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
		   : check_wrong("shapes", SPAN("are not those of the spaces"));
}

bool check_sources(const struct snapshot *snapshot)
{
	size_t count;
	const struct source_info *sources = snapshot_sources(snapshot, &count);

	for (size_t i = 0; i < count; i++) {
		if (sources[i].id == 0 || sources[i].name[0] == '\0') {
			return check_wrong("directory",
			    SPAN("without an id or a name"));
		}
		for (size_t j = 0; j < i; j++) {
			if (sources[i].id == sources[j].id ||
			    strcmp(sources[i].name, sources[j].name) == 0) {
				return check_wrong("directory twice",
				    span_of(sources[i].name));
			}
		}
	}
	return true;
}

bool check_whole(struct snapshot *snapshot, struct tally *tally)
{
	MDB_cursor *cursor;
	MDB_val key, value;
	bool is_good = check_sources(snapshot);

	memset(tally->entries, 0, sizeof(tally->entries));
	memset(tally->records, 0, sizeof(tally->records));
	tally->total = 0;
	if (mdb_cursor_open(snapshot->txn, snapshot->env->dbi[DB_REC], &cursor) !=
	    MDB_SUCCESS) {
		return check_wrong("no cursor", SPAN("record"));
	}
	while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == MDB_SUCCESS) {
		is_good = check_record(snapshot, tally, key, value) && is_good;
	}
	mdb_cursor_close(cursor);
	/* Each record has its keys; as many as there are, so there are no others. */
	for (unsigned kind = 0; kind < INDEX_COUNT; kind++) {
		if (entries_of(snapshot, kind) != tally->entries[kind]) {
			check_each_key(snapshot, tally, (enum index_kind)kind);
			is_good = check_wrong("index",
			    SPAN("has other keys than the records"));
		}
	}
	is_good = check_counts(snapshot, tally) && is_good;
	return check_shapes(snapshot, tally) && is_good;
}
