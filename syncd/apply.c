#include "config.h"

#include "syncd/apply.h"

#include <stdlib.h>

#include "replica/sync_notes.h"
#include "syncd/apply_plan.h"

/* What proves contact and nothing else is written this often. */
#define CONTACT_INTERVAL_S 30
/* The same for a cookie that came with no changes. */
#define COOKIE_INTERVAL_S 10
/* A refresh that changes as much goes into a new file. */
#define BUILD_CHANGES 10000
/* The map doubles each time it is full. */
#define TRIES_MAX 8

/* What is remembered of a source between batches. */
struct apply_state {
	bool is_loaded;
	int64_t contact; /* as stored */
	int64_t cookie_written;
	bool has_cookie; /* one that is newer than the stored one */
	struct buf cookie;
};

struct apply {
	struct store_writer *store;
	struct apply_state states[256];
};

enum status apply_open(const char *directory, struct apply **out, bool *is_new,
    struct errbuf *err)
{
	struct apply *apply = calloc(1, sizeof(*apply));
	bool dummy;

	*out = NULL;
	if (!apply) {
		errbuf_set(err, "%s", status_text(CX_ENOMEM));
		return CX_ENOMEM;
	}
	for (size_t i = 0; i < 256; i++) {
		buf_init(&apply->states[i].cookie);
	}
	enum status status =
	    store_writer_open(directory, &apply->store, is_new ? is_new : &dummy, err);
	if (status != CX_OK) {
		apply->store = NULL;
		apply_close(apply);
		return status;
	}
	*out = apply;
	return CX_OK;
}

void apply_close(struct apply *apply)
{
	if (!apply) {
		return;
	}
	if (apply->store) {
		store_writer_close(apply->store);
	}
	for (size_t i = 0; i < 256; i++) {
		buf_release(&apply->states[i].cookie);
	}
	free(apply);
}

struct store_writer *apply_store(struct apply *apply)
{
	return apply->store;
}

void apply_housekeeping(struct apply *apply)
{
	store_check_readers(apply->store);
}

/* --- Small things kept beside the data --- */

static enum status get_note(struct apply *apply, uint8_t source, const char *what,
    struct buf *out)
{
	char key[SYNC_NOTES_KEY_MAX];
	struct span value;

	buf_clear(out);
	sync_notes_key(key, source, what);
	enum status status = store_get_meta(apply->store, key, &value);
	if (status == CX_OK) {
		buf_add_span(out, value);
	}
	if (out->failed) {
		return CX_ENOMEM;
	}
	return status == CX_NOTFOUND ? CX_OK : status;
}

/* Writes what is not there like that already; *changed is set, never cleared. */
static enum status put_note(struct apply *apply, uint8_t source, const char *what,
    struct span value, bool *changed)
{
	char key[SYNC_NOTES_KEY_MAX];
	struct span old = { NULL, 0 };

	sync_notes_key(key, source, what);
	enum status status = store_get_meta(apply->store, key, &old);
	if (status != CX_OK && status != CX_NOTFOUND) {
		return status;
	}
	if (span_equal(old, value)) {
		return CX_OK;
	}
	*changed = true;
	return store_put_meta(apply->store, key, value);
}

/* --- Directories of the configuration --- */

struct kind_visit {
	enum record_kind kind;
	struct record_id *ids;
	size_t count, room;
	bool failed;
};

static bool visit_kind(void *context, const struct record_id *id, struct span stored)
{
	struct kind_visit *visit = context;
	struct record record;

	if (record_open(stored, &record) != CX_OK || record.kind != visit->kind) {
		return true;
	}
	if (visit->count == visit->room) {
		size_t room = visit->room ? 2 * visit->room : 64;
		struct record_id *grown =
		    reallocarray(visit->ids, room, sizeof(*grown));

		if (!grown) {
			visit->failed = true;
			return false;
		}
		visit->ids = grown;
		visit->room = room;
	}
	visit->ids[visit->count++] = *id;
	return true;
}

/* What the administrator no longer wants of a directory goes, with no valve. */
static enum status remove_kind(struct apply *apply, uint8_t source,
    enum record_kind kind)
{
	struct kind_visit visit = { .kind = kind };

	if (store_count(apply->store, source, kind) == 0) {
		return CX_OK;
	}
	enum status status = store_each(apply->store, source, visit_kind, &visit);
	if (status == CX_OK && visit.failed) {
		status = CX_ENOMEM;
	}
	for (size_t i = 0; i < visit.count && status == CX_OK; i++) {
		status = store_remove(apply->store, &visit.ids[i]);
	}
	free(visit.ids);
	return status;
}

