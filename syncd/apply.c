#include "config.h"

#include "syncd/apply.h"

#include <malloc.h>
#include <stdlib.h>

#include "syncd/apply_parts.h"
#include "syncd/sort.h"

/* Where more than one of so many records change, all of them are loaded anew. */
#define RELOAD_PART 4
/* A cookie that came with no changes is written this often. */
#define COOKIE_INTERVAL_S 10
/* After as many the C library is asked to give back what it keeps. */
#define TRIM_CHANGES 10000
/* The map doubles each time it is full. */
#define TRIES_MAX 8

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
	apply->changes_max = CHANGES_MAX;
	apply->directory = strdup(directory);
	enum status status = apply->directory ? CX_OK : CX_ENOMEM;
	if (status == CX_OK) {
		status = store_writer_open(directory, &apply->store,
		    is_new ? is_new : &dummy, err);
	}
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
	free(apply->directory);
	free(apply);
}

const char *apply_directory(const struct apply *apply)
{
	return apply->directory;
}

struct store_writer *apply_store(struct apply *apply)
{
	return apply->store;
}

void apply_on_progress(struct apply *apply, store_progress *tell, void *context)
{
	store_on_progress(apply->store, tell, context);
}

enum status apply_housekeeping(struct apply *apply, int64_t now_ms, int64_t age_ms,
    store_old_reader_tell *tell, void *context, struct errbuf *err)
{
	store_check_readers(apply->store);
	store_old_readers(apply->store, now_ms, age_ms, tell, context);
	return store_look_for_damage(apply->store, err);
}

enum status apply_step(struct apply *apply, struct apply_steps *steps,
    struct errbuf *err)
{
	if (!steps->is_building || ++steps->changes % apply->changes_max) {
		return CX_OK;
	}
	enum status status = store_commit(apply->store, err);

	steps->repaired += store_repaired(apply->store);
	return status == CX_OK ? store_begin(apply->store, err) : status;
}

static enum status step(struct attempt *attempt)
{
	return apply_step(attempt->apply, &attempt->steps, attempt->err);
}

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
		if (attempt->way == WAY_RELOAD) {
			attempt->outcome.changed++;
			attempt->is_changed = true;
			continue;
		}
		memcpy(id.uuid, effect->change->uuid, sizeof(id.uuid));
		status = store_put(attempt->apply->store, &id,
		    batch_record(attempt->batch, effect->change), &changed);
		attempt->outcome.changed += changed;
		attempt->is_changed |= changed;
		if (status == CX_OK) {
			status = step(attempt);
		}
	}
	return status;
}

static enum status remove_one(struct attempt *attempt, const struct record_id *id)
{
	const struct effect *effect = plan_find(&attempt->plan, id->uuid);

	if (effect && effect->is_demoted) {
		return store_put(attempt->apply->store, id,
		    batch_record(attempt->batch, effect->change), NULL);
	}
	return store_remove(attempt->apply->store, id);
}

static enum status remove_records(struct attempt *attempt)
{
	struct plan *plan = &attempt->plan;
	struct record_id id = { .source = attempt->batch->source };
	enum status status = CX_OK;
	struct buf held;

	buf_init(&held);
	for (size_t i = 0; i < plan->removal_count && status == CX_OK; i++) {
		const struct removal *removal = &plan->removals[i];

		if (removal->fate == REMOVAL_HOLD) {
			buf_add(&held, removal->uuid, sizeof(removal->uuid));
			attempt->outcome.newly_held += !removal->was_held;
			continue;
		}
		if (removal->fate == REMOVAL_SPARE) {
			continue;
		}
		attempt->outcome.removed++;
		attempt->is_changed = true;
		if (attempt->way == WAY_RELOAD) {
			continue;
		}
		memcpy(id.uuid, removal->uuid, sizeof(id.uuid));
		status = remove_one(attempt, &id);
		if (status == CX_OK) {
			status = step(attempt);
		}
	}
	attempt->outcome.held = held_count(buf_span(&held));
	if (status == CX_OK) {
		status = held.failed ? CX_ENOMEM
				     : apply_put_note(attempt->apply, id.source,
					   SYNC_NOTES_HELD, buf_span(&held),
					   &attempt->is_changed);
	}
	buf_release(&held);
	return status;
}

