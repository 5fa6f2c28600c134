#include "config.h"

#include "syncd/batch.h"

#include <string.h>

void batch_init(struct batch *batch, uint8_t source, const char *directory)
{
	memset(batch, 0, sizeof(*batch));
	batch->source = source;
	buf_init(&batch->cookie);
	buf_init(&batch->agenda);
	buf_init(&batch->mark);
	spool_init(&batch->list, directory);
	spool_init(&batch->records, directory);
	uuid_set_init(&batch->told, directory);
}

void batch_release(struct batch *batch)
{
	store_load_free(batch->load);
	batch->load = NULL;
	uuid_set_release(&batch->told);
	buf_release(&batch->cookie);
	buf_release(&batch->agenda);
	buf_release(&batch->mark);
	spool_release(&batch->list);
	spool_release(&batch->records);
	batch->changes = NULL;
	batch->count = 0;
}

void batch_clear(struct batch *batch)
{
	batch->is_complete = false;
	batch->is_refresh = false;
	batch->is_full = false;
	batch->has_contact = false;
	batch->has_cookie = false;
	batch->has_agenda = false;
	batch->has_mark = false;
	batch->is_compared = false;
	store_load_free(batch->load);
	batch->load = NULL;
	uuid_set_clear(&batch->told);
	batch->changes = NULL;
	batch->count = 0;
	buf_clear(&batch->cookie);
	buf_clear(&batch->agenda);
	buf_clear(&batch->mark);
	spool_clear(&batch->list);
	spool_clear(&batch->records);
}

/* A change whose bytes, if any, are in `records` from `offset` on. */
static enum status add_change(struct batch *batch, enum change_kind kind,
    const uint8_t uuid[16], size_t offset)
{
	enum status status =
	    batch->load ? uuid_set_add(&batch->told, uuid) : CX_OK;

	if (status != CX_OK) {
		return status;
	}
	struct change *change = spool_extend(&batch->list, sizeof(*change));
	if (!change) {
		return spool_failure(&batch->list, NULL);
	}
	*change = (struct change){
		.kind = kind, .offset = offset, .len = batch->records.len - offset
	};
	memcpy(change->uuid, uuid, sizeof(change->uuid));
	batch->changes = (void *)batch->list.data;
	batch->count++;
	return CX_OK;
}

enum status batch_put(struct batch *batch, const uint8_t uuid[16], struct span record)
{
	size_t offset = batch->records.len;

	if (batch->load && !uuid_set_has(&batch->told, uuid)) {
		return store_load_put(batch->load, uuid, record);
	}
	enum status status = spool_add(&batch->records, record.ptr, record.len);
	return status == CX_OK ? add_change(batch, CHANGE_PUT, uuid, offset) : status;
}

enum status batch_same(struct batch *batch, const uint8_t uuid[16])
{
	return add_change(batch, CHANGE_SAME, uuid, batch->records.len);
}

enum status batch_remove(struct batch *batch, const uint8_t uuid[16])
{
	return add_change(batch, CHANGE_REMOVE, uuid, batch->records.len);
}

enum status batch_present(struct batch *batch, const uint8_t uuid[16])
{
	return add_change(batch, CHANGE_PRESENT, uuid, batch->records.len);
}

enum status batch_spare(struct batch *batch, const uint8_t uuid[16])
{
	return add_change(batch, CHANGE_SPARED, uuid, batch->records.len);
}

enum status batch_not_ours(struct batch *batch, const uint8_t uuid[16])
{
	return add_change(batch, CHANGE_NOT_OURS, uuid, batch->records.len);
}

enum status batch_unusable(struct batch *batch, const uint8_t uuid[16], struct span dn,
    const char *why)
{
	size_t offset = batch->records.len, why_len = strlen(why), len = 0;
	char *text = spool_extend(&batch->records, dn.len + 1 + why_len);

	if (!text) {
		return spool_failure(&batch->records, NULL);
	}
	/* A NUL in a DN would end it early for whoever reads the list. */
	for (size_t i = 0; i < dn.len; i++) {
		if (dn.ptr[i]) {
			text[len++] = dn.ptr[i];
		}
	}
	text[len++] = '\0';
	memcpy(text + len, why, why_len);
	batch->records.len = offset + len + why_len;
	return add_change(batch, CHANGE_UNUSABLE, uuid, offset);
}

struct span batch_record(const struct batch *batch, const struct change *change)
{
	return spool_at(&batch->records, change->offset, change->len);
}