enum status apply_sources(struct apply *apply, struct source_info *sources,
    size_t count, struct errbuf *err)
{
	enum status status = store_begin(apply->store, err);

	if (status != CX_OK) {
		return status;
	}
	status = store_set_sources(apply->store, sources, count);
	for (size_t i = 0; i < count && status == CX_OK; i++) {
		const struct source_info *source = &sources[i];

		if (!source->provides_recipients) {
			status = remove_kind(apply, source->id, RECORD_RECIPIENT);
		}
		if (!source->provides_domains && status == CX_OK) {
			status = remove_kind(apply, source->id, RECORD_DOMAIN);
		}
		if (!source->provides_connectors && status == CX_OK) {
			status = remove_kind(apply, source->id, RECORD_CONNECTOR);
		}
	}
	if (status != CX_OK) {
		store_abort(apply->store);
		errbuf_set(err, "replica: %s", status_text(status));
		return status;
	}
	status = store_commit(apply->store, err);
	for (size_t i = 0; i < count && status == CX_OK; i++) {
		struct apply_state *state = &apply->states[sources[i].id];

		state->is_loaded = sources[i].is_loaded;
		state->contact = sources[i].last_contact;
		state->has_cookie = false;
		state->cookie_written = 0;
	}
	return status;
}

/* --- Batches --- */

/* One attempt at a batch. */
struct attempt {
	struct apply *apply;
	const struct apply_source *source;
	const struct batch *batch;
	int64_t now;
	struct plan plan;
	struct valve valve;
	struct buf held, skipped; /* as stored */
	bool is_changed;          /* something that must be written now */
	bool is_building, wants_new_file;
	struct apply_outcome outcome;
};

static enum status put_records(struct attempt *attempt)
{
	struct record_id id = { .source = attempt->batch->source };
	enum status status = CX_OK;

	for (size_t i = 0; i < attempt->plan.effect_count && status == CX_OK; i++) {
		const struct effect *effect = &attempt->plan.effects[i];
		bool changed = false;

		if (!effect->is_changed) {
			continue;
		}
		memcpy(id.uuid, effect->change->uuid, sizeof(id.uuid));
		status = store_put(attempt->apply->store, &id,
		    batch_record(attempt->batch, effect->change), &changed);
		attempt->outcome.changed += changed;
		attempt->is_changed |= changed;
	}
	return status;
}

static int compare_removals(const void *a, const void *b)
{
	return memcmp(((const struct removal *)a)->uuid,
	    ((const struct removal *)b)->uuid, 16);
}

static enum status remove_records(struct attempt *attempt)
{
	struct plan *plan = &attempt->plan;
	struct record_id id = { .source = attempt->batch->source };
	enum status status = CX_OK;
	struct buf held;

	if (plan->removal_count) {
		qsort(plan->removals, plan->removal_count, sizeof(*plan->removals),
		    compare_removals);
	}
	buf_init(&held);
	for (size_t i = 0; i < plan->removal_count && status == CX_OK; i++) {
		const struct removal *removal = &plan->removals[i];

		if (removal->fate == REMOVAL_HOLD) {
			buf_add(&held, removal->uuid, sizeof(removal->uuid));
			attempt->outcome.newly_held += !removal->was_held;
			continue;
		}
		memcpy(id.uuid, removal->uuid, sizeof(id.uuid));
		status = store_remove(attempt->apply->store, &id);
		attempt->outcome.removed++;
		attempt->is_changed = true;
	}
	attempt->outcome.held = held_count(buf_span(&held));
	if (status == CX_OK) {
		status = held.failed
			     ? CX_ENOMEM
			     : put_note(attempt->apply, id.source, SYNC_NOTES_HELD,
				   buf_span(&held), &attempt->is_changed);
	}
	buf_release(&held);
	return status;
}

static void add_skipped(struct buf *list, size_t *count, struct skipped item)
{
	if ((*count)++ >= SYNC_NOTES_SKIPPED_TEXTS) {
		item.dn = item.why = (struct span){ NULL, 0 };
	}
	skipped_add(list, &item);
}

