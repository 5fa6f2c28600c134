#include "config.h"

#include "syncd/ldap_ranges.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replica/store_write.h"
#include "syncd/ldap_source.h"

/* An entry that changes all the time is begun anew so often. */
#define TRIES_MAX 5
/* Searches for one entry: LDAP_ENTRY_VALUES_MAX in parts of 1500 are less than a hundred. */
#define SEARCHES_MAX 1000

void ranges_init(struct ranges *r)
{
	memset(r, 0, sizeof(*r));
	range_entry_init(&r->whole);
	r->msgid = -1;
}

void ranges_release(struct ranges *r)
{
	for (size_t i = 0; i < r->count; i++) {
		free(r->jobs[i].dn);
	}
	free(r->jobs);
	range_entry_release(&r->whole);
	ranges_init(r);
}

static void remove_at(struct ranges *r, size_t i)
{
	free(r->jobs[i].dn);
	memmove(&r->jobs[i], &r->jobs[i + 1], (--r->count - i) * sizeof(r->jobs[0]));
	if (i == 0) {
		r->is_orphan = r->msgid >= 0;
		r->tries = r->searches = 0;
	}
}

void ranges_forget(struct ranges *r, const struct batch *batch, const uint8_t uuid[16])
{
	for (size_t i = r != NULL ? r->count : 0; i > 0; i--) {
		if (r->jobs[i - 1].batch == batch &&
		    memcmp(r->jobs[i - 1].uuid, uuid, sizeof(r->jobs[0].uuid)) == 0) {
			remove_at(r, i - 1);
		}
	}
}

void ranges_drop(struct ranges *r, const struct batch *batch)
{
	for (size_t i = r->count; i > 0; i--) {
		if (r->jobs[i - 1].batch == batch) {
			remove_at(r, i - 1);
		}
	}
}

bool ranges_wait(const struct ranges *r, const struct batch *batch)
{
	for (size_t i = 0; i < r->count; i++) {
		if (r->jobs[i].batch == batch) {
			return true;
		}
	}
	return false;
}

enum status ranges_add(struct ranges *r, struct batch *batch, const uint8_t uuid[16],
    struct span dn)
{
	struct range_job *job;

	ranges_forget(r, batch, uuid);
	if (r->count == r->room) {
		size_t room = r->room ? 2 * r->room : 8;
		void *grown = reallocarray(r->jobs, room, sizeof(r->jobs[0]));

		if (grown == NULL) {
			return CX_ENOMEM;
		}
		r->jobs = grown;
		r->room = room;
	}
	job = &r->jobs[r->count];
	job->batch = batch;
	memcpy(job->uuid, uuid, sizeof(job->uuid));
	job->dn = strndup(dn.len ? dn.ptr : "", dn.len);
	if (job->dn == NULL) {
		return CX_ENOMEM;
	}
	r->count++;
	return CX_OK;
}

/* --- Reading them --- */

/* Everything at first, then the rest of one attribute. */
static void send_search(struct ldap_source *ls)
{
	static const char *const stamps[] = { "entryCSN", "modifyTimestamp",
		"uSNChanged", "entryUUID", "objectGUID" };
	struct ranges *r = &ls->ranges;
	char *attributes[2 + sizeof(stamps) / sizeof(stamps[0])] = { NULL };
	char **wanted = ls->poll_attributes;
	struct buf part;

	buf_init(&part);
	if (r->searches > 0 && range_entry_next(&r->whole, &part) && !part.failed) {
		attributes[0] = part.data;
		for (size_t i = 0; i < sizeof(stamps) / sizeof(stamps[0]); i++) {
			attributes[i + 1] = (char *)(uintptr_t)stamps[i];
		}
		wanted = attributes;
	}
	r->searches++;
	r->has_entry = false;
	r->status = CX_OK;
	if (part.failed) {
		lsrc_failed(ls, status_text(CX_ENOMEM));
	} else if (lsrc_search(ls, r->jobs[0].dn, LDAP_SCOPE_BASE, "(objectClass=*)",
		       wanted, NULL, &r->msgid)) {
		lsrc_timer_start(ls, TIMER_RANGE, sync_times.silence);
	}
	buf_release(&part);
}

void lsrc_ranges_run(struct ldap_source *ls)
{
	if (ls->ld != NULL && ls->ranges.count > 0 && ls->ranges.msgid < 0) {
		send_search(ls);
	}
}

void lsrc_ranges_end(struct ldap_source *ls)
{
	ls->ranges.msgid = -1;
	while (ls->ranges.count > 0) {
		remove_at(&ls->ranges, ls->ranges.count - 1);
	}
	ls->ranges.is_orphan = false;
}

static enum status take_part(struct ldap_source *ls, LDAPMessage *message)
{
	struct ranges *r = &ls->ranges;
	uint8_t uuid[SYNC_UUID_SIZE];
	enum status status = ldap_entry_load(&ls->entry, ls->ld, message);

