#include "config.h"

#include "replica/load_run.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* In front of each record as it came. */
struct incoming_header {
	uint32_t len;
	bool is_outdated; /* another record of this uuid came later */
	uint8_t uuid[16];
};

/* In front of key, value and shape of an entry. */
struct entry_header {
	uint16_t key_len;
	uint16_t shape_len;
	uint32_t value_len;
};

struct load_run *run_new(const char *directory, unsigned number)
{
	struct load_run *run = calloc(1, sizeof(*run));

	if (run) {
		run->number = number;
		spool_init(&run->incoming, directory);
		spool_init(&run->sorted, directory);
	}
	return run;
}

void run_free(struct load_run *run)
{
	if (run) {
		spool_release(&run->incoming);
		spool_release(&run->sorted);
		free(run);
	}
}

enum status run_add(struct load_run *run, const uint8_t uuid[16], struct span record)
{
	struct incoming_header header = { .len = (uint32_t)record.len };
	char *at = spool_extend(&run->incoming, sizeof(header) + record.len);

	if (!at) {
		return spool_failure(&run->incoming, NULL);
	}
	memcpy(header.uuid, uuid, sizeof(header.uuid));
	memcpy(at, &header, sizeof(header));
	memcpy(at + sizeof(header), record.ptr, record.len);
	run->count++;
	return CX_OK;
}

static struct incoming_header incoming_at(const struct load_run *run, size_t at,
    struct span *record)
{
	struct incoming_header header;

	memcpy(&header, run->incoming.data + at, sizeof(header));
	*record = spool_at(&run->incoming, at + sizeof(header), header.len);
	return header;
}

/* --- Entries as bytes --- */

static char *put_entry(struct spool *out, const struct run_entry *entry)
{
	struct entry_header header = { (uint16_t)entry->key.len,
		(uint16_t)entry->shape.len, (uint32_t)entry->value.len };
	char *at = spool_extend(out,
	    sizeof(header) + entry->key.len + entry->value.len + entry->shape.len);

	if (!at) {
		return NULL;
	}
	char *p = memcpy(at, &header, sizeof(header));

	p += sizeof(header);
	memcpy(p, entry->key.ptr, entry->key.len);
	p += entry->key.len;
	memcpy(p, entry->value.ptr, entry->value.len);
	p += entry->value.len;
	if (entry->shape.len > 0) {
		memcpy(p, entry->shape.ptr, entry->shape.len);
	}
	return at;
}

static size_t get_entry(const char *at, struct run_entry *out)
{
	struct entry_header header;

	memcpy(&header, at, sizeof(header));
	out->key = (struct span){ at + sizeof(header), header.key_len };
	out->value = (struct span){ out->key.ptr + out->key.len, header.value_len };
	out->shape = (struct span){ out->value.ptr + out->value.len, header.shape_len };
	return sizeof(header) + header.key_len + header.value_len + header.shape_len;
}

bool run_entry_next(struct span *rest, struct run_entry *out)
{
	if (rest->len == 0) {
		return false;
	}
	size_t len = get_entry(rest->ptr, out);

	rest->ptr += len;
	rest->len -= len;
	return true;
}

struct span run_entries(const struct load_run *run, unsigned kind)
{
	size_t start = kind > 0 ? run->ends[kind - 1] : 0;

	return spool_at(&run->sorted, start, run->ends[kind] - start);
}

void run_forget(struct load_run *run, unsigned kind)
{
	size_t start = kind > 0 ? run->ends[kind - 1] : 0;

	spool_forget(&run->sorted, start, run->ends[kind] - start);
}

/* --- Sorting --- */

void sorter_init(struct run_sorter *sorter, uint8_t source, const char *directory)
{
	*sorter = (struct run_sorter){ .source = source };
	index_init(&sorter->set);
	spool_init(&sorter->bytes, directory);
	spool_init(&sorter->temp, directory);
	for (unsigned kind = 0; kind < RUN_KINDS; kind++) {
		spool_init(&sorter->items[kind], directory);
	}
}