static void add_skipped_change(struct buf *list, size_t *count,
    const struct batch *batch, const struct change *change)
{
	struct span text = batch_record(batch, change);
	const char *end = memchr(text.ptr, '\0', text.len);
	size_t dn_len = end ? (size_t)(end - text.ptr) : text.len;
	struct skipped item = {
		.uuid = change->uuid,
		.dn = { text.ptr, dn_len },
	};

	if (end) {
		item.why = (struct span){ end + 1, text.len - dn_len - 1 };
	}
	add_skipped(list, count, item);
}

/* The old list and the batch's, both by uuid, become the new one. */
static enum status merge_skipped(struct attempt *attempt)
{
	const struct plan *plan = &attempt->plan;
	struct span rest = buf_span(&attempt->skipped);
	struct skipped item;
	bool has_item = skipped_next(&rest, &item);
	struct buf list;
	size_t next = 0, count = 0;

	buf_init(&list);
	while (has_item || next < plan->effect_count) {
		const struct change *change =
		    next < plan->effect_count ? plan->effects[next].change : NULL;
		int order = !change     ? -1
			    : !has_item ? 1
					: memcmp(item.uuid, change->uuid, 16);

		if (order < 0) {
			/* Not spoken of: of a complete batch, it is no longer there. */
			if (!attempt->batch->is_complete) {
				add_skipped(&list, &count, item);
			}
		} else if (change->kind == CHANGE_UNUSABLE) {
			add_skipped_change(&list, &count, attempt->batch, change);
		} else if (change->kind == CHANGE_PRESENT && order == 0) {
			add_skipped(&list, &count, item);
		}
		if (order <= 0) {
			has_item = skipped_next(&rest, &item);
		}
		if (order >= 0) {
			next++;
		}
	}
	attempt->outcome.skipped = count;
	enum status status =
	    list.failed
		? CX_ENOMEM
		: put_note(attempt->apply, attempt->batch->source, SYNC_NOTES_SKIPPED,
		      buf_span(&list), &attempt->is_changed);
	buf_release(&list);
	return status;
}

static enum status read_notes(struct attempt *attempt)
{
	uint8_t source = attempt->batch->source;
	struct buf removals;
	enum status status;

	buf_init(&removals);
	if ((status = get_note(attempt->apply, source, SYNC_NOTES_HELD,
		 &attempt->held)) == CX_OK &&
	    (status = get_note(attempt->apply, source, SYNC_NOTES_SKIPPED,
		 &attempt->skipped)) == CX_OK &&
	    (status = get_note(attempt->apply, source, SYNC_NOTES_REMOVALS,
		 &removals)) == CX_OK) {
		valve_read(&attempt->valve, buf_span(&removals));
	}
	buf_release(&removals);
	return status;
}

static enum status write_valve(struct attempt *attempt)
{
	bool is_changed = false;
	enum status status;
	struct buf removals;

	/* Old minutes go with the next removal: they alone are no reason to write. */
	if (attempt->plan.counted == 0) {
		return CX_OK;
	}
	buf_init(&removals);
	valve_write(&attempt->valve, &removals);
	status = removals.failed
		     ? CX_ENOMEM
		     : put_note(attempt->apply, attempt->batch->source,
			   SYNC_NOTES_REMOVALS, buf_span(&removals), &is_changed);
	buf_release(&removals);
	return status;
}

/* The newest cookie there is, and the request that it is good for. */
static enum status write_cookie(struct attempt *attempt)
{
	const struct batch *batch = attempt->batch;
	const struct apply_state *state = &attempt->apply->states[batch->source];
	struct span cookie =
	    buf_span(batch->has_cookie ? &batch->cookie : &state->cookie);
	bool is_changed = false;

	if (!batch->has_cookie && !state->has_cookie) {
		return CX_OK;
	}
	enum status status = put_note(attempt->apply, batch->source, SYNC_NOTES_COOKIE,
	    cookie, &is_changed);
	if (status == CX_OK) {
		status = put_note(attempt->apply, batch->source, SYNC_NOTES_CONFHASH,
		    (struct span){ (const char *)attempt->source->confhash,
			sizeof(attempt->source->confhash) },
		    &is_changed);
	}
	return status;
}

static bool wants_new_file(const struct attempt *attempt)
{
	const struct plan *plan = &attempt->plan;
	const struct apply_state *state =
	    &attempt->apply->states[attempt->batch->source];

	if (!attempt->batch->is_complete || attempt->is_building) {
		return false;
	}
	return !state->is_loaded ||
	       plan->put_count + plan->removal_count >= BUILD_CHANGES;
}

