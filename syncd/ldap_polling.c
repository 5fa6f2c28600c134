#include "config.h"

#include <string.h>

#include "daemon/log.h"
#include "syncd/ldap_source.h"

/*
 * The server says who it is and how far it has come (ldap_poll_server.c); then a pass
 * (poll.h; ldap_pass.c, ldap_pass_end.c), which may be followed by another at once:
 *
 *   IDLE -> ROOT -> PAGES -> ASK -> RANGES -> delivered -> IDLE, or PAGES of the next pass
 */

/* So many entries that overlap with what is known are read whole each time. */
#define LEAN_MIN 50

static int64_t full_interval_s(const struct ldap_source *ls)
{
	return conf_full_interval_ms(ls->source->conf, true) / 1000;
}

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

void lsrc_poll_choose(struct ldap_source *ls)
{
	const char *why;

	read_mark(ls);
	why = why_full(ls);
	if (why != NULL) {
		log_info("directory=%s full pass: %s", ls->source->conf->name, why);
	}
	lsrc_pass_start(ls, why != NULL ? POLL_FULL : POLL_NEW,
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
		lsrc_pass_message(ls, message);
	} else if (msgid == ls->polling.contact_msgid) {
		lsrc_contact_message(ls, message);
	} else {
		lsrc_poll_server_message(ls, message);
	}
}
