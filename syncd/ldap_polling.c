#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/log.h"
#include "syncd/ldap_source.h"

/*
 * The server says who it is and how far it has come (ldap_poll_server.c); then a pass
 * (poll.h), which may be followed by another at once:
 *
 *   IDLE -> ROOT -> PAGES -> ASK -> RANGES -> delivered -> IDLE, or PAGES of the next pass
 */

/* So many entries that overlap with what is known are read whole each time. */
#define LEAN_MIN 50

static const char *const pass_names[] = {
	[POLL_NEW] = "incremental",
	[POLL_IDENTITIES] = "identity",
	[POLL_FULL] = "full",
};

static int64_t full_interval_s(const struct ldap_source *ls)
{
	int64_t ms = ls->source->conf->full_interval_ms;

	return ms > 0 ? ms / 1000 : (int64_t)15 * 60;
}

static void fail(struct ldap_source *ls)
{
	const struct poll *p = &ls->poll;
	struct buf text;

	buf_init(&text);
	buf_printf(&text,
	    "the %s pass ended with result %d, %s, %s after %zu entries; "
	    "nothing was changed",
	    pass_names[p->pass], p->result, ldap_err2string(p->result), p->text,
	    p->entries);
	lsrc_failed(ls, text.data ? text.data : status_text(CX_ENOMEM));
	buf_release(&text);
}

/* --- Which pass --- */

static void read_mark(struct ldap_source *ls)
{
	struct polling *poll = &ls->polling;
	struct buf stored;

	if (poll->is_mark_read) {
		return;
	}
	buf_init(&stored);
	poll->has_mark = source_mark(ls->source, &stored) == CX_OK &&
			 poll_mark_parse(buf_span(&stored), &poll->mark) == CX_OK;
	poll->is_mark_read = true;
	buf_release(&stored);
}

/* Why everything is to be read; NULL: what is new will do. */
static const char *why_full(struct ldap_source *ls)
{
	const struct polling *poll = &ls->polling;
	const struct poll_mark *mark = &poll->mark;
	int64_t since = source_since_full(ls->source);

	if (!poll->has_mark) {
		return "for the first time, or the server gives no timestamps";
	}
	if (memcmp(mark->server, poll->server, sizeof(mark->server)) != 0 ||
	    poll->has_usn != (mark->kind == POLL_MARK_USN)) {
		return "another server";
	}
	if (poll->has_usn && poll->usn < mark->at) {
		return "the server was restored: its counter went back";
	}
	if (poll->is_blind) {
		return "the server cannot be asked for what is new";
	}
	if (poll->wants_full) {
		return "asked for";
	}
	return since < 0 || since >= full_interval_s(ls) ? "it is time for one" : NULL;
}

static void send_page(struct ldap_source *ls)
{
	struct polling *poll = &ls->polling;
	struct buf filter;
	int rc = LDAP_NO_MEMORY;

	buf_init(&filter);
	if (ls->poll.pass == POLL_NEW) {
		poll_mark_filter(&poll->mark, ls->filter, sync_times.poll_overlap,
		    &filter);
	} else {
		buf_add_text(&filter, ls->filter);
	}
	if (!filter.failed) {
		rc = poll_send(&ls->poll, ls->ld, ls->source->conf->base, ls->scope,
		    filter.data, ls->poll_attributes);
	}
	buf_release(&filter);
	if (rc == LDAP_FILTER_ERROR) {
		lsrc_failed(ls, "the filter is wrong");
	} else if (rc != LDAP_SUCCESS) {
		lsrc_lost(ls, ldap_err2string(rc));
	} else {
		lsrc_timer_start(ls, TIMER_SILENCE, sync_times.silence);
	}
}

static void start_pass(struct ldap_source *ls, enum poll_pass pass, bool is_lean)
{
	ranges_drop(&ls->ranges, &ls->poll.batch);
	poll_start(&ls->poll, pass, is_lean);
	if (pass == POLL_FULL) {
		/* Asked for from now on, it is another one. */
		ls->polling.wants_full = ls->polling.wants_identities = false;
		enum status status =
		    source_begin_refresh(ls->source, &ls->poll.batch, true);

		if (status != CX_OK) {
			lsrc_stopped(ls);
			return;
		}
	}
	ls->poll.started_ms = lsrc_now_ms();
	ls->polling.step = POLLING_PAGES;
	send_page(ls);
}

