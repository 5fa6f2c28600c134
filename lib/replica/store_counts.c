#include "config.h"

#include <string.h>

#include "replica/store_lmdb.h"

/* How many records of each kind each source has: kept with the data, so that nobody counts. */

/* What META_COUNTS holds: source (1), kind (1), number (8, as this machine has it). */
enum {
	COUNT_SIZE = 10
};

struct count {
	unsigned source, kind;
	uint64_t number;
};

/* What is cut off at the end is nothing. */
static bool next_count(struct span *rest, struct count *out)
{
	if (rest->len < COUNT_SIZE) {
		return false;
	}
	out->source = (unsigned char)rest->ptr[0];
	out->kind = (unsigned char)rest->ptr[1];
	memcpy(&out->number, rest->ptr + 2, sizeof(out->number));
	rest->ptr += COUNT_SIZE;
	rest->len -= COUNT_SIZE;
	return true;
}

enum status writer_load_counts(struct store_writer *writer)
{
	struct span stored;
	struct count count;
	enum status status = writer_get(writer, DB_META, SPAN(META_COUNTS), &stored);

	memset(writer->counts, 0, sizeof(writer->counts));
	while (next_count(&stored, &count)) {
		if (count.kind <= RECORD_CONTAINER) {
			writer->counts[count.source][count.kind] = count.number;
		}
	}
	return status == CX_NOTFOUND ? CX_OK : status;
}

enum status writer_store_counts(struct store_writer *writer)
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

enum status snapshot_count(struct snapshot *snapshot, uint8_t source,
    enum record_kind kind, uint64_t *out)
{
	struct span stored;
	struct count count;
	enum status status = snapshot_meta(snapshot, META_COUNTS, &stored);

	*out = 0;
	if (status != CX_OK) {
		return status == CX_NOTFOUND ? CX_OK : status;
	}
	while (next_count(&stored, &count)) {
		if (count.source == source && count.kind == (unsigned)kind) {
			*out = count.number;
		}
	}
	return CX_OK;
}

uint64_t snapshot_bytes(const struct snapshot *snapshot)
{
	MDB_envinfo info;
	MDB_stat stat;

	if (mdb_env_info(snapshot->env->mdb, &info) != MDB_SUCCESS ||
	    mdb_env_stat(snapshot->env->mdb, &stat) != MDB_SUCCESS) {
		return 0;
	}
	return ((uint64_t)info.me_last_pgno + 1) * stat.ms_psize;
}
