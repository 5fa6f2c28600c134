#include "config.h"

#include "syncd/follow.h"

#include <stdlib.h>
#include <string.h>

#include "replica/store_write.h"
#include "replica/sync_notes.h"
#include "syncd/follow_parts.h"
#include "value/dn.h"

/* More than that are not read again for referring to nothing: some groups do so for good. */
#define DANGLING_MAX 500

void follow_init(struct follow *f, const struct source *source)
{
	memset(f, 0, sizeof(*f));
	uuid_set_init(&f->referrers, source->scratch);
}

void follow_release(struct follow *f)
{
	uuid_set_release(&f->referrers);
	free(f->renames);
	f->renames = NULL;
	f->rename_count = f->rename_room = 0;
}

struct look {
	struct source *source;
	struct store_writer *store;
	struct follow *out;
	const struct batch *batch;
	/* Of a batch that is not full: the last change of each entry that tells of it. */
	struct batch_latest latest;
	struct uuid_set skipped;      /* known as unusable: the replica has them so */
	struct uuid_set unknown;      /* present, and not known */
	struct uuid_set changed;      /* put by a refresh, and not what is stored */
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

static enum status add_rename(struct follow *out, const struct key *from, size_t change)
{
	if (out->rename_count == out->rename_room) {
		size_t room = out->rename_room ? 2 * out->rename_room : 16;
		void *grown = reallocarray(out->renames, room, sizeof(out->renames[0]));

		if (grown == NULL) {
			return CX_ENOMEM;
		}
		out->renames = grown;
		out->rename_room = room;
	}
	out->renames[out->rename_count].change = change;
	return follow_digest(key_span(from), out->renames[out->rename_count++].from);
}

/* The entry stored as `old` goes (change: FOLLOW_GONE), or gets the name `dn`. */
static enum status look_at_rename(struct look *look, const struct record *old,
    struct span dn, size_t change)
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
	if (!look->batch->is_full) {
		status = add_rename(look->out, &from, change);
		if (status != CX_OK) {
			return status;
		}
	}
	status = store_referrers(look->store, key_span(&from), add_referrer, look);
	return status == CX_NOTFOUND || status == CX_OK ? look->status : status;
}

static enum status look_at_present(struct look *look, const struct change *change,
    bool is_known, const struct uuid_set *refused)
{
	if (!is_known && !uuid_set_has(refused, change->uuid) &&
	    !uuid_set_has(&look->skipped, change->uuid)) {
		return uuid_set_add(&look->unknown, change->uuid);
	}
	return CX_OK;
}

static enum status look_at_put(struct look *look, const struct record *old,
    struct span stored, size_t at)
{
	const struct change *change = &look->batch->changes[at];
	struct span written = batch_record(look->batch, change);
	enum status status = CX_OK;
	struct record new;

	if (record_open(written, &new) != CX_OK ||
	    (old != NULL && span_equal(stored, written))) {
		return CX_OK;
	}
	if (look->batch->is_refresh) {
		status = uuid_set_add(&look->changed, change->uuid);
	}
	if (status == CX_OK && old != NULL) {
		return look_at_rename(look, old, record_first(&new, TAG_DN), at);
	}
	if (new.kind == RECORD_CONTAINER) {
		/* It may have been moved here, with entries that are not told of. */
		look->out->is_container_changed = true;
	}
	return status;
}

static enum status look_at_change(struct look *look, size_t at,
    const struct uuid_set *refused)
{
	const struct change *change = &look->batch->changes[at];
	struct record_id id = { .source = look->source->id };
	struct span stored = { NULL, 0 }, none = { NULL, 0 };
	struct record old;
	bool is_known;
	enum status status;

	memcpy(id.uuid, change->uuid, sizeof(id.uuid));
	status = store_get(look->store, &id, &stored);
	if (status != CX_OK && status != CX_NOTFOUND) {
		return status;
	}
	is_known = status == CX_OK && record_open(stored, &old) == CX_OK;
	switch (change->kind) {
	case CHANGE_PUT: return look_at_put(look, is_known ? &old : NULL, stored, at);
	case CHANGE_PRESENT: return look_at_present(look, change, is_known, refused);
	case CHANGE_SAME:
	case CHANGE_SPARED:
	case CHANGE_UNUSABLE: return CX_OK;
	case CHANGE_NOT_OURS:
	case CHANGE_REMOVE: break;
	}
	return is_known ? look_at_rename(look, &old, none, FOLLOW_GONE) : CX_OK;
}

static bool look_at_unnamed(void *context, const struct record_id *id,
    struct span stored)
{
	struct look *look = context;
	struct record old;

	if (!uuid_set_has(look->named, id->uuid) &&
	    record_open(stored, &old) == CX_OK) {
		look->status =
		    look_at_rename(look, &old, (struct span){ NULL, 0 }, FOLLOW_GONE);
	}
	return look->status == CX_OK;
}