void lsrc_poll_choose(struct ldap_source *ls)
{
	const char *why;

	read_mark(ls);
	why = why_full(ls);
	if (why != NULL) {
		log_info("directory=%s full pass: %s", ls->source->conf->name, why);
	}
	start_pass(ls, why != NULL ? POLL_FULL : POLL_NEW,
	    ls->polling.last_new > LEAN_MIN && !ls->polling.is_unsearchable);
}

/* What was to be read again when the last connection, or process, ended. */
static enum status load_agenda(struct ldap_source *ls)
{
	enum status status = CX_OK;

	if (!ls->polling.is_begun) {
		status = lsrc_agenda_load(ls, false);
		ls->polling.wants_identities |= ls->wants_refresh;
		ls->wants_refresh = false;
		ls->polling.is_begun = true;
	}
	return status;
}

void lsrc_poll_begin(struct ldap_source *ls)
{
	if (load_agenda(ls) != CX_OK) {
		lsrc_failed(ls, status_text(CX_ENOMEM));
		return;
	}
	poll_reset(&ls->poll);
	ls->source->state = "poll";
	ls->polling.step = POLLING_ROOT;
	if (ls->polling.identities_ms == 0) {
		ls->polling.identities_ms = lsrc_now_ms() + sync_times.poll_identities;
	}
	lsrc_timer_start(ls, TIMER_SILENCE, sync_times.silence);
	lsrc_poll_ask_server(ls);
}

void lsrc_poll_end(struct ldap_source *ls)
{
	struct polling *poll = &ls->polling;

	if (poll->step != POLLING_IDLE && ls->poll.pass == POLL_FULL) {
		poll->wants_full = true;
	}
	poll_reset(&ls->poll);
	poll->step = POLLING_IDLE;
	poll->root_msgid = poll->service_msgid = poll->contact_msgid = -1;
	poll->is_unsearchable = false;
	poll->last_new = 0;
	poll->is_begun = poll->is_blind = poll->was_empty = poll->is_contact_late =
	    false;
}

/* --- The end of a pass --- */

