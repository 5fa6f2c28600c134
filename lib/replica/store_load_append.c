#include "config.h"

#include <fcntl.h>
#include <string.h>

#include "replica/store_lmdb.h"

/*
 * Appending to the databases of a new file in order of keys. LMDB would fill every page to
 * the brim, and the first change of every other record would then split one in two halves.
 * So a part of each is left free: what is left is taken by a filler, the next entry
 * begins a page, the filler goes. For that we keep account of a page as LMDB does.
 */
enum {
	PAGE_FILL_PERCENT = 88,
	PAGE_HEADER = 16,
	NODE_HEADER = 10,       /* with its place in the page's table */
	NODES_MIN = 2,          /* of which a page must have room for */
	FILLER_VALUE_MAX = 500, /* databases of several values a key take 511 bytes */
};

/* LMDB keeps what a transaction wrote in the heap until it ends. */
#define TRANSACTION_BYTES ((size_t)4 << 20)

static enum status fail(struct appender *out, int rc)
{
	return lmdb_status(rc, out->err, "new replica");
}

enum status appender_begin(struct appender *out)
{
	struct store_writer *writer = out->writer;
	enum status status = env_make_room(writer->build, false, out->err);
	MDB_stat info;

	if (status != CX_OK) {
		return status;
	}
	mdb_env_stat(writer->build->mdb, &info);
	out->page_room = info.ms_psize - PAGE_HEADER;
	out->unsaved = 0;
	writer->failure = CX_OK;
	int rc = mdb_txn_begin(writer->build->mdb, NULL, 0, &writer->txn);

	if (rc != MDB_SUCCESS) {
		writer->txn = NULL;
	}
	return fail(out, rc);
}

void appender_close(struct appender *out)
{
	if (out->cursor) {
		mdb_cursor_close(out->cursor);
		out->cursor = NULL;
	}
}

/* Has the system write what it has of the file, so that publishing it waits for little. */
static void start_writing(struct appender *out)
{
	mdb_filehandle_t fd;

	if (mdb_env_get_fd(out->writer->build->mdb, &fd) == MDB_SUCCESS) {
		(void)sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	}
}

enum status appender_commit(struct appender *out)
{
	MDB_txn *txn = out->writer->txn;

	appender_close(out);
	out->writer->txn = NULL;
	enum status status = fail(out, mdb_txn_commit(txn));

	if (status == CX_OK) {
		start_writing(out);
	}
	return status;
}

static enum status open_cursor(struct appender *out)
{
	int rc = mdb_cursor_open(out->writer->txn, writer_dbi(out->writer, out->db),
	    &out->cursor);

	if (rc != MDB_SUCCESS) {
		out->cursor = NULL;
	}
	return fail(out, rc);
}

enum status appender_open(struct appender *out, unsigned db)
{
	out->db = db;
	out->last_len = 0;
	out->used = 0;
	return open_cursor(out);
}

struct span appender_last_key(const struct appender *out)
{
	return (struct span){ out->last_key, out->last_len };
}

/* What an entry takes of a page; a large value has pages of its own. */
static size_t node_size(const struct appender *out, size_t key_len, size_t value_len)
{
	size_t size = NODE_HEADER + key_len + value_len;

	if (size > out->page_room / NODES_MIN) {
		size = NODE_HEADER + key_len + sizeof(size_t);
	}
	return size + (size & 1);
}

/*
 * Fills the page up with something that sorts between the last key and `next`. False: there
 * is no such key, which does no harm.
 */
static bool put_filler(struct appender *out, struct span next, MDB_val *key)
{
	static const char zeros[FILLER_VALUE_MAX];
	size_t room = out->page_room - out->used;
	size_t len = out->last_len + 1;

	if (len > INDEX_KEY_MAX || room < NODE_HEADER + len) {
		return false;
	}
	memcpy(out->filler, out->last_key, out->last_len);
	out->filler[out->last_len] = '\0';
	room -= NODE_HEADER + len;
	MDB_val value = { room < FILLER_VALUE_MAX ? room : FILLER_VALUE_MAX,
		(void *)(uintptr_t)zeros };

	*key = (MDB_val){ len, out->filler };
	return span_compare(span_of_val(*key), next) < 0 &&
	       mdb_cursor_put(out->cursor, key, &value, MDB_APPEND) == MDB_SUCCESS;
}

/* Puts an entry of a key that was not there before, on a new page where this one has enough. */
static int put_new_key(struct appender *out, MDB_val *key, MDB_val *value)
{
	size_t size = node_size(out, key->mv_size, value->mv_size);
	size_t used = out->used + size;
	bool is_full = used * 100 > out->page_room * PAGE_FILL_PERCENT && out->used > 0;
	MDB_val filler;

	if (used > out->page_room) {
		is_full = false;
		used = size;
	}
	is_full = is_full && put_filler(out, span_of_val(*key), &filler);
	int rc = mdb_cursor_put(out->cursor, key, value, MDB_APPEND);

	if (rc == MDB_SUCCESS && is_full) {
		rc = mdb_del(out->writer->txn, writer_dbi(out->writer, out->db),
		    &filler, NULL);
		used = size;
	}
	out->used = used;
	return rc;
}

enum status appender_add(struct appender *out, struct span key_text, struct span text)
{
	MDB_val key = val_of(key_text);
	MDB_val value = val_of(text);
	int rc;

	store_works(out->writer);
	if (key_text.len > sizeof(out->last_key)) {
		errbuf_set(out->err, "the replica in force is damaged");
		return CX_EFORMAT;
	}
	if (span_equal(key_text, appender_last_key(out))) {
		rc = mdb_cursor_put(out->cursor, &key, &value, MDB_APPENDDUP);
		out->used += text.len;
	} else {
		rc = put_new_key(out, &key, &value);
		memcpy(out->last_key, key_text.ptr, key_text.len);
		out->last_len = key_text.len;
	}
	if (rc == MDB_KEYEXIST) {
		errbuf_set(out->err, "new replica: keys are not in order");
		return CX_EFORMAT;
	}
	if (rc != MDB_SUCCESS) {
		return fail(out, rc);
	}
	out->unsaved += key_text.len + text.len + NODE_HEADER;
	if (out->unsaved < TRANSACTION_BYTES) {
		return CX_OK;
	}
	enum status status = appender_commit(out);

	if (status == CX_OK) {
		status = appender_begin(out);
	}
	return status == CX_OK ? open_cursor(out) : status;
}