void sorter_release(struct run_sorter *sorter)
{
	index_release(&sorter->set);
	spool_release(&sorter->bytes);
	spool_release(&sorter->temp);
	for (unsigned kind = 0; kind < RUN_KINDS; kind++) {
		spool_release(&sorter->items[kind]);
	}
}

static struct sort_item *items_of(struct run_sorter *sorter, unsigned kind,
    size_t *count)
{
	*count = sorter->items[kind].len / sizeof(struct sort_item);
	return (struct sort_item *)(void *)sorter->items[kind].data;
}

static enum status add_item(struct run_sorter *sorter, unsigned kind, size_t at)
{
	struct sort_item item = { .at = at };

	return spool_add(&sorter->items[kind], &item, sizeof(item));
}

static enum status sort_items(struct run_sorter *sorter, unsigned kind,
    const struct sort_order *order)
{
	size_t count;
	struct sort_item *items = items_of(sorter, kind, &count);

	if (count < 2) {
		return CX_OK;
	}
	spool_rewind(&sorter->temp);
	void *temp = spool_extend(&sorter->temp, count * sizeof(*items));

	if (!temp) {
		return spool_failure(&sorter->temp, NULL);
	}
	load_sort(items, temp, count, order);
	return CX_OK;
}

static struct span incoming_key(const struct sort_item *item, void *context)
{
	const struct load_run *run = context;

	return spool_at(&run->incoming,
	    item->at + offsetof(struct incoming_header, uuid), 16);
}

/* By uuid, and of one uuid as they came. */
static int compare_incoming(const struct sort_item *a, const struct sort_item *b,
    void *context)
{
	int order = span_compare(incoming_key(a, context), incoming_key(b, context));

	return order ? order : a->at < b->at ? -1 : a->at > b->at;
}

/* The records by uuid, and of each uuid the last; the others are marked. */
static enum status order_records(struct load_run *run, struct run_sorter *sorter)
{
	struct sort_order order = { incoming_key, compare_incoming, run };
	enum status status = CX_OK;

	for (size_t at = 0; at < run->incoming.len && status == CX_OK;) {
		struct span record;

		status = add_item(sorter, RUN_RECORDS, at);
		at +=
		    sizeof(struct incoming_header) + incoming_at(run, at, &record).len;
	}
	if (status == CX_OK) {
		status = sort_items(sorter, RUN_RECORDS, &order);
	}
	if (status != CX_OK) {
		return status;
	}
	size_t count, kept = 0;
	struct sort_item *items = items_of(sorter, RUN_RECORDS, &count);

	for (size_t i = 0; i < count; i++) {
		if (i + 1 == count || items[i].prefix != items[i + 1].prefix ||
		    !span_equal(incoming_key(&items[i], run),
			incoming_key(&items[i + 1], run))) {
			items[kept++] = items[i];
		} else {
			run->incoming
			    .data[items[i].at +
				  offsetof(struct incoming_header, is_outdated)] = true;
		}
	}
	sorter->items[RUN_RECORDS].len = kept * sizeof(*items);
	run->count = kept;
	return CX_OK;
}

static enum status add_entry(struct run_sorter *sorter, const struct index_entry *made)
{
	struct run_entry entry = { index_key(&sorter->set, made),
		{ (const char *)made->value, made->value_len },
		index_shape(&sorter->set, made) };
	size_t at = sorter->bytes.len;

	if (!put_entry(&sorter->bytes, &entry)) {
		return spool_failure(&sorter->bytes, NULL);
	}
	return add_item(sorter, made->kind, at);
}

/* In the order in which they came, which may be much the same as that of their keys. */
static enum status make_entries(struct load_run *run, struct run_sorter *sorter)
{
	struct record_id id = { .source = sorter->source };
	enum status status = CX_OK;
	struct span record;