static enum status look_at_rest(struct look *look)
{
	const struct batch *batch = look->batch;
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
static void look_for_unknown(struct look *look)
{
	const struct batch *batch = look->batch;

	for (size_t i = 0; i < batch->count && look->unknown.count > 0; i++) {
		if (batch->changes[i].kind != CHANGE_PRESENT) {
			uuid_set_remove(&look->unknown, batch->changes[i].uuid);
		}
	}
	look->out->has_unknown = look->unknown.count > 0;
}

static enum status look_at_changes(struct look *look, const struct uuid_set *refused)
{
	const struct batch *batch = look->batch;
	enum status status = CX_OK;

	for (size_t i = 0; i < batch->count && status == CX_OK; i++) {
		/* Where names go round in a batch, only the last word on each entry counts. */
		if (batch->is_full || batch->changes[i].kind == CHANGE_PRESENT ||
		    batch_latest_is(&look->latest, batch, i)) {
			status = look_at_change(look, i, refused);
		}
	}
	return status;
}

/* Those who are in the batch themselves, and refer to an entry of the batch by its old name. */
static enum status look_for_referrers(struct look *look)
{
	const struct batch *batch = look->batch;
	enum status status = CX_OK;
	struct uuid_set names;

	if (look->out->rename_count == 0) {
		return CX_OK;
	}
	uuid_set_init(&names, look->source->scratch);
	for (size_t i = 0; i < look->out->rename_count && status == CX_OK; i++) {
		status = uuid_set_add(&names, look->out->renames[i].from);
	}
	for (size_t i = 0; i < batch->count && status == CX_OK; i++) {
		if (batch->changes[i].kind == CHANGE_PUT &&
		    follow_names(&names, batch_record(batch, &batch->changes[i]))) {
			status =
			    uuid_set_add(&look->out->referrers, batch->changes[i].uuid);
		}
	}
	uuid_set_release(&names);
	return status;
}

static enum status add_own_name(struct uuid_set *names, struct span record)
{
	uint8_t digest[SYNC_UUID_SIZE];
	struct record opened;
	enum status status;
	struct key key;

	if (record_open(record, &opened) != CX_OK || opened.kind != RECORD_RECIPIENT ||
	    dn_key(record_first(&opened, TAG_DN), &key) != CX_OK) {
		return CX_OK;
	}
	status = follow_digest(key_span(&key), digest);
	return status == CX_OK ? uuid_set_add(names, digest) : status;
}

/*
 * A refresh may read an entry between the renaming of another one and the repair of
 * its reference to that.
 */
static enum status look_for_dangling(struct look *look)
{
	const struct batch *batch = look->batch;
	size_t before = look->out->referrers.count;
	enum status status = CX_OK;
	bool has_names = false;
	struct uuid_set names;

	if (look->changed.count == 0) {
		return CX_OK;
	}
	uuid_set_init(&names, look->source->scratch);
	for (size_t i = 0; i < batch->count && status == CX_OK; i++) {
		const struct change *change = &batch->changes[i];

		if (look->out->referrers.count - before >= DANGLING_MAX) {
			break;
		}
		if (change->kind != CHANGE_PUT ||
		    !uuid_set_has(&look->changed, change->uuid) ||
		    !follow_dangles(look->store, batch_record(batch, change), NULL)) {
			continue;
		}
		for (size_t k = 0; !has_names && k < batch->count && status == CX_OK;
		     k++) {
			if (batch->changes[k].kind == CHANGE_PUT) {
				status = add_own_name(&names,
				    batch_record(batch, &batch->changes[k]));
			}
		}
		has_names = true;
		if (status == CX_OK &&
		    follow_dangles(look->store, batch_record(batch, change), &names)) {
			status = uuid_set_add(&look->out->referrers, change->uuid);
		}
	}
	uuid_set_release(&names);
	return status;
}

static enum status look_at_all(struct look *look, const struct uuid_set *refused)
{
	enum status status;

	if ((status = load_skipped(look)) != CX_OK ||
	    (status = look_at_changes(look, refused)) != CX_OK ||
	    (status = look_for_referrers(look)) != CX_OK ||
	    (status = look_for_dangling(look)) != CX_OK) {
		return status;
	}
	look_for_unknown(look);
	return look->batch->is_complete ? look_at_rest(look) : CX_OK;
}

enum status follow_batch(struct source *source, const struct batch *batch,
    const struct uuid_set *refused, struct follow *out)
{
	struct look look = { .source = source,
		.store = source_store(source),
		.out = out,
		.batch = batch };
	struct errbuf err;
	enum status status;

	if (!batch->is_full &&
	    (status = batch_latest_init(&look.latest, batch)) != CX_OK) {
		return status;
	}
	status = store_begin(look.store, &err);
	if (status == CX_OK) {
		uuid_set_init(&look.skipped, source->scratch);
		uuid_set_init(&look.unknown, source->scratch);
		uuid_set_init(&look.changed, source->scratch);
		status = look_at_all(&look, refused);
		store_abort(look.store);
		uuid_set_release(&look.skipped);
		uuid_set_release(&look.unknown);
		uuid_set_release(&look.changed);
	}
	batch_latest_release(&look.latest);
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
