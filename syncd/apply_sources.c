#include "config.h"

#include <stdlib.h>
#include <string.h>

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

/* Everything is to be read again. */
static enum status forget_cookie(struct apply *apply, uint8_t source)
{
	static const char *const notes[] = { SYNC_NOTES_COOKIE, SYNC_NOTES_FULL };
	enum status status = CX_OK;
	bool is_changed = false;

	for (size_t i = 0; i < sizeof(notes) / sizeof(notes[0]) && status == CX_OK; i++) {
		status = apply_put_note(apply, source, notes[i],
		    (struct span){ NULL, 0 }, &is_changed);
	}
	return status;
}

/* Only a full refresh brings what a damaged record was, if it does not change by itself. */
static enum status look_over(struct apply *apply, const struct source_info *source)
{
	size_t damaged = 0;
	enum status status = store_each(apply->store, source->id, visit_damage, &damaged);

	if (status != CX_OK || damaged == 0) {
		return status;
	}
	log_error("directory=%s %zu records of the replica are damaged; everything is "
		  "read anew",
	    source->name, damaged);
	return forget_cookie(apply, source->id);
}

static struct span place_span(const struct apply_place *place)
{
	return (struct span){ (const char *)place->bytes, sizeof(place->bytes) };
}

static bool is_taken(const struct source_info *sources, size_t count, uint8_t id)
{
	for (size_t i = 0; i < count; i++) {
		if (sources[i].id == id) {
			return true;
		}
	}
	return false;
}

/* A known source from this place: the one of this name if `name` is given. 0: none. */
static enum status find_place(struct apply *apply, const struct source_info *sources,
    size_t count, const struct apply_place *place, const char *name, uint8_t *out)
{
	size_t known_count;
	const struct source_info *known = store_sources(apply->store, &known_count);
	enum status status = CX_OK;
	struct buf note;

	*out = 0;
	buf_init(&note);
	for (size_t i = 0; i < known_count && *out == 0 && status == CX_OK; i++) {
		if (is_taken(sources, count, known[i].id) ||
		    (name && strcmp(name, known[i].name) != 0)) {
			continue;
		}
		status = apply_get_note(apply, known[i].id, SYNC_NOTES_PLACE, &note);
		if (status == CX_OK &&
		    span_equal(buf_span(&note), place_span(place))) {
			*out = known[i].id;
		}
	}
	buf_release(&note);
	return status;
}

/*
 * A section that was only renamed must not lose its recipients while it is loaded anew, and
 * two that change names must not take each other's. First those that kept their name.
 */
static enum status recognise(struct apply *apply, struct source_info *sources,
    const struct apply_place *places, size_t count)
{
	enum status status = CX_OK;

	for (size_t i = 0; i < count; i++) {
		sources[i].id = 0;
	}
	for (int round = 0; round < 2 && places; round++) {
		for (size_t i = 0; i < count && status == CX_OK; i++) {
			if (sources[i].id == 0) {
				status = find_place(apply, sources, count, &places[i],
				    round == 0 ? sources[i].name : NULL,
				    &sources[i].id);
			}
		}
	}
	return status;
}

static enum status note_places(struct apply *apply, const struct source_info *sources,
    const struct apply_place *places, size_t count)
{
	enum status status = CX_OK;
	bool is_changed = false;

	for (size_t i = 0; i < count && places && status == CX_OK; i++) {
		status = apply_put_note(apply, sources[i].id, SYNC_NOTES_PLACE,
		    place_span(&places[i]), &is_changed);
	}
	return status;
}

static bool provides_same(const struct source_info *a, const struct source_info *b)
{
	return a->provides_recipients == b->provides_recipients &&
	       a->provides_domains == b->provides_domains &&
	       a->provides_connectors == b->provides_connectors;
}

/* Who of them a known source will be, or NULL; see store_set_sources(). */
static const struct source_info *find_heir(const struct source_info *sources, size_t count,
    const struct source_info *known)
{
	const struct source_info *by_name = NULL;

	for (size_t i = 0; i < count; i++) {
		if (sources[i].id == known->id) {
			return &sources[i];
		}
		if (sources[i].id == 0 && strcmp(sources[i].name, known->name) == 0) {
			by_name = &sources[i];
		}
	}
	return by_name;
}

