#include "config.h"

#include "replica/store_load_streams.h"

#include <stdlib.h>
#include <string.h>

/* At the end of every value; of a record it is the key. */
static const uint8_t *id_of(const struct merge *merge, const struct run_entry *entry)
{
	struct span in = merge->db == DB_REC ? entry->key : entry->value;

	return in.len < INDEX_ID_SIZE
		   ? NULL
		   : (const uint8_t *)in.ptr + in.len - INDEX_ID_SIZE;
}

static int compare_uuid(const void *a, const void *b)
{
	return memcmp(a, b, 16);
}

/* Of a record that came again in a later run. */
static bool is_outdated(const struct merge *merge, const struct stream *stream)
{
	if (merge->winners.len == 0 || !stream->run || merge->db == DB_REC) {
		return false;
	}
	const struct winner *found =
	    bsearch(id_of(merge, &stream->entry) + 1, merge->winners.data,
		merge->winners.len / sizeof(*found), sizeof(*found), compare_uuid);

	return found && found->run != stream->run->number;
}

/* Of the file in force, with its id. */
static bool is_left_out(const struct merge *merge, const struct run_entry *entry,
    const uint8_t *id)
{
	static const uint8_t kinds_of[INDEX_COUNT] = {
		[INDEX_ADDR] = RECORD_RECIPIENT,
		[INDEX_LOGIN] = RECORD_RECIPIENT,
		[INDEX_DN] = RECORD_RECIPIENT,
		[INDEX_REF] = RECORD_RECIPIENT,
		[INDEX_DOMAIN] = RECORD_DOMAIN,
		[INDEX_CONNECTOR] = RECORD_CONNECTOR,
		[INDEX_SPACE] = RECORD_CONNECTOR,
		[INDEX_NET] = RECORD_CONNECTOR,
		[INDEX_CERT] = RECORD_CONNECTOR,
	};
	unsigned kinds = merge->left_out.kinds[id[0]];
	unsigned kind = 0;

	if (kinds == 0 || kinds == STORE_EVERYTHING) {
		return kinds != 0;
	}
	if (merge->db != DB_REC) {
		kind = kinds_of[merge->db];
	} else if (entry->value.len > 1) {
		kind = (unsigned char)entry->value.ptr[1];
	}
	return kind <= RECORD_CONTAINER && (kinds >> kind & 1);
}

/* The next entry of the file in force that stays. CX_NOTFOUND: none. */
static enum status live_next(struct merge *merge, struct stream *stream)
{
	MDB_val key, value;
	int rc;

	while ((rc = mdb_cursor_get(stream->cursor, &key, &value, stream->op)) ==
	       MDB_SUCCESS) {
		stream->op = MDB_NEXT;
		stream->entry = (struct run_entry){ span_of_val(key),
			span_of_val(value), { NULL, 0 } };
		const uint8_t *id = id_of(merge, &stream->entry);

		/* Damage is not ours to judge: it may be another's. */
		if (!id || !is_left_out(merge, &stream->entry, id)) {
			return CX_OK;
		}
	}
	return rc == MDB_NOTFOUND ? CX_NOTFOUND
				  : lmdb_status(rc, merge->err, "replica in force");
}

static enum status stream_next(struct merge *merge, struct stream *stream)
{
	if (!stream->run) {
		return live_next(merge, stream);
	}
	do {
		if (!run_entry_next(&stream->rest, &stream->entry)) {
			return CX_NOTFOUND;
		}
	} while (is_outdated(merge, stream));
	return CX_OK;
}

/* By key and value; of records of one uuid the last first. */
static int compare_streams(const struct merge *merge, const struct stream *a,
    const struct stream *b)
{
	int order = span_compare(a->entry.key, b->entry.key);

	if (order != 0) {
		return order;
	}
	if (merge->db != DB_REC) {
		return span_compare(a->entry.value, b->entry.value);
	}
	return a->run && b->run ? (a->run->number > b->run->number ? -1 : 1) : 0;
}

/* Puts the stream at `at` where it belongs; all below are in order. */
static void heap_sink(struct merge *merge, size_t at)
{
	struct stream **heap = merge->heap;
	struct stream *sinking = heap[at];

	for (;;) {
		size_t child = 2 * at + 1;

		if (child >= merge->heap_count) {
			break;
		}
		if (child + 1 < merge->heap_count &&
		    compare_streams(merge, heap[child + 1], heap[child]) < 0) {
			child++;
		}
		if (compare_streams(merge, sinking, heap[child]) <= 0) {
			break;
		}
		heap[at] = heap[child];
		at = child;
	}
	heap[at] = sinking;
}

enum status streams_advance(struct merge *merge)
{
	enum status status = stream_next(merge, merge->heap[0]);

	if (status == CX_NOTFOUND) {
		merge->heap[0] = merge->heap[--merge->heap_count];
		status = CX_OK;
	}
	if (status == CX_OK && merge->heap_count > 1) {
		heap_sink(merge, 0);
	}
	return status;
}

static enum status add_stream(struct merge *merge, struct stream *stream)
{
	enum status status = stream_next(merge, stream);

	if (status == CX_OK) {
		merge->heap[merge->heap_count++] = stream;
	}
	return status == CX_NOTFOUND ? CX_OK : status;
}

enum status streams_open(struct merge *merge, unsigned kind)
{
	enum status status = CX_OK;

	merge->heap_count = 0;
	for (size_t i = 0; i < merge->run_count && status == CX_OK; i++) {
		struct stream *stream = &merge->streams[i];

		*stream = (struct stream){ .run = merge->runs[i],
			.rest = run_entries(merge->runs[i], kind) };
		status = add_stream(merge, stream);
	}
	if (status == CX_OK && merge->has_others) {
		struct stream *stream = &merge->streams[merge->run_count];
		MDB_cursor *cursor;
		int rc = mdb_cursor_open(merge->live,
		    merge->writer->live->dbi[merge->db], &cursor);

		if (rc != MDB_SUCCESS) {
			return lmdb_status(rc, merge->err, "replica in force");
		}
		*stream = (struct stream){ .cursor = cursor, .op = MDB_FIRST };
		status = add_stream(merge, stream);
	}
	for (size_t i = merge->heap_count / 2; i-- > 0;) {
		heap_sink(merge, i);
	}
	return status;
}

void streams_close(struct merge *merge)
{
	struct stream *live = &merge->streams[merge->run_count];

	if (live->cursor) {
		mdb_cursor_close(live->cursor);
	}
	live->cursor = NULL;
}
