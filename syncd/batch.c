#include "config.h"

#include "syncd/batch.h"

#include <stdlib.h>
#include <string.h>

void batch_init(struct batch *batch, uint8_t source)
{
	memset(batch, 0, sizeof(*batch));
	batch->source = source;
	buf_init(&batch->cookie);
	buf_init(&batch->records);
}

void batch_release(struct batch *batch)
{
	free(batch->changes);
	batch->changes = NULL;
	batch->count = batch->room = 0;
	buf_release(&batch->cookie);
	buf_release(&batch->records);
}

void batch_clear(struct batch *batch)
{
	batch->is_complete = false;
	batch->is_refresh = false;
	batch->is_full = false;
	batch->has_contact = false;
	batch->has_cookie = false;
	batch->count = 0;
	buf_clear(&batch->cookie);
	buf_clear(&batch->records);
}

static struct change *add_change(struct batch *batch, enum change_kind kind,
    const uint8_t uuid[16])
{
	if (batch->count == batch->room) {
		size_t room = batch->room ? 2 * batch->room : 64;
		struct change *grown =
		    reallocarray(batch->changes, room, sizeof(*grown));

		if (!grown) {
			return NULL;
		}
		batch->changes = grown;
		batch->room = room;
	}
	struct change *change = &batch->changes[batch->count++];
	*change = (struct change){ .kind = kind };
	memcpy(change->uuid, uuid, sizeof(change->uuid));
	return change;
}

/* Takes the change back when its bytes found no room. */
static enum status finish_change(struct batch *batch, struct change *change,
    size_t offset)
{
	if (batch->records.failed) {
		batch->count--;
		return CX_ENOMEM;
	}
	change->offset = offset;
	change->len = batch->records.len - offset;
	return CX_OK;
}

enum status batch_put(struct batch *batch, const uint8_t uuid[16], struct span record)
{
	size_t offset = batch->records.len;
	struct change *change = add_change(batch, CHANGE_PUT, uuid);

	if (!change) {
		return CX_ENOMEM;
	}
	buf_add_span(&batch->records, record);
	return finish_change(batch, change, offset);
}

enum status batch_remove(struct batch *batch, const uint8_t uuid[16])
{
	return add_change(batch, CHANGE_REMOVE, uuid) ? CX_OK : CX_ENOMEM;
}

enum status batch_present(struct batch *batch, const uint8_t uuid[16])
{
	return add_change(batch, CHANGE_PRESENT, uuid) ? CX_OK : CX_ENOMEM;
}

enum status batch_spare(struct batch *batch, const uint8_t uuid[16])
{
	return add_change(batch, CHANGE_SPARED, uuid) ? CX_OK : CX_ENOMEM;
}

enum status batch_not_ours(struct batch *batch, const uint8_t uuid[16])
{
	return add_change(batch, CHANGE_NOT_OURS, uuid) ? CX_OK : CX_ENOMEM;
}

enum status batch_unusable(struct batch *batch, const uint8_t uuid[16], struct span dn,
    const char *why)
{
	size_t offset = batch->records.len;
	struct change *change = add_change(batch, CHANGE_UNUSABLE, uuid);

	if (!change) {
		return CX_ENOMEM;
	}
	/* A NUL in a DN would end it early for whoever reads the list: dropped here. */
	for (size_t i = 0; i < dn.len; i++) {
		if (dn.ptr[i]) {
			buf_add_char(&batch->records, dn.ptr[i]);
		}
	}
	buf_add_char(&batch->records, '\0');
	buf_add_text(&batch->records, why);
	return finish_change(batch, change, offset);
}

struct span batch_record(const struct batch *batch, const struct change *change)
{
	return (struct span){ batch->records.data + change->offset, change->len };
}
