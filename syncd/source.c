#include "config.h"

#include "syncd/source.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/log.h"
#include "syncd/conflicts.h"
#include "syncd/source_slot.h"

/* Of more lines than that, some may be logged again. */
#define SEEN_MAX 8192
#define RECORD_KEPT_MAX ((size_t)1 << 20)

static uint64_t hash_of(struct span a, struct span b)
{
	uint64_t hash =
	    0xcbf29ce484222325u; /* FNV-1a: who forges one hides a log line */

	for (size_t i = 0; i < a.len; i++) {
		hash = (hash ^ (uint8_t)a.ptr[i]) * 0x100000001b3u;
	}
	hash *= 0x100000001b3u;
	for (size_t i = 0; i < b.len; i++) {
		hash = (hash ^ (uint8_t)b.ptr[i]) * 0x100000001b3u;
	}
	return hash ? hash : 1;
}

/* True the first time. */
static bool is_news(struct seen *seen, uint64_t hash)
{
	if (!seen->hashes) {
		seen->hashes = calloc(2 * (size_t)SEEN_MAX, sizeof(*seen->hashes));
		if (!seen->hashes) {
			return true;
		}
	}
	if (seen->count == SEEN_MAX) {
		memset(seen->hashes, 0, 2 * (size_t)SEEN_MAX * sizeof(*seen->hashes));
		seen->count = 0;
	}
	size_t at = hash % (2 * (size_t)SEEN_MAX);
	while (seen->hashes[at]) {
		if (seen->hashes[at] == hash) {
			return false;
		}
		at = (at + 1) % (2 * (size_t)SEEN_MAX);
	}
	seen->hashes[at] = hash;
	seen->count++;
	return true;
}

/* One line about one entry, once. */
static void log_entry(struct source *source, struct span dn, const char *key,
    struct span text)
{
	char memory[1536];
	struct buf line;

	if (!is_news(&slot_of(source)->seen, hash_of(dn, text))) {
		return;
	}
	buf_init_fixed(&line, memory, sizeof(memory));
	buf_printf(&line, "directory=%s %s: ", source->conf->name, key);
	buf_add_escaped(&line, text);
	buf_add_text(&line, " dn=\"");
	buf_add_escaped(&line, dn);
	buf_add_char(&line, '"');
	log_warnx("%s", line.data);
}

void source_skipped(struct source *source, struct span dn, const char *why)
{
	source->entries_skipped++;
	log_entry(source, dn, "entry skipped", span_of(why));
}

void source_error(struct source *source, const char *fmt, ...)
{
	char text[sizeof(source->last_error)], memory[4 * sizeof(text)];
	struct buf line;
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	source->errors++;
	/* The same again is no news: a file that is missing is looked for twice a second. */
	if (strcmp(text, source->last_error) == 0) {
		return;
	}
	memcpy(source->last_error, text, sizeof(text));
	buf_init_fixed(&line, memory, sizeof(memory));
	buf_add_escaped(&line, span_of(text));
	log_warnx("directory=%s error: %s", source->conf->name, line.data);
}

struct note_context {
	struct source *source;
	struct span dn;
};

static void note(void *context, const char *text)
{
	struct note_context *at = context;

	log_entry(at->source, at->dn, "value left out", span_of(text));
}

static enum status put(struct source *source, struct batch *batch,
    const uint8_t uuid[16], struct span record)
{
	struct record_id id = { .source = source->id };

	if (batch->is_compared && !batch->load) {
		memcpy(id.uuid, uuid, sizeof(id.uuid));
		if (store_holds(apply_store(source->apply), &id, record)) {
			return batch_same(batch, uuid);
		}
	}
	return batch_put(batch, uuid, record);
}

enum status source_map(struct source *source, struct batch *batch,
    const uint8_t uuid[16], const struct entry *entry, bool *is_ours)
{
	struct buf *record = &slot_of(source)->record;
	struct note_context context = { source, entry->dn };
	struct errbuf why = { "" };
	bool dummy;

	/* One that was very large is no reason to keep as much. */
	if (record->size > RECORD_KEPT_MAX) {
		buf_release(record);
	}
	buf_clear(record);
	is_ours = is_ours ? is_ours : &dummy;
	*is_ours = false;
	switch (mapping_apply(source->mapping, entry, record, &why, note, &context)) {
	case CX_OK:
		*is_ours = true;
		return put(source, batch, uuid, buf_span(record));
	case CX_NOTFOUND: return batch_not_ours(batch, uuid);
	case CX_ENOMEM: return CX_ENOMEM;
	case CX_ETEMP:
	case CX_EINVAL:
	case CX_ETOOLONG:
	case CX_EEXIST:
	case CX_EFULL:
	case CX_EFORMAT:
	case CX_ECONF:
	case CX_EIO: break;
	}
	source_skipped(source, entry->dn, why.text);
	return batch_unusable(batch, uuid, entry->dn, why.text);
}