static enum attempt_way choose_way(const struct attempt *attempt)
{
	const struct plan *plan = &attempt->plan;
	size_t changes = plan->put_count + plan->applied_count;

	if (attempt->steps.is_building || changes <= attempt->apply->changes_max) {
		return WAY_DIRECT;
	}
	return changes > plan->stored / RELOAD_PART && !attempt->is_reload_barred
		   ? WAY_RELOAD
		   : WAY_STEPS;
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
		   is_due(state->contact, attempt->source->contact_interval_s, attempt->now)) ||
	       ((batch->has_cookie || state->has_cookie) &&
		   is_due(state->cookie_written, COOKIE_INTERVAL_S, attempt->now));
}

/* In a transaction: what is to be done. */
static enum status work_out(struct attempt *attempt)
{
	enum status status = attempt_read_notes(attempt);

	if (status == CX_OK) {
		status = plan_compare(&attempt->plan, attempt->apply->store,
		    attempt->batch, buf_span(&attempt->held));
	}
	if (status == CX_OK) {
		status = plan_judge(&attempt->plan, attempt->batch, &attempt->valve,
		    attempt->source->max_delete_percent, attempt->now);
	}
	attempt->way = choose_way(attempt);
	return status;
}

/* In a transaction, or a last one of several: all that is to be done. */
static enum status fill(struct attempt *attempt)
{
	const struct batch *batch = attempt->batch;
	enum status status;