	if (status != CX_OK) {
		return status;
	}
	r->has_entry = true;
	if (r->searches > 1) {
		return range_entry_add(&r->whole, &ls->entry);
	}
	status = ldap_entry_identity(&ls->entry, uuid, NULL);
	if (status == CX_OK && memcmp(uuid, r->jobs[0].uuid, sizeof(uuid)) != 0) {
		return CX_NOTFOUND; /* another one has its name now */
	}
	return status == CX_OK ? range_entry_begin(&r->whole, &ls->entry) : status;
}

static enum status is_stored(struct ldap_source *ls, const uint8_t uuid[16], bool *is)
{
	struct record_id id = { .source = ls->source->id };
	struct store_writer *store = source_store(ls->source);
	struct errbuf err;
	struct span record;
	enum status status = store_begin(store, &err);

	if (status != CX_OK) {
		return status;
	}
	memcpy(id.uuid, uuid, sizeof(id.uuid));
	status = store_get(store, &id, &record);
	store_abort(store);
	*is = status == CX_OK;
	return status == CX_NOTFOUND ? CX_OK : status;
}

/* What is stored of it stays; what never came whole is listed. */
static enum status give_up(struct ldap_source *ls, const struct range_job *job,
    enum status why)
{
	struct span dn = span_of(job->dn);
	const char *reason = "its values come in ranges that make no sense";
	bool is_known = false;
	enum status status = is_stored(ls, job->uuid, &is_known);

	if (why == CX_NOTFOUND || status != CX_OK) {
		return status; /* the server will say what became of it */
	}
	if (why == CX_ETOOLONG) {
		is_known = false; /* as of any entry that is too large */
		reason = ldap_entry_too_large();
	} else if (why == CX_ETEMP) {
		reason =
		    "its values come in ranges, and it changes faster than we read";
	}
	source_skipped(ls->source, dn, reason);
	return is_known ? CX_OK : batch_unusable(job->batch, job->uuid, dn, reason);
}

static void tell_owner(struct ldap_source *ls, const struct batch *batch)
{
	if (batch == &ls->poll.batch) {
		lsrc_poll_ranged(ls);
	} else if (batch == &ls->reread_batch) {
		lsrc_reread_ranged(ls);
	} else {
		lsrc_session_ranged(ls, batch);
	}
}

/* The first job is over, with what there is of it. */
static void end_job(struct ldap_source *ls, enum status outcome)
{
	struct ranges *r = &ls->ranges;
	const struct range_job job = r->jobs[0];
	enum status status = outcome;

	if (outcome == CX_OK) {
		status = range_entry_finish(&r->whole);
	}
	if (status == CX_OK) {
		status = syncrepl_take(ls->source, job.batch, &r->whole.entry, job.uuid,
		    &ls->refused);
	} else if (status != CX_ENOMEM) {
		status = give_up(ls, &job, outcome);
	}
	remove_at(r, 0);
	range_entry_release(&r->whole);
	if (status != CX_OK) {
		lsrc_failed(ls, status_text(status));
		return;
	}
	tell_owner(ls, job.batch);
}

static void on_result(struct ldap_source *ls, LDAPMessage *message)
{
	struct ranges *r = &ls->ranges;
	char text[256];
	int result = lsrc_result_of(ls, message, text);
	struct buf next;
	bool is_more;

	lsrc_timer_stop(ls, TIMER_RANGE);
	r->msgid = -1;
	if (r->is_orphan) {
		r->is_orphan = false;
		return;
	}
	if (result == LDAP_NO_SUCH_OBJECT ||
	    (result == LDAP_SUCCESS && !r->has_entry)) {
		r->status = CX_NOTFOUND;
	} else if (result == LDAP_BUSY || result == LDAP_UNAVAILABLE) {
		lsrc_failed(ls, text);
		return;
	} else if (result != LDAP_SUCCESS) {
		r->status = CX_EINVAL;
	}
	if (r->status == CX_ETEMP && ++r->tries < TRIES_MAX) {
		r->searches = 0; /* lsrc_ranges_run() begins again */
		return;
	}
	buf_init(&next);
	is_more = r->status == CX_OK && range_entry_next(&r->whole, &next);
	buf_release(&next);
	if (is_more && r->searches < SEARCHES_MAX) {
		return;
	}
	end_job(ls, is_more ? CX_EINVAL : r->status);
}

void lsrc_ranges_message(struct ldap_source *ls, LDAPMessage *message)
{
	struct ranges *r = &ls->ranges;

	switch (ldap_msgtype(message)) {
	case LDAP_RES_SEARCH_RESULT: on_result(ls, message); return;
	case LDAP_RES_SEARCH_ENTRY: break;
	default: return;
	}
	if (!r->is_orphan && !r->has_entry) {
		r->status = take_part(ls, message);
		if (r->status == CX_ENOMEM) {
			lsrc_failed(ls, status_text(CX_ENOMEM));
		}
	}
}
