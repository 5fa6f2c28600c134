#include "config.h"

#include "syncd/apply_parts.h"

enum status apply_get_note(struct apply *apply, uint8_t source, const char *what,
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
enum status apply_put_note(struct apply *apply, uint8_t source, const char *what,
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
enum status attempt_merge_skipped(struct attempt *attempt)
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
		} else if (order == 0 && (change->kind == CHANGE_PRESENT ||
					     change->kind == CHANGE_SPARED)) {
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
		: apply_put_note(attempt->apply, attempt->batch->source,
		      SYNC_NOTES_SKIPPED, buf_span(&list), &attempt->is_changed);
	buf_release(&list);
	return status;
}

enum status attempt_read_notes(struct attempt *attempt)
{
	uint8_t source = attempt->batch->source;
	struct buf removals;
	enum status status;

	buf_init(&removals);
	if ((status = apply_get_note(attempt->apply, source, SYNC_NOTES_HELD,
		 &attempt->held)) == CX_OK &&
	    (status = apply_get_note(attempt->apply, source, SYNC_NOTES_SKIPPED,
		 &attempt->skipped)) == CX_OK &&
	    (status = apply_get_note(attempt->apply, source, SYNC_NOTES_REMOVALS,
		 &removals)) == CX_OK) {
		valve_read(&attempt->valve, buf_span(&removals));
	}
	buf_release(&removals);
	return status;
}

enum status attempt_write_valve(struct attempt *attempt)
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
		     : apply_put_note(attempt->apply, attempt->batch->source,
			   SYNC_NOTES_REMOVALS, buf_span(&removals), &is_changed);
	buf_release(&removals);
	return status;
}

enum status attempt_write_full(struct attempt *attempt)
{
	char when[FULL_SIZE];
	bool is_changed = false;

	if (!attempt->batch->is_full) {
		return CX_OK;
	}
	for (size_t i = 0; i < sizeof(when); i++) {
		when[i] = (char)((uint64_t)attempt->now >> (8 * i));
	}
	return apply_put_note(attempt->apply, attempt->batch->source, SYNC_NOTES_FULL,
	    (struct span){ when, sizeof(when) }, &is_changed);
}

/* The newest cookie there is, and the request that it is good for. */
enum status attempt_write_cookie(struct attempt *attempt)
{
	const struct batch *batch = attempt->batch;
	const struct apply_state *state = &attempt->apply->states[batch->source];
	struct span cookie =
	    buf_span(batch->has_cookie ? &batch->cookie : &state->cookie);
	bool is_changed = false;

	if (!batch->has_cookie && !state->has_cookie) {
		return CX_OK;
	}
	enum status status = apply_put_note(attempt->apply, batch->source,
	    SYNC_NOTES_COOKIE, cookie, &is_changed);
	if (status == CX_OK) {
		status =
		    apply_put_note(attempt->apply, batch->source, SYNC_NOTES_CONFHASH,
			(struct span){ (const char *)attempt->source->confhash,
			    sizeof(attempt->source->confhash) },
			&is_changed);
	}
	return status;
}

enum status attempt_write_agenda(struct attempt *attempt)
{
	const struct batch *batch = attempt->batch;
	bool is_changed = false;

	/*
	 * What is new in it follows from records that this transaction changes; that something is
	 * done and over can wait for the next one.
	 */
	return batch->has_agenda
		   ? apply_put_note(attempt->apply, batch->source, SYNC_NOTES_AGENDA,
			 buf_span(&batch->agenda), &is_changed)
		   : CX_OK;
}

enum status attempt_write_mark(struct attempt *attempt)
{
	const struct batch *batch = attempt->batch;
	struct buf note;
	enum status status;

	if (!batch->has_mark) {
		return CX_OK;
	}
	buf_init(&note);
	buf_add(&note, attempt->source->confhash, sizeof(attempt->source->confhash));
	buf_add_span(&note, buf_span(&batch->mark));
	status = note.failed ? CX_ENOMEM
			     : apply_put_note(attempt->apply, batch->source,
				   SYNC_NOTES_POLL, buf_span(&note),
				   &attempt->is_changed);
	buf_release(&note);
	return status;
}
