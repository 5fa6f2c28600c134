#include "config.h"

#include "replica/store_write.h"
#include "replica/sync_notes.h"
#include "syncd/poll_parts.h"

/* What came in a pass over everything, against what the replica holds. */

static bool visit_record(void *context, const struct record_id *id, struct span stored)
{
	struct poll_look *look = context;
	struct poll *p = look->poll;
	struct record record;
	size_t at;

	if (!uuid_set_find(&p->seen, id->uuid, &at)) {
		look->status = uuid_set_add(&p->absent, id->uuid);
	} else if (p->pass == POLL_IDENTITIES) {
		p->facts[at].is_known = true;
		if (record_open(stored, &record) != CX_OK ||
		    poll_dn_hash(record_first(&record, TAG_DN)) !=
			p->facts[at].dn_hash) {
			look->status = uuid_set_add(&p->wanted, id->uuid);
		}
	}
	return look->status == CX_OK;
}

/* Known as unusable: no record; it may be on the list and no longer there. */
static enum status compare_skipped(struct poll *p, struct span list)
{
	struct skipped item;
	enum status status = CX_OK;
	size_t at;

	while (status == CX_OK && skipped_next(&list, &item)) {
		if (uuid_set_find(&p->seen, item.uuid, &at)) {
			p->facts[at].is_known = true;
		} else if (!uuid_set_has(&p->absent, item.uuid)) {
			status = uuid_set_add(&p->absent, item.uuid);
		}
	}
	return status;
}

/* Kept back by the valve, and there again: struck off. */
static enum status compare_held(struct poll *p, struct span list)
{
	enum status status = CX_OK;
	const uint8_t *uuid;

	while (status == CX_OK && held_next(&list, &uuid)) {
		if (uuid_set_has(&p->seen, uuid)) {
			status = batch_present(&p->batch, uuid);
		}
	}
	return status;
}

static enum status compare_list(struct poll *p, struct store_writer *store,
    const char *what, enum status compare(struct poll *, struct span))
{
	char key[SYNC_NOTES_KEY_MAX];
	struct span list;
	enum status status;

	sync_notes_key(key, p->source->id, what);
	status = store_get_meta(store, key, &list);
	return status == CX_OK         ? compare(p, list)
	       : status == CX_NOTFOUND ? CX_OK
				       : status;
}

/* What came and is not known at all. */
static enum status want_unknown(struct poll *p)
{
	enum status status = CX_OK;

	for (size_t i = 0; i < p->seen.count && status == CX_OK; i++) {
		if (!p->facts[i].is_known &&
		    !uuid_set_has(p->refused, p->seen.list[i])) {
			status = uuid_set_add(&p->wanted, p->seen.list[i]);
		}
	}
	return status;
}

enum status poll_compare(struct poll *p)
{
	struct store_writer *store = source_store(p->source);
	struct poll_look look = { p, CX_OK };
	struct errbuf err;
	enum status status = store_begin(store, &err);

	if (status != CX_OK) {
		return status;
	}
	status = store_each(store, p->source->id, visit_record, &look);
	status = status == CX_OK ? look.status : status;
	if (status == CX_OK && p->pass == POLL_IDENTITIES) {
		status = compare_list(p, store, SYNC_NOTES_SKIPPED, compare_skipped);
		if (status == CX_OK) {
			status = compare_list(p, store, SYNC_NOTES_HELD, compare_held);
		}
		if (status == CX_OK) {
			status = want_unknown(p);
		}
	}
	store_abort(store);
	return status;
}