static void log_outcome(struct source *source, const struct batch *batch,
    const struct apply_outcome *outcome)
{
	const char *name = source->conf->name;

	if (batch->is_complete || batch->is_refresh) {
		log_info(
		    "directory=%s refreshed: changed=%zu removed=%zu skipped=%zu held=%zu",
		    name, outcome->changed, outcome->removed, outcome->skipped,
		    outcome->held);
	} else if (outcome->changed || outcome->removed) {
		log_debug("directory=%s changed=%zu removed=%zu", name,
		    outcome->changed, outcome->removed);
	}
	if (outcome->repaired) {
		log_error("directory=%s damaged records of the replica replaced: %zu",
		    name, outcome->repaired);
	}
	if (outcome->newly_held) {
		log_error(
		    "directory=%s removals kept back: %zu now, %zu in all; if they are "
		    "meant: coexistctl accept-refresh %s",
		    name, outcome->newly_held, outcome->held, name);
	}
}

/* An address or a login that two entries claim: whose it is, or that nobody can say. */
static void log_conflict(void *context, const struct conflict *conflict)
{
	struct source *source = context;
	char memory[2048];
	struct buf line;

	if (!is_news(&slot_of(source)->seen,
		hash_of(conflict->what, conflict->loser))) {
		return;
	}
	buf_init_fixed(&line, memory, sizeof(memory));
	buf_printf(&line, "directory=%s %s ", conflict->directory,
	    conflict->is_login ? "login" : "address");
	buf_add_escaped(&line, conflict->what);
	buf_add_text(&line, " of \"");
	buf_add_escaped(&line, conflict->loser);
	buf_add_text(&line, "\" is also that of \"");
	buf_add_escaped(&line, conflict->winner);
	if (conflict->is_ambiguous) {
		buf_add_text(&line, "\": it is nobody's until one of them gives it up");
	} else {
		buf_printf(&line, "\" in directory=%s, which wins",
		    conflict->winning_directory);
	}
	log_warnx("%s", line.data);
}

/*
 * A first load with not one entry, whatever its class, proves nothing: an account that may
 * search but not read gets a refresh that is successful and empty (ldap-sync T8). Taken for the
 * truth, every domain of ours would be foreign, and all its mail refused for good.
 */
static bool is_empty_first_load(struct source *source, const struct batch *batch)
{
	struct apply_report report;

	return batch->is_complete && batch->count == 0 &&
	       (!batch->load || store_load_count(batch->load) == 0) &&
	       apply_report(source->apply, source->id, &report) == CX_OK &&
	       !report.is_loaded;
}

enum status source_begin_refresh(struct source *source, struct batch *batch,
    bool is_complete)
{
	struct errbuf err = { "" };
	enum status status =
	    apply_begin_refresh(source->apply, batch, is_complete, &err);

	if (status != CX_OK) {
		source_error(source, "cannot write the replica: %s", err.text);
	}
	return status;
}

enum status source_deliver(struct source *source, struct batch *batch)
{
	struct slot *slot = slot_of(source);
	struct apply_outcome outcome;
	struct errbuf err = { "" };
	enum status status;

	if (is_empty_first_load(source, batch)) {
		source_error(source,
		    "no entry at all, not even a container: empty, or not to be read by us; "
		    "it counts as not loaded");
		batch_clear(batch);
		return CX_EINVAL;
	}
	status = apply_batch(source->apply, &slot->applied, batch,
	    slot->owner->clock(), &outcome, &err);

	if (status == CX_OK) {
		source->changes_applied += outcome.changed + outcome.removed;
		if (batch->has_contact && source->last_error[0] != '\0') {
			source->last_error[0] = '\0';
			log_info("directory=%s can be read again", source->conf->name);
		}
		log_outcome(source, batch, &outcome);
		/* What else it was is not known: whom it referred to, who referred to it. */
		if (outcome.repaired && !batch->is_full) {
			source->ops->refresh(source);
		}
		if (outcome.changed) {
			conflicts_find(slot->conf->replica, source_store(source),
			    batch, log_conflict, source);
		}
	} else {
		source_error(source, "cannot write the replica: %s", err.text);
	}
	batch_clear(batch);
	return status;
}

struct store_writer *source_store(struct source *source)
{
	return apply_store(source->apply);
}

enum status source_cookie(struct source *source, struct buf *out)
{
	return apply_cookie(source->apply, &slot_of(source)->applied, out);
}

enum status source_agenda(struct source *source, struct buf *out)
{
	return apply_agenda(source->apply, source->id, out);
}

enum status source_mark(struct source *source, struct buf *out)
{
	return apply_mark(source->apply, &slot_of(source)->applied, out);
}

int64_t source_since_full(struct source *source)
{
	int64_t last, now = slot_of(source)->owner->clock();

	return apply_last_full(source->apply, source->id, &last) == CX_OK && last > 0 &&
		       last <= now
		   ? now - last
		   : -1;
}