static int64_t smaller(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/*
 * How far the pass has come. A timestamp that is far ahead of the rest (the server's
 * clock was wrong once) would hide everything that comes behind it: what a comparison finds
 * and an incremental pass should have, puts the mark back, and only news put it forward.
 */
static void advance_mark(struct ldap_source *ls, struct poll_mark *mark, bool *has_mark)
{
	const struct polling *poll = &ls->polling;
	const struct poll *p = &ls->poll;
	bool is_known =
	    poll->has_mark && poll->mark.kind == POLL_MARK_TIME &&
	    memcmp(poll->mark.server, poll->server, sizeof(poll->server)) == 0;
	int64_t old = is_known ? poll->mark.at : 0;

	memset(mark, 0, sizeof(*mark));
	memcpy(mark->server, poll->server, sizeof(mark->server));
	*has_mark = true;
	if (poll->has_usn) {
		mark->kind = POLL_MARK_USN;
		mark->at = poll->usn;
		return;
	}
	mark->kind = POLL_MARK_TIME;
	mark->slack_s = (lsrc_now_ms() - p->started_ms) / 1000 + 1;
	if (p->pass == POLL_NEW) {
		mark->at = p->has_news && p->news_max > old ? p->news_max : old;
		return;
	}
	*has_mark = p->has_time;
	if (!is_known || p->stamps.count == 0) {
		mark->at = p->time_max;
	} else if (p->pass == POLL_IDENTITIES && p->has_news) {
		mark->at = p->news_max;
	} else {
		mark->at = smaller(old, p->time_max);
		if (p->has_news && p->news_max > mark->at) {
			mark->at = p->news_max;
		}
	}
}

static void wait_for_next(struct ldap_source *ls)
{
	ls->polling.step = POLLING_IDLE;
	lsrc_timer_stop(ls, TIMER_SILENCE);
	lsrc_timer_start(ls, TIMER_POLL,
	    ls->polling.wants_full ? 0 : ls->source->conf->poll_interval_ms);
	if (!lsrc_timer_is_running(ls, TIMER_CONTACT)) {
		lsrc_timer_start(ls, TIMER_CONTACT, ls->source->contact_ms);
	}
}

/* Nothing, not even what was last: gone, or the server does not search as we ask. */
static void consider_empty(struct ldap_source *ls, size_t entries)
{
	struct polling *poll = &ls->polling;

	if (poll->has_usn || entries > 0) {
		poll->was_empty = false;
	} else if (!poll->was_empty) {
		poll->was_empty = poll->wants_identities = true;
	} else {
		log_warnx(
		    "directory=%s the server finds nothing by modifyTimestamp: every poll reads "
		    "everything",
		    ls->source->conf->name);
		poll->is_blind = true;
	}
}

static void log_pass(const struct ldap_source *ls)
{
	const struct poll *p = &ls->poll;
	int64_t took = lsrc_now_ms() - p->started_ms;
	const char *name = ls->source->conf->name;

	struct buf line;

	buf_init(&line);
	buf_printf(&line,
	    "directory=%s %s pass finished with %zu entries, %zu of them whole, in "
	    "%lld.%03lld s",
	    name, pass_names[p->pass], p->entries, p->whole, (long long)(took / 1000),
	    (long long)(took % 1000));
	if (p->pass == POLL_FULL) {
		log_info("%s", line.data ? line.data : name);
	} else {
		log_debug("%s", line.data ? line.data : name);
	}
	buf_release(&line);
	if (p->references > 0 && p->pass == POLL_FULL) {
		log_warnx(
		    "directory=%s %zu referrals to other servers are not followed",
		    name, p->references);
	}
}

static void reread(struct ldap_source *ls)
{
	if (ls->reread.count > 0 && ls->reread_msgid < 0 && !ls->does_reread_wait &&
	    !lsrc_timer_is_running(ls, TIMER_REREAD)) {
		lsrc_timer_start(ls, TIMER_REREAD, sync_times.reread[0]);
	}
}

/* It is in the replica. */
static void finish(struct ldap_source *ls)
{
	struct polling *poll = &ls->polling;
	struct poll *p = &ls->poll;
	enum poll_pass pass = p->pass;
	size_t entries = p->entries;

	log_pass(ls);
	ls->identities |= p->kinds;
	poll_commit(p);
	poll_reset(p);
	ls->source->refreshes++;
	ls->failures = 0;
	ls->tried = 0;
	reread(ls);
	if (pass != POLL_NEW) {
		poll->identities_ms = lsrc_now_ms() + sync_times.poll_identities;
	} else {
		poll->last_new = entries;
		consider_empty(ls, entries);
	}
	if (pass == POLL_NEW &&
	    (poll->wants_identities || lsrc_now_ms() >= poll->identities_ms)) {
		poll->wants_identities = false;
		start_pass(ls, POLL_IDENTITIES, false);
		return;
	}
	wait_for_next(ls);
}

static void deliver(struct ldap_source *ls)
{
	struct polling *poll = &ls->polling;
	struct poll *p = &ls->poll;
	struct poll_mark mark;
	bool has_mark;
	enum status status = poll_seal(p);

	advance_mark(ls, &mark, &has_mark);
	p->batch.has_mark = true;
	if (has_mark) {
		poll_mark_print(&mark, &p->batch.mark);
	}
	if (status == CX_OK && p->batch.mark.failed) {
		status = CX_ENOMEM;
	}
	if (status != CX_OK) {
		lsrc_failed(ls, status_text(status));
		return;
	}
	if (p->pass == POLL_FULL) {
		/* References were read with everything else. */
		status = source_deliver(ls->source, &p->batch);
		if (status != CX_OK) {
			lsrc_stopped(ls);
			return;
		}
	} else if (!lsrc_deliver(ls, &p->batch, false)) {
		return;
	}
	poll->mark = mark;
	poll->has_mark = has_mark;
	finish(ls);
}

static void wait_for_ranges(struct ldap_source *ls)
{
	ls->polling.step = POLLING_RANGES;
	lsrc_poll_ranged(ls);
}

void lsrc_poll_ranged(struct ldap_source *ls)
{
	if (ls->polling.step == POLLING_RANGES &&
	    !ranges_wait(&ls->ranges, &ls->poll.batch)) {
		deliver(ls);
	}
}

/* --- The searches of a pass --- */

/* What differs cannot be read one by one. */
static void read_all(struct ldap_source *ls, const char *why)
{
	enum poll_pass pass = ls->poll.pass == POLL_NEW ? POLL_NEW : POLL_FULL;

	log_info("directory=%s %s pass: %s", ls->source->conf->name, pass_names[pass],
	    why);
	ls->polling.is_unsearchable |= (ls->poll.kinds & LDAP_IDENTITY_DN) != 0;
	start_pass(ls, pass, false);
}

static void ask(struct ldap_source *ls)
{
	struct buf filter;
	bool is_more;

	buf_init(&filter);
	is_more = poll_ask(&ls->poll, ls->filter, &filter);
	ls->polling.step = POLLING_ASK;
	if (filter.failed) {
		lsrc_failed(ls, status_text(CX_ENOMEM));
	} else if (is_more) {
		lsrc_search(ls, ls->source->conf->base, ls->scope, filter.data,
		    ls->poll_attributes, NULL, &ls->poll.msgid);
	} else if (ls->poll.has_unread) {
		ls->polling.is_unsearchable = true;
		read_all(ls, "the server does not find entries by their ids");
	} else {
		wait_for_ranges(ls);
	}
	buf_release(&filter);
}

/* This server may lag behind the one that sent them (ldap_grace.c): a later pass judges. */
static enum status spare_recent(struct ldap_source *ls)
{
	struct poll *p = &ls->poll;
	struct uuid_set recent;
	enum status status;

	uuid_set_init(&recent, ls->source->scratch);
	status = recent_of_others(&ls->recent, ls->uri_at,
	    lsrc_now_ms() - sync_times.lag_grace, &recent);
	for (size_t i = 0; i < recent.count && status == CX_OK; i++) {
		if (uuid_set_has(&p->absent, recent.list[i])) {
			uuid_set_remove(&p->absent, recent.list[i]);
			status = batch_spare(&p->batch, recent.list[i]);
		}
	}
	uuid_set_release(&recent);
	return status;
}

static void on_pages_done(struct ldap_source *ls)
{
	enum status status = CX_OK;

	if (ls->poll.pass != POLL_NEW) {
		status = poll_compare(&ls->poll);
		if (status == CX_OK) {
			status = spare_recent(ls);
		}
	}
	if (status != CX_OK) {
		lsrc_failed(ls, status_text(status));
	} else if (poll_needs_all(&ls->poll)) {
		read_all(ls, "much has changed");
	} else {
		ask(ls);
	}
}

static void on_pass_message(struct ldap_source *ls, LDAPMessage *message)
{
	struct poll *p = &ls->poll;
	bool is_asking = ls->polling.step == POLLING_ASK;
	enum poll_event event = is_asking ? poll_ask_message(p, ls->ld, message)
					  : poll_message(p, ls->ld, message);

	if ((event == POLL_NOTHING || event == POLL_PAGE) &&
	    lsrc_now_ms() - p->started_ms > sync_times.poll_pass_max) {
		lsrc_failed(ls, "the pass takes too long");
		return;
	}
	switch (event) {
	case POLL_NOTHING: break;
	case POLL_PAGE: send_page(ls); break;
	case POLL_DONE:
		if (is_asking) {
			ask(ls);
		} else {
			on_pages_done(ls);
		}
		break;
	case POLL_ENDED:
	case POLL_BROKEN: fail(ls); break;
	}
}

/* --- Between passes --- */

void lsrc_poll_full(struct ldap_source *ls)
{
	ls->polling.wants_full = true;
	if (lsrc_timer_is_running(ls, TIMER_POLL)) {
		lsrc_timer_start(ls, TIMER_POLL, 0);
	}
}

void lsrc_poll_compare_soon(struct ldap_source *ls, int64_t ms, const char *why)
{
	if (ls->polling.step == POLLING_IDLE &&
	    !lsrc_timer_is_running(ls, TIMER_POLL)) {
		return;
	}
	log_debug("directory=%s names are compared: %s", ls->source->conf->name, why);
	ls->polling.wants_identities = true;
	if (ms < ls->source->conf->poll_interval_ms &&
	    lsrc_timer_is_running(ls, TIMER_POLL)) {
		lsrc_timer_start(ls, TIMER_POLL, ms);
	}
}

bool lsrc_poll_owns(const struct ldap_source *ls, int msgid)
{
	const struct polling *poll = &ls->polling;

	return msgid == ls->poll.msgid || msgid == poll->root_msgid ||
	       msgid == poll->service_msgid || msgid == poll->contact_msgid;
}

void lsrc_poll_message(struct ldap_source *ls, LDAPMessage *message)
{
	int msgid = ldap_msgid(message);

	if (msgid == ls->poll.msgid) {
		on_pass_message(ls, message);
	} else if (msgid == ls->polling.contact_msgid) {
		lsrc_contact_message(ls, message);
	} else {
		lsrc_poll_server_message(ls, message);
	}
}
