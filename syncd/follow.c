#include "config.h"

#include "syncd/follow.h"

#include <string.h>

#include "replica/store_write.h"
#include "replica/sync_notes.h"
#include "value/dn.h"

void follow_init(struct follow *f, const struct source *source)
{
	memset(f, 0, sizeof(*f));
	uuid_set_init(&f->referrers, source->scratch);
}

void follow_release(struct follow *f)
{
	uuid_set_release(&f->referrers);
}

struct look {
	struct source *source;
	struct store_writer *store;
	struct follow *out;
	struct uuid_set skipped;      /* known as unusable: the replica has them so */
	struct uuid_set unknown;      /* present, and not known */
	const struct uuid_set *named; /* those a complete batch speaks of */
	enum status status;
};

static bool add_referrer(void *context, const struct record_id *id, struct span record)
{
	struct look *look = context;

	(void)record;
	if (id->source == look->source->id) {
		look->status = uuid_set_add(&look->out->referrers, id->uuid);
	}
	return look->status == CX_OK;
}

/* The entry stored as `old` goes, or gets the name `dn`. */
static enum status look_at_rename(struct look *look, const struct record *old,
    struct span dn)
{
	struct span old_dn = record_first(old, TAG_DN);
	struct key from, to;
	enum status status;

	if (span_equal(old_dn, dn) || dn_key(old_dn, &from) != CX_OK ||
	    (dn.len > 0 && dn_key(dn, &to) == CX_OK && key_equal(&from, &to))) {
		return CX_OK;
	}
	if (old->kind == RECORD_CONTAINER) {
		look->out->is_container_changed = true;
		return CX_OK;
	}
	status = store_referrers(look->store, key_span(&from), add_referrer, look);
	return status == CX_NOTFOUND ? look->status : status;
}

static enum status look_at_change(struct look *look, const struct batch *batch,
    const struct change *change, const struct uuid_set *refused)
{
	struct record_id id = { .source = look->source->id };
	struct record old, new = { .kind = RECORD_RECIPIENT };
	struct span stored, dn = { NULL, 0 };
	bool is_known;
	enum status status;

	memcpy(id.uuid, change->uuid, sizeof(id.uuid));
	status = store_get(look->store, &id, &stored);
	if (status != CX_OK && status != CX_NOTFOUND) {
		return status;
	}
	is_known = status == CX_OK && record_open(stored, &old) == CX_OK;
	switch (change->kind) {
	case CHANGE_PUT:
		if (record_open(batch_record(batch, change), &new) != CX_OK) {
			return CX_OK;
		}
		dn = record_first(&new, TAG_DN);
		break;
	case CHANGE_PRESENT:
		if (!is_known && !uuid_set_has(refused, change->uuid) &&
		    !uuid_set_has(&look->skipped, change->uuid)) {
			return uuid_set_add(&look->unknown, change->uuid);
		}
		return CX_OK;
	case CHANGE_SAME:
	case CHANGE_SPARED:
	case CHANGE_UNUSABLE: return CX_OK;
	case CHANGE_NOT_OURS:
	case CHANGE_REMOVE: break;
	}
	if (is_known) {
		return look_at_rename(look, &old, dn);
	}
	if (new.kind == RECORD_CONTAINER) {
		/* It may have been moved here, with entries that are not told of. */
		look->out->is_container_changed = true;
	}
	return CX_OK;
}

static bool look_at_unnamed(void *context, const struct record_id *id,
    struct span stored)
{
	struct look *look = context;
	struct record old;

	if (!uuid_set_has(look->named, id->uuid) &&
	    record_open(stored, &old) == CX_OK) {
		look->status = look_at_rename(look, &old, (struct span){ NULL, 0 });
	}
	return look->status == CX_OK;
}

static enum status look_at_rest(struct look *look, const struct batch *batch)
{
	struct uuid_set named;
	enum status status = CX_OK;

	uuid_set_init(&named, look->source->scratch);
	for (size_t i = 0; i < batch->count && status == CX_OK; i++) {
		status = uuid_set_add(&named, batch->changes[i].uuid);
	}
	if (status == CX_OK) {
		look->named = &named;
		status =
		    store_each(look->store, look->source->id, look_at_unnamed, look);
	}
	uuid_set_release(&named);
	return status != CX_OK ? status : look->status;
}

static enum status load_skipped(struct look *look)
{
	char key[SYNC_NOTES_KEY_MAX];
	struct span list;
	struct skipped item;
	enum status status;

	sync_notes_key(key, look->source->id, SYNC_NOTES_SKIPPED);
	status = store_get_meta(look->store, key, &list);
	if (status == CX_NOTFOUND) {
		return CX_OK;
	}
	while (status == CX_OK && skipped_next(&list, &item)) {
		status = uuid_set_add(&look->skipped, item.uuid);
	}
	return status;
}

/* A changed entry is both, named as present and sent. */
static void look_for_unknown(struct look *look, const struct batch *batch)
{
	for (size_t i = 0; i < batch->count && look->unknown.count > 0; i++) {
		if (batch->changes[i].kind != CHANGE_PRESENT) {
			uuid_set_remove(&look->unknown, batch->changes[i].uuid);
		}
	}
	look->out->has_unknown = look->unknown.count > 0;
}

enum status follow_batch(struct source *source, const struct batch *batch,
    const struct uuid_set *refused, struct follow *out)
{
	struct look look = {
		.source = source, .store = source_store(source), .out = out
	};
	struct errbuf err;
	enum status status = store_begin(look.store, &err);

	if (status != CX_OK) {
		return status;
	}
	uuid_set_init(&look.skipped, source->scratch);
	uuid_set_init(&look.unknown, source->scratch);
	status = load_skipped(&look);
	for (size_t i = 0; i < batch->count && status == CX_OK; i++) {
		status = look_at_change(&look, batch, &batch->changes[i], refused);
	}
	if (status == CX_OK && batch->is_complete) {
		status = look_at_rest(&look, batch);
	}
	store_abort(look.store);
	look_for_unknown(&look, batch);
	uuid_set_release(&look.skipped);
	uuid_set_release(&look.unknown);
	return status;
}

struct known {
	struct uuid_set *out;
	enum status status;
};

static bool add_known(void *context, const struct record_id *id, struct span record)
{
	struct known *known = context;

	(void)record;
	known->status = uuid_set_add(known->out, id->uuid);
	return known->status == CX_OK;
}

enum status follow_known(struct source *source, struct uuid_set *out)
{
	struct store_writer *store = source_store(source);
	struct known known = { out, CX_OK };
	struct errbuf err;
	enum status status = store_begin(store, &err);

	if (status != CX_OK) {
		return status;
	}
	status = store_each(store, source->id, add_known, &known);
	store_abort(store);
	return status != CX_OK ? status : known.status;
}
