#include "config.h"

#include "daemon/log.h"
#include "syncd/ldap_source.h"

static void send_page(struct ldap_source *ls)
{
	int rc = poll_send(&ls->poll, ls->ld, ls->source->conf->base, ls->scope,
	    ls->filter, ls->attributes);

	if (rc == LDAP_FILTER_ERROR) {
		lsrc_failed(ls, "the filter is wrong");
	} else if (rc != LDAP_SUCCESS) {
		lsrc_lost(ls, ldap_err2string(rc));
	} else {
		lsrc_timer_start(ls, TIMER_SILENCE, sync_times.silence);
	}
}

void lsrc_poll_begin(struct ldap_source *ls)
{
	poll_reset(&ls->poll);
	ls->poll.started_ms = lsrc_now_ms();
	ls->source->state = "poll";
	send_page(ls);
}

void lsrc_poll_end(struct ldap_source *ls)
{
	poll_reset(&ls->poll);
}

static void on_done(struct ldap_source *ls)
{
	struct poll *p = &ls->poll;
	int64_t took = lsrc_now_ms() - p->started_ms;
	size_t entries = p->entries;
	struct uuid_set known;
	enum status status;

	lsrc_timer_stop(ls, TIMER_SILENCE);
	uuid_set_init(&known, ls->source->scratch);
	status = follow_known(ls->source, &known);
	if (status == CX_OK) {
		status = poll_seal(p, &known);
	}
	uuid_set_release(&known);
	if (status == CX_OK) {
		status = source_deliver(ls->source, &p->batch);
	}
	if (status != CX_OK) {
		lsrc_failed(ls, status_text(status));
		return;
	}
	log_debug("directory=%s pass finished with %zu entries in %lld.%03lld s",
	    ls->source->conf->name, entries, (long long)(took / 1000),
	    (long long)(took % 1000));
	ls->source->refreshes++;
	ls->failures = 0;
	ls->tried = 0;
	poll_reset(p);
	lsrc_timer_start(ls, TIMER_POLL, ls->source->conf->poll_interval_ms);
}

void lsrc_poll_message(struct ldap_source *ls, LDAPMessage *message)
{
	struct poll *p = &ls->poll;
	struct buf text;

	switch (poll_message(p, ls->ld, message)) {
	case POLL_NOTHING: return;
	case POLL_PAGE: send_page(ls); return;
	case POLL_DONE: on_done(ls); return;
	case POLL_ENDED:
	case POLL_BROKEN: break;
	}
	buf_init(&text);
	buf_printf(&text,
	    "the pass ended with result %d, %s, %s after %zu entries; "
	    "nothing was changed",
	    p->result, ldap_err2string(p->result), p->text, p->entries);
	lsrc_failed(ls, text.data ? text.data : status_text(CX_ENOMEM));
	buf_release(&text);
}
