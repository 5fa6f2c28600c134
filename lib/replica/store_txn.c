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

/* A full disk is a system error, too: what it was is found out later (store_look_for_damage). */
static enum status note_damage(struct store_writer *writer, enum status status)
{
	writer->may_be_damaged |= status == CX_EFORMAT || status == CX_EIO;
	return status;
}

enum status writer_failed(struct store_writer *writer, enum status status)
{
	note_damage(writer, status);
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
		return note_damage(writer, status);
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
			return note_damage(writer, status);
		}
		rc = mdb_txn_begin(env->mdb, NULL, 0, &writer->txn);
	}
	if (rc != MDB_SUCCESS) {
		writer->txn = NULL;
		return note_damage(writer, lmdb_status(rc, err, "replica"));
	}
	status = load_head(writer);
	if (status == CX_OK) {
		status = writer_load_counts(writer);
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
		writer_store_counts(writer);
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
	return note_damage(writer, lmdb_status(rc, err, "replica"));
}

void store_abort(struct store_writer *writer)
{
	if (writer->txn) {
		mdb_txn_abort(writer->txn);
		writer->txn = NULL;
	}
}