	for (size_t at = 0; at < run->incoming.len && status == CX_OK;) {
		struct incoming_header header = incoming_at(run, at, &record);

		at += sizeof(header) + record.len;
		if (header.is_outdated) {
			continue;
		}
		memcpy(id.uuid, header.uuid, sizeof(id.uuid));
		status = index_build(&id, record, &sorter->set);
		for (size_t i = 0; i < sorter->set.count && status == CX_OK; i++) {
			status = add_entry(sorter, &sorter->set.entries[i]);
		}
	}
	return status;
}

static struct span entry_key(const struct sort_item *item, void *context)
{
	const struct run_sorter *sorter = context;
	struct run_entry entry;

	get_entry(sorter->bytes.data + item->at, &entry);
	return entry.key;
}

static int compare_entries(const struct sort_item *a, const struct sort_item *b,
    void *context)
{
	const struct run_sorter *sorter = context;
	struct run_entry first, second;

	get_entry(sorter->bytes.data + a->at, &first);
	get_entry(sorter->bytes.data + b->at, &second);
	int order = span_compare(first.key, second.key);

	return order ? order : span_compare(first.value, second.value);
}

static enum status sort_kind(struct load_run *run, struct run_sorter *sorter,
    unsigned kind)
{
	struct sort_order order = { entry_key, compare_entries, sorter };
	enum status status = sort_items(sorter, kind, &order);
	size_t count;
	const struct sort_item *items = items_of(sorter, kind, &count);
	struct run_entry entry;

	for (size_t i = 0; i < count && status == CX_OK; i++) {
		get_entry(sorter->bytes.data + items[i].at, &entry);
		if (!put_entry(&run->sorted, &entry)) {
			status = spool_failure(&run->sorted, NULL);
		}
	}
	run->ends[kind] = run->sorted.len;
	return status;
}

static enum status write_records(struct load_run *run, struct run_sorter *sorter)
{
	size_t count;
	const struct sort_item *items = items_of(sorter, RUN_RECORDS, &count);

	for (size_t i = 0; i < count; i++) {
		uint8_t bytes[INDEX_ID_SIZE];
		struct record_id id = { .source = sorter->source };
		struct run_entry entry = { .key = {
					       (const char *)bytes, sizeof(bytes) } };
		struct incoming_header header =
		    incoming_at(run, items[i].at, &entry.value);

		memcpy(id.uuid, header.uuid, sizeof(id.uuid));
		index_put_id(bytes, &id);
		if (!put_entry(&run->sorted, &entry)) {
			return spool_failure(&run->sorted, NULL);
		}
	}
	run->ends[RUN_RECORDS] = run->sorted.len;
	return CX_OK;
}

static void describe_failure(const struct load_run *run,
    const struct run_sorter *sorter, enum status status, struct errbuf *err)
{
	errbuf_set(err, "load: %s", status_text(status));
	spool_failure(&run->sorted, err);
	spool_failure(&sorter->bytes, err);
	spool_failure(&sorter->temp, err);
	for (unsigned kind = 0; kind < RUN_KINDS; kind++) {
		spool_failure(&sorter->items[kind], err);
	}
}

enum status run_sort(struct load_run *run, struct run_sorter *sorter,
    struct errbuf *err)
{
	spool_rewind(&sorter->bytes);
	for (unsigned kind = 0; kind < RUN_KINDS; kind++) {
		spool_rewind(&sorter->items[kind]);
	}
	enum status status = order_records(run, sorter);

	if (status == CX_OK) {
		status = make_entries(run, sorter);
	}
	for (unsigned kind = 0; kind < INDEX_COUNT && status == CX_OK; kind++) {
		status = sort_kind(run, sorter, kind);
	}
	if (status == CX_OK) {
		status = write_records(run, sorter);
	}
	if (status != CX_OK) {
		describe_failure(run, sorter, status, err);
		return status;
	}
	spool_release(&run->incoming);
	spool_seal(&run->sorted);
	return CX_OK;
}
