#include "config.h"

#include <stdlib.h>

#include "daemon/log.h"
#include "syncd/apply_parts.h"

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

static bool visit_damage(void *context, const struct record_id *id, struct span stored)
{
	struct record record;
	size_t *count = context;

	(void)id;
	*count += record_open(stored, &record) != CX_OK;
	return true;
}

/* Only a full refresh brings what a damaged record was, if it does not change by itself. */
static enum status look_over(struct apply *apply, const struct source_info *source)
{
	static const char *const notes[] = { SYNC_NOTES_COOKIE, SYNC_NOTES_FULL };
	bool is_changed = false;
	size_t damaged = 0;
	enum status status = store_each(apply->store, source->id, visit_damage, &damaged);

	if (status != CX_OK || damaged == 0) {
		return status;
	}
	log_error("directory=%s %zu records of the replica are damaged; everything is "
		  "read anew",
	    source->name, damaged);
	for (size_t i = 0; i < sizeof(notes) / sizeof(notes[0]) && status == CX_OK; i++) {
		status = apply_put_note(apply, source->id, notes[i],
		    (struct span){ NULL, 0 }, &is_changed);
	}
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
		if (!apply->is_looked_over && status == CX_OK) {
			status = look_over(apply, source);
		}
	}
	if (status != CX_OK) {
		store_abort(apply->store);
		errbuf_set(err, "replica: %s", status_text(status));
		return status;
	}
	status = store_commit(apply->store, err);
	apply->is_looked_over |= status == CX_OK;
	for (size_t i = 0; i < count && status == CX_OK; i++) {
		struct apply_state *state = &apply->states[sources[i].id];

		state->is_loaded = sources[i].is_loaded;
		state->contact = sources[i].last_contact;
		state->has_cookie = false;
		state->cookie_written = 0;
	}
	return status;
}