	attempt->outcome = (struct apply_outcome){ .changed = 0 };
	attempt->is_changed = false;
	attempt->steps.changes = 0;
	if (batch->load) {
		attempt->outcome.changed = store_load_count(batch->load);
		attempt->is_changed = true;
	}
	if ((status = put_records(attempt)) != CX_OK ||
	    (status = remove_records(attempt)) != CX_OK ||
	    (status = attempt_merge_skipped(attempt)) != CX_OK ||
	    (status = attempt_write_valve(attempt)) != CX_OK ||
	    (status = attempt_write_full(attempt)) != CX_OK ||
	    (status = attempt_write_cookie(attempt)) != CX_OK ||
	    (status = attempt_write_agenda(attempt)) != CX_OK ||
	    (status = attempt_write_mark(attempt)) != CX_OK) {
		return status;
	}
	if (batch->has_contact) {
		status = store_set_contact(attempt->apply->store, batch->source,
		    attempt->now, batch->is_complete);
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

/* A failure within is only named by the commit, which also makes room. */
static enum status give_up(struct attempt *attempt, enum status status)
{
	if (attempt->err->text[0] == '\0') {
		errbuf_set(attempt->err, "replica: %s", status_text(status));
	}
	store_abort(attempt->apply->store);
	return status;
}

static enum status begin(struct attempt *attempt)
{
	enum status status = store_begin(attempt->apply->store, attempt->err);

	if (status == CX_OK) {
		errbuf_set(attempt->err, "%s", "");
	}
	return status;
}

/* The transaction becomes one in a new file, where what was worked out holds as well. */
static enum status go_to_new_file(struct attempt *attempt)
{
	struct store_writer *store = attempt->apply->store;
	enum status status;

	if (attempt->way == WAY_RELOAD) {
		status = attempt_reload(attempt);
	} else {
		store_abort(store);
		status = store_writer_build(store, attempt->err);
	}
	attempt->steps.is_building = status == CX_OK;
	return status == CX_OK ? begin(attempt) : status;
}

/* All but the end: a transaction with everything in it, in the file that it belongs in. */
static enum status begin_and_fill(struct attempt *attempt)
{
	enum status status = begin(attempt);

	if (status != CX_OK) {
		return status;
	}
	attempt->steps.repaired = 0;
	status = work_out(attempt);
	if (status == CX_OK && attempt->way != WAY_DIRECT) {
		status = go_to_new_file(attempt);
	}
	if (status == CX_OK) {
		status = fill(attempt);
	}
	return status == CX_OK ? CX_OK : give_up(attempt, status);
}

static enum status attempt_once(struct attempt *attempt)
{
	struct store_writer *store = attempt->apply->store;
	enum status status = CX_OK;

	if (attempt->batch->load && !attempt->steps.is_building) {
		status = store_load_build(attempt->batch->load, attempt->err);
		attempt->steps.is_building = status == CX_OK;
	}
	if (status == CX_OK) {
		status = begin_and_fill(attempt);
	}
	if (status == CX_EFORMAT && attempt->way == WAY_RELOAD &&
	    !attempt->is_reload_barred) {
		attempt->is_reload_barred = true;
		status = begin_and_fill(attempt);
	}
	if (status != CX_OK) {
		return status;
	}
	if (!attempt->is_changed && !is_heartbeat_due(attempt)) {
		/* A new file would take what is written next, and nobody would see it. */
		store_writer_discard(store);
		attempt->steps.is_building = false;
		return put_off(attempt);
	}
	status = store_commit(store, attempt->err);
	attempt->outcome.repaired = attempt->steps.repaired + store_repaired(store);
	if (status == CX_OK && attempt->steps.is_building) {
		status = store_writer_publish(store, attempt->err);
	}
	if (status == CX_OK) {
		remember(attempt);
	}
	return status;
}

/* A load is built once; its last transaction can be tried again in it. */
static bool keeps_build(const struct attempt *attempt, enum status status)
{
	return status == CX_ETEMP && attempt->batch->load;
}

static void mark_changes(const struct plan *plan, struct batch *batch)
{
	for (size_t i = 0; i < plan->effect_count; i++) {
		const struct effect *effect = &plan->effects[i];

		batch->changes[effect->change - batch->changes].is_changed =
		    effect->is_changed;
	}
}

enum status apply_batch(struct apply *apply, const struct apply_source *source,
    struct batch *batch, int64_t now, struct apply_outcome *outcome, struct errbuf *err)
{
	struct attempt attempt = {
		.apply = apply,
		.source = source,
		.batch = batch,
		.now = now,
		.err = err,
	};
	enum status status;

	*outcome = (struct apply_outcome){ .changed = 0 };
	/* Most heartbeats end here, with no transaction. */
	if (batch->count == 0 && !batch->load && !is_heartbeat_due(&attempt)) {
		return put_off(&attempt);
	}
	plan_init(&attempt.plan, apply->directory);
	buf_init(&attempt.held);
	buf_init(&attempt.skipped);
	status = plan_effects(&attempt.plan, batch);
	if (status != CX_OK) {
		errbuf_set(err, "%s", status_text(status));
	}
	for (int i = 0; status == CX_OK; i++) {
		bool is_last = i == TRIES_MAX;

		status = attempt_once(&attempt);
		is_last = is_last || status != CX_ETEMP;
		if (status != CX_OK && attempt.steps.is_building &&
		    (is_last || !keeps_build(&attempt, status))) {
			store_writer_discard(apply->store);
			attempt.steps.is_building = false;
		}
		if (is_last) {
			break;
		}
		status = CX_OK;
	}
	if (status == CX_OK) {
		*outcome = attempt.outcome;
		mark_changes(&attempt.plan, batch);
	}
	bool was_large = batch->load || attempt.plan.effect_count >= TRIM_CHANGES;
	plan_release(&attempt.plan);
	buf_release(&attempt.held);
	buf_release(&attempt.skipped);
#ifdef __GLIBC__
	if (was_large) {
		malloc_trim(0);
	}
#endif
	return status;
}

/* Not even what an interrupted load would leave: it leaves nothing. */
static bool has_nothing(struct apply *apply, uint8_t source)
{
	struct errbuf err;

	if (apply->states[source].is_loaded || store_begin(apply->store, &err) != CX_OK) {
		return false;
	}
	size_t count = store_count(apply->store, source, RECORD_RECIPIENT) +
		       store_count(apply->store, source, RECORD_DOMAIN) +
		       store_count(apply->store, source, RECORD_CONNECTOR) +
		       store_count(apply->store, source, RECORD_CONTAINER);

	store_abort(apply->store);
	return count == 0;
}

enum status apply_begin_refresh(struct apply *apply, struct batch *batch,
    bool is_complete, struct errbuf *err)
{
	batch->is_compared = true;
	return is_complete && has_nothing(apply, batch->source)
		   ? store_load_new(apply->store, batch->source, &batch->load, err)
		   : CX_OK;
}
