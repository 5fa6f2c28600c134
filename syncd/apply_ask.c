#include "config.h"

#include "syncd/apply_parts.h"

/* Removes those of a list; in a new file in steps. */
static enum status remove_held(struct apply *apply, uint8_t source, struct span held,
    struct apply_steps *steps, size_t *removed, struct errbuf *err)
{
	struct record_id id = { .source = source };
	enum status status = CX_OK;
	const uint8_t *uuid;

	while (status == CX_OK && held_next(&held, &uuid)) {
		memcpy(id.uuid, uuid, sizeof(id.uuid));
		status = store_remove(apply->store, &id);
		*removed += status == CX_OK;
		status = status == CX_NOTFOUND ? CX_OK : status;
		if (status == CX_OK) {
			status = apply_step(apply, steps, err);
		}
	}
	return status;
}

static enum status write_accepted(struct apply *apply, uint8_t source, struct span held,
    struct apply_steps *steps, size_t *removed, struct errbuf *err)
{
	static const struct span nothing = { NULL, 0 };
	bool is_changed = false;
	enum status status = store_begin(apply->store, err);

	if (status != CX_OK) {
		return status;
	}
	status = remove_held(apply, source, held, steps, removed, err);
	if (status == CX_OK) {
		status = apply_put_note(apply, source, SYNC_NOTES_HELD, nothing,
		    &is_changed);
	}
	/* What was accepted is not held against the next removals. */
	if (status == CX_OK) {
		status = apply_put_note(apply, source, SYNC_NOTES_REMOVALS, nothing,
		    &is_changed);
	}
	if (status != CX_OK) {
		store_abort(apply->store);
		errbuf_set(err, "%s", status_text(status));
		return status;
	}
	return store_commit(apply->store, err);
}

static enum status get_held(struct apply *apply, uint8_t source, struct buf *out,
    struct errbuf *err)
{
	enum status status = store_begin(apply->store, err);

	if (status != CX_OK) {
		return status;
	}
	status = apply_get_note(apply, source, SYNC_NOTES_HELD, out);
	store_abort(apply->store);
	if (status == CX_OK && out->len == 0) {
		status = CX_NOTFOUND;
	}
	if (status != CX_OK) {
		errbuf_set(err, "%s",
		    status == CX_NOTFOUND ? "no removals are kept back"
					  : status_text(status));
	}
	return status;
}

enum status apply_accept(struct apply *apply, uint8_t source, size_t *removed,
    struct errbuf *err)
{
	struct buf held;
	struct apply_steps steps = { .is_building = false };
	enum status status;

	*removed = 0;
	buf_init(&held);
	status = get_held(apply, source, &held, err);
	if (status == CX_OK && held_count(buf_span(&held)) > apply->changes_max) {
		status = store_writer_build(apply->store, err);
		steps.is_building = status == CX_OK;
	}
	if (status == CX_OK) {
		status = write_accepted(apply, source, buf_span(&held), &steps,
		    removed, err);
	}
	if (status == CX_OK && steps.is_building) {
		status = store_writer_publish(apply->store, err);
	}
	if (status != CX_OK && steps.is_building) {
		store_writer_discard(apply->store);
	}
	buf_release(&held);
	return status;
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
	status = apply_get_note(apply, source->id, SYNC_NOTES_CONFHASH, &confhash);
	if (status == CX_OK && confhash.len == sizeof(source->confhash) &&
	    memcmp(confhash.data, source->confhash, confhash.len) == 0) {
		status = apply_get_note(apply, source->id, SYNC_NOTES_COOKIE, out);
	}
	buf_release(&confhash);
	store_abort(apply->store);
	return status;
}

enum status apply_agenda(struct apply *apply, uint8_t source, struct buf *out)
{
	struct errbuf err;
	enum status status = store_begin(apply->store, &err);

	buf_clear(out);
	if (status == CX_OK) {
		status = apply_get_note(apply, source, SYNC_NOTES_AGENDA, out);
		store_abort(apply->store);
	}
	return status;
}

enum status apply_mark(struct apply *apply, const struct apply_source *source,
    struct buf *out)
{
	struct errbuf err;
	struct buf note;
	enum status status = store_begin(apply->store, &err);

	buf_clear(out);
	if (status != CX_OK) {
		return status;
	}
	buf_init(&note);
	status = apply_get_note(apply, source->id, SYNC_NOTES_POLL, &note);
	if (status == CX_OK && note.len > sizeof(source->confhash) &&
	    memcmp(note.data, source->confhash, sizeof(source->confhash)) == 0) {
		buf_add(out, note.data + sizeof(source->confhash),
		    note.len - sizeof(source->confhash));
		status = out->failed ? CX_ENOMEM : CX_OK;
	}
	buf_release(&note);
	store_abort(apply->store);
	return status;
}

enum status apply_last_full(struct apply *apply, uint8_t source, int64_t *out)
{
	struct errbuf err;
	struct buf note;
	enum status status = store_begin(apply->store, &err);

	*out = 0;
	if (status != CX_OK) {
		return status;
	}
	buf_init(&note);
	status = apply_get_note(apply, source, SYNC_NOTES_FULL, &note);
	if (status == CX_OK && note.len == FULL_SIZE) {
		for (size_t i = FULL_SIZE; i > 0; i--) {
			*out = (int64_t)((uint64_t)*out << 8 |
					 (uint8_t)note.data[i - 1]);
		}
	}
	buf_release(&note);
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
	status = apply_get_note(apply, source, SYNC_NOTES_HELD, &note);
	out->held = held_count(buf_span(&note));
	if (status == CX_OK) {
		status = apply_get_note(apply, source, SYNC_NOTES_SKIPPED, &note);
		out->skipped = skipped_count(buf_span(&note));
	}
	buf_release(&note);
	store_abort(apply->store);
	return status;
}
