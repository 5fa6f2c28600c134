#include "config.h"

#include "daemon/log.h"
#include "syncd/ldap_source.h"

const char *lsrc_pass_name(enum poll_pass pass)
{
	static const char *const names[] = {
		[POLL_NEW] = "incremental",
		[POLL_IDENTITIES] = "identity",
		[POLL_FULL] = "full",
	};

	return names[pass];
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

void lsrc_pass_start(struct ldap_source *ls, enum poll_pass pass, bool is_lean)
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

/* What differs cannot be read one by one. */
static void read_all(struct ldap_source *ls, const char *why)
{
	enum poll_pass pass = ls->poll.pass == POLL_NEW ? POLL_NEW : POLL_FULL;

	log_info("directory=%s %s pass: %s", ls->source->conf->name,
	    lsrc_pass_name(pass), why);
	ls->polling.is_unsearchable |= (ls->poll.kinds & LDAP_IDENTITY_DN) != 0;
	lsrc_pass_start(ls, pass, false);
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
		ls->polling.step = POLLING_RANGES;
		lsrc_poll_ranged(ls);
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

static void fail(struct ldap_source *ls)
{
	const struct poll *p = &ls->poll;
	struct buf text;

	buf_init(&text);
	buf_printf(&text,
	    "the %s pass ended with result %d, %s, %s after %zu entries; "
	    "nothing was changed",
	    lsrc_pass_name(p->pass), p->result, ldap_err2string(p->result), p->text,
	    p->entries);
	lsrc_failed(ls, text.data ? text.data : status_text(CX_ENOMEM));
	buf_release(&text);
}

void lsrc_pass_message(struct ldap_source *ls, LDAPMessage *message)
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