static bool is_due(int64_t last, int64_t interval, int64_t now)
{
	return last > now || now - last >= interval;
}

/* Nothing changed: is it time to write that we are in step? */
static bool is_heartbeat_due(const struct attempt *attempt)
{
	const struct batch *batch = attempt->batch;
	const struct apply_state *state = &attempt->apply->states[batch->source];

	if (batch->is_complete || batch->is_refresh) {
		return true;
	}
	return (batch->has_contact &&
		   is_due(state->contact, CONTACT_INTERVAL_S, attempt->now)) ||
	       ((batch->has_cookie || state->has_cookie) &&
		   is_due(state->cookie_written, COOKIE_INTERVAL_S, attempt->now));
}

/* Between store_begin() and the end of the transaction; nothing yet if wants_new_file. */
static enum status attempt_fill(struct attempt *attempt)
{
	struct apply *apply = attempt->apply;
	const struct batch *batch = attempt->batch;
	enum status status;

	attempt->outcome = (struct apply_outcome){ .changed = 0 };
	attempt->is_changed = false;
	if ((status = read_notes(attempt)) != CX_OK ||
	    (status = plan_compare(&attempt->plan, apply->store, batch,
		 buf_span(&attempt->held), buf_span(&attempt->skipped))) != CX_OK) {
		return status;
	}
	attempt->wants_new_file = wants_new_file(attempt);
	if (attempt->wants_new_file) {
		return CX_OK;
	}
	plan_judge(&attempt->plan, batch, &attempt->valve,
	    attempt->source->max_delete_percent, attempt->now);
	attempt->outcome.unknown_present = attempt->plan.unknown_present;
	if ((status = put_records(attempt)) != CX_OK ||
	    (status = remove_records(attempt)) != CX_OK ||
	    (status = merge_skipped(attempt)) != CX_OK ||
	    (status = write_valve(attempt)) != CX_OK ||
	    (status = write_cookie(attempt)) != CX_OK) {
		return status;
	}
	if (batch->has_contact) {
		status = store_set_contact(apply->store, batch->source, attempt->now,
		    batch->is_complete);
	}
	return status;
}

/* What the committed transaction means for the next. */
static void remember(struct attempt *attempt)
{
	const struct batch *batch = attempt->batch;
	struct apply_state *state = &attempt->apply->states[batch->source];

	if (batch->has_contact) {
		state->contact = attempt->now;
		state->is_loaded |= batch->is_complete;
	}
	if (batch->has_cookie || state->has_cookie) {
		state->cookie_written = attempt->now;
		state->has_cookie = false;
		buf_clear(&state->cookie);
	}
}

/* Nothing is written now; the cookie must not be forgotten. */
static enum status put_off(struct attempt *attempt)
{
	const struct batch *batch = attempt->batch;
	struct apply_state *state = &attempt->apply->states[batch->source];

	if (batch->has_cookie) {
		buf_clear(&state->cookie);
		buf_add_span(&state->cookie, buf_span(&batch->cookie));
		state->has_cookie = !state->cookie.failed;
	}
	return CX_OK;
}

static enum status attempt_once(struct attempt *attempt, struct errbuf *err)
{
	struct store_writer *store = attempt->apply->store;
	enum status status = store_begin(store, err);

	if (status != CX_OK) {
		return status;
	}
	status = attempt_fill(attempt);
	if (status == CX_OK && attempt->wants_new_file) {
		store_abort(store);
		status = store_writer_build(store, err);
		if (status != CX_OK) {
			return status;
		}
		attempt->is_building = true;
		status = store_begin(store, err);
		if (status != CX_OK) {
			return status;
		}
		status = attempt_fill(attempt);
	}
	if (status == CX_OK && !attempt->is_changed && !is_heartbeat_due(attempt)) {
		store_abort(store);
		return put_off(attempt);
	}
	/* A failure within is only named by the commit, which also makes room for the next try. */
	if (status != CX_OK) {
		errbuf_set(err, "replica: %s", status_text(status));
		store_abort(store);
		return status;
	}
	status = store_commit(store, err);
	if (status == CX_OK && attempt->is_building) {
		status = store_writer_publish(store, err);
	}
	if (status == CX_OK) {
		remember(attempt);
	}
	return status;
}

enum status apply_batch(struct apply *apply, const struct apply_source *source,
    const struct batch *batch, int64_t now, struct apply_outcome *outcome,
    struct errbuf *err)
{
	struct attempt attempt = {
		.apply = apply, .source = source, .batch = batch, .now = now
	};
	enum status status;