/* What goes with this configuration, and how many records that is. */
static size_t find_unwanted(struct apply *apply, const struct source_info *sources,
    size_t count, struct store_left_out *out)
{
	size_t known_count, unwanted = 0;
	const struct source_info *known = store_sources(apply->store, &known_count);

	*out = (struct store_left_out){ { 0 } };
	for (size_t i = 0; i < known_count; i++) {
		const struct source_info *heir = find_heir(sources, count, &known[i]);
		unsigned kinds = STORE_EVERYTHING;

		if (heir) {
			kinds = (heir->provides_recipients ? 0u : 1u << RECORD_RECIPIENT) |
				(heir->provides_domains ? 0u : 1u << RECORD_DOMAIN) |
				(heir->provides_connectors ? 0u : 1u << RECORD_CONNECTOR);
		}
		out->kinds[known[i].id] = (uint8_t)kinds;
		for (unsigned kind = RECORD_RECIPIENT; kind <= RECORD_CONTAINER; kind++) {
			if (kinds >> kind & 1) {
				unwanted += store_count(apply->store, known[i].id,
				    (enum record_kind)kind);
			}
		}
	}
	return unwanted;
}

/*
 * A cookie is good for the records beside it. Where a kind of them goes now, or is wanted
 * now, the old request may come back before the new one was ever answered.
 */
static enum status forget_cookies(struct apply *apply, const struct source_info *before,
    size_t before_count, const struct source_info *sources, size_t count)
{
	enum status status = CX_OK;

	for (size_t i = 0; i < before_count * count && status == CX_OK; i++) {
		const struct source_info *old = &before[i / count];
		const struct source_info *now = &sources[i % count];

		if (old->id == now->id && !provides_same(old, now)) {
			status = forget_cookie(apply, now->id);
		}
	}
	return status;
}

/* Who is who, and what is left of what was known. */
static enum status set_sources(struct apply *apply, struct source_info *sources,
    const struct apply_place *places, size_t count)
{
	struct source_info before[STORE_SOURCES_MAX];
	size_t before_count;
	const struct source_info *known = store_sources(apply->store, &before_count);
	enum status status;

	memcpy(before, known, before_count * sizeof(*before));
	if ((status = recognise(apply, sources, places, count)) != CX_OK ||
	    (status = store_set_sources(apply->store, sources, count)) != CX_OK ||
	    (status = forget_cookies(apply, before, before_count, sources, count)) !=
		CX_OK) {
		return status;
	}
	return note_places(apply, sources, places, count);
}

/* Very many records that go are left out of a new file: *is_building. */
static enum status leave_out(struct apply *apply, struct source_info *sources,
    const struct apply_place *places, size_t count, bool *is_building, struct errbuf *err)
{
	struct store_left_out unwanted;
	enum status status = store_begin(apply->store, err);

	if (status != CX_OK) {
		return status;
	}
	errbuf_set(err, "%s", "");
	status = recognise(apply, sources, places, count);
	if (status != CX_OK) {
		errbuf_set(err, "replica: %s", status_text(status));
	}
	*is_building = status == CX_OK &&
		       find_unwanted(apply, sources, count, &unwanted) > apply->changes_max;
	store_abort(apply->store);
	if (*is_building) {
		status = store_writer_build_without(apply->store, &unwanted, err);
		*is_building = status == CX_OK;
	}
	return status;
}

static enum status write_sources(struct apply *apply, struct source_info *sources,
    const struct apply_place *places, size_t count, struct errbuf *err)
{
	enum status status = store_begin(apply->store, err);

	if (status != CX_OK) {
		return status;
	}
	status = set_sources(apply, sources, places, count);
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
	return store_commit(apply->store, err);
}

enum status apply_sources(struct apply *apply, struct source_info *sources,
    const struct apply_place *places, size_t count, struct errbuf *err)
{
	bool is_building = false;
	enum status status =
	    leave_out(apply, sources, places, count, &is_building, err);

	if (status == CX_OK) {
		status = write_sources(apply, sources, places, count, err);
	}
	if (status == CX_OK && is_building) {
		status = store_writer_publish(apply->store, err);
	}
	if (status != CX_OK && is_building) {
		store_writer_discard(apply->store);
	}
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