	*outcome = (struct apply_outcome){ .changed = 0 };
	/* Most heartbeats end here, with no transaction. */
	if (batch->count == 0 && !is_heartbeat_due(&attempt)) {
		return put_off(&attempt);
	}
	plan_init(&attempt.plan);
	buf_init(&attempt.held);
	buf_init(&attempt.skipped);
	status = plan_effects(&attempt.plan, batch);
	if (status != CX_OK) {
		errbuf_set(err, "%s", status_text(status));
	}
	for (int i = 0; status == CX_OK; i++) {
		status = attempt_once(&attempt, err);
		if (status != CX_OK && attempt.is_building) {
			store_writer_discard(apply->store);
			attempt.is_building = false;
		}
		if (status != CX_ETEMP || i == TRIES_MAX) {
			break;
		}
		status = CX_OK;
	}
	if (status == CX_OK) {
		*outcome = attempt.outcome;
	}
	plan_release(&attempt.plan);
	buf_release(&attempt.held);
	buf_release(&attempt.skipped);
	return status;
}

/* --- What people and sources ask --- */

enum status apply_accept(struct apply *apply, uint8_t source, size_t *removed,
    struct errbuf *err)
{
	struct record_id id = { .source = source };
	const uint8_t *uuid;
	bool is_changed = false;
	struct buf held;
	enum status status = store_begin(apply->store, err);

	*removed = 0;
	if (status != CX_OK) {
		return status;
	}
	buf_init(&held);
	status = get_note(apply, source, SYNC_NOTES_HELD, &held);
	if (status == CX_OK && held.len == 0) {
		status = CX_NOTFOUND;
	}
	for (struct span rest = buf_span(&held);
	     status == CX_OK && held_next(&rest, &uuid);) {
		memcpy(id.uuid, uuid, sizeof(id.uuid));
		status = store_remove(apply->store, &id);
		*removed += status == CX_OK;
		status = status == CX_NOTFOUND ? CX_OK : status;
	}
	buf_release(&held);
	if (status == CX_OK) {
		status = put_note(apply, source, SYNC_NOTES_HELD,
		    (struct span){ NULL, 0 }, &is_changed);
	}
	/* What was accepted is not held against the next removals. */
	if (status == CX_OK) {
		status = put_note(apply, source, SYNC_NOTES_REMOVALS,
		    (struct span){ NULL, 0 }, &is_changed);
	}
	if (status != CX_OK) {
		store_abort(apply->store);
		errbuf_set(err, "%s",
		    status == CX_NOTFOUND ? "no removals are kept back"
					  : status_text(status));
		return status;
	}
	return store_commit(apply->store, err);
}

enum status apply_cookie(struct apply *apply, const struct apply_source *source,
    struct buf *out)
{
	struct errbuf err;
	struct buf confhash;
	enum status status = store_begin(apply->store, &err);

	buf_clear(out);
	if (status != CX_OK) {
		return status;
	}
	buf_init(&confhash);
	status = get_note(apply, source->id, SYNC_NOTES_CONFHASH, &confhash);
	if (status == CX_OK && confhash.len == sizeof(source->confhash) &&
	    memcmp(confhash.data, source->confhash, confhash.len) == 0) {
		status = get_note(apply, source->id, SYNC_NOTES_COOKIE, out);
	}
	buf_release(&confhash);
	store_abort(apply->store);
	return status;
}

enum status apply_report(struct apply *apply, uint8_t source, struct apply_report *out)
{
	const struct apply_state *state = &apply->states[source];
	struct errbuf err;
	struct buf note;
	enum status status = store_begin(apply->store, &err);

	*out = (struct apply_report){ .is_loaded = state->is_loaded,
		.last_contact = state->contact };
	if (status != CX_OK) {
		return status;
	}
	out->recipients = store_count(apply->store, source, RECORD_RECIPIENT);
	out->domains = store_count(apply->store, source, RECORD_DOMAIN);
	out->connectors = store_count(apply->store, source, RECORD_CONNECTOR);
	buf_init(&note);
	status = get_note(apply, source, SYNC_NOTES_HELD, &note);
	out->held = held_count(buf_span(&note));
	if (status == CX_OK) {
		status = get_note(apply, source, SYNC_NOTES_SKIPPED, &note);
		out->skipped = skipped_count(buf_span(&note));
	}
	buf_release(&note);
	store_abort(apply->store);
	return status;
}
