#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/log.h"
#include "syncd/ldap_source.h"

/* A batch that large is delivered without waiting for more. */
#define BATCH_MAX 500

bool lsrc_is_persisting(const struct ldap_source *ls)
{
	return ls->session != NULL && ls->session->is_refreshed && !ls->session->waits;
}

void lsrc_session_free(struct ldap_source *ls, struct syncrepl **at)
{
	if (*at != NULL) {
		ranges_drop(&ls->ranges, &(*at)->batch);
		syncrepl_abandon(*at, ls->ld);
		syncrepl_release(*at);
		free(*at);
		*at = NULL;
	}
}

void lsrc_session_end(struct ldap_source *ls)
{
	lsrc_session_free(ls, &ls->session);
	lsrc_session_free(ls, &ls->next);
	ls->wants_refresh = false;
}

bool lsrc_session_start(struct ldap_source *ls, struct syncrepl **at,
    struct span cookie)
{
	struct syncrepl_request request = { ls->source->conf->base, ls->scope,
		ls->filter, ls->attributes, cookie };
	int rc;

	*at = malloc(sizeof(**at));
	if (*at == NULL) {
		lsrc_failed(ls, status_text(CX_ENOMEM));
		return false;
	}
	syncrepl_init(*at, ls->source, &ls->refused);
	(*at)->started_ms = lsrc_now_ms();
	rc = syncrepl_start(*at, ls->ld, &request);
	if (rc == LDAP_SUCCESS) {
		/* Beside a session that is in force not everything is in the refresh. */
		bool is_complete = !(*at)->has_sent_cookie && at == &ls->session;
		enum status status = source_begin_refresh(ls->source, &(*at)->batch,
		    is_complete);

		if (status != CX_OK) {
			lsrc_stopped(ls);
		}
		return status == CX_OK;
	}
	if (rc == LDAP_FILTER_ERROR) {
		lsrc_failed(ls, "the filter is wrong");
	} else {
		lsrc_lost(ls, ldap_err2string(rc));
	}
	return false;
}

void lsrc_session_begin(struct ldap_source *ls)
{
	struct buf cookie;
	enum status status = CX_OK;

	buf_init(&cookie);
	if (!ls->must_drop_cookie) {
		status = source_cookie(ls->source, &cookie);
	}
	lsrc_session_free(ls, &ls->session);
	if (status == CX_OK || status == CX_NOTFOUND) {
		status = lsrc_agenda_load(ls, cookie.len == 0);
	}
	if (status != CX_OK) {
		lsrc_failed(ls, status_text(status));
	} else {
		ls->source->state = "refresh";
		lsrc_timer_start(ls, TIMER_SILENCE, sync_times.silence);
		lsrc_session_start(ls, &ls->session, buf_span(&cookie));
	}
	buf_release(&cookie);
}

bool lsrc_session_flush(struct ldap_source *ls, bool has_contact)
{
	struct syncrepl *s = ls->session;

	lsrc_timer_stop(ls, TIMER_SETTLE);
	lsrc_timer_stop(ls, TIMER_COOKIE);
	if (!lsrc_is_persisting(ls)) {
		return true;
	}
	if (syncrepl_seal(s, has_contact) != CX_OK) {
		lsrc_failed(ls, status_text(CX_ENOMEM));
		return false;
	}
	/* The cookie would say that what is still being read in parts is here. */
	s->batch.has_cookie = !ranges_wait(&ls->ranges, &s->batch);
	bool is_delivered = lsrc_deliver(ls, &s->batch,
	    s->batch.is_complete && !s->has_sent_cookie);
	ls->flushed_ms = lsrc_now_ms();
	return is_delivered;
}

static void start_interval(struct ldap_source *ls)
{
	int64_t ms = conf_full_interval_ms(ls->source->conf, false), age_s;

	/* Connections, and this process, may never last as long: it counts from the last one. */
	age_s = source_since_full(ls->source);
	lsrc_timer_start(ls, TIMER_INTERVAL,
	    age_s < 0		 ? ms
	    : age_s >= ms / 1000 ? 0
				 : ms - age_s * 1000);
}

/* The session in force has its refresh complete. */
static void settle_in(struct ldap_source *ls, bool is_new)
{
	ls->must_drop_cookie = false;
	ls->was_newer = false;
	ls->tried = 0;
	/* Not none before it has proved to last. */
	ls->failures = ls->failures < LSRC_LOST_MAX ? ls->failures : LSRC_LOST_MAX;
	ls->source->state = "persist";
	lsrc_timer_stop(ls, TIMER_SILENCE);
	start_interval(ls);
	lsrc_grace_begin(ls);
	if (is_new) {
		ls->connected_ms = lsrc_now_ms();
		lsrc_probe_begin(ls);
		if (ls->ld != NULL && ls->session->has_sent_cookie) {
			lsrc_newer_begin(ls);
		}
	}
	if (ls->ld != NULL && is_new && ls->reread.count > 0) {
		/* Of this refresh, or from the agenda: not before what it may be newer than. */
		lsrc_timer_start(ls, TIMER_REREAD, sync_times.reread[0]);
	}
	if (ls->ld != NULL && ls->wants_refresh) {
		ls->wants_refresh = false;
		lsrc_refresh_in(ls, 0, "asked for meanwhile");
	}
}

static void on_refreshed(struct ldap_source *ls, struct syncrepl *s)
{
	bool is_new = s == ls->session, is_over = s->is_over;
	size_t entries = s->entries, references = s->references;
	bool is_full = !s->has_sent_cookie;
	int64_t took = lsrc_now_ms() - s->started_ms;
	enum status status;

	if (!is_new && !lsrc_hand_over(ls)) {
		return;
	}
	s->batch.is_refresh = true;
	s->batch.is_full = is_full;
	status = lsrc_grace_spare(ls, &s->batch, buf_span(&s->cookie));
	if (status != CX_OK) {
		lsrc_failed(ls, status_text(status));
		return;
	}
	if (!lsrc_session_flush(ls, true)) {
		return;
	}
	log_info("directory=%s %s refresh finished with %zu entries in %lld.%03lld s",
	    ls->source->conf->name, is_full ? "full" : "incremental", entries,
	    (long long)(took / 1000), (long long)(took % 1000));
	if (references > 0) {
		log_warnx(
		    "directory=%s %zu referrals to other servers are not followed",
		    ls->source->conf->name, references);
	}
	ls->source->refreshes++;
	settle_in(ls, is_new);
	if (is_over && ls->ld != NULL) {
		/* It all but polls: then as often as that. */
		lsrc_again_in(ls, "the server ended the search after the refresh",
		    ls->source->conf->poll_interval_ms);
	}
}

/*
 * A change that comes alone is delivered as soon as what has come with it is read; of
 * many, those of one moment become one transaction.
 */
static int64_t settle_ms(const struct ldap_source *ls)
{
	int64_t since_ms = lsrc_now_ms() - ls->flushed_ms;

	return since_ms >= sync_times.settle ? 0 : sync_times.settle - since_ms;
}

static void on_changed(struct ldap_source *ls, struct syncrepl *s, bool is_cookie_only)
{
	if (s != ls->session) {
		/* Behind a refresh that is kept waiting, and mixed up with it: once more. */
		ls->wants_refresh = true;
		return;
	}
	if (s->batch.count >= BATCH_MAX) {
		lsrc_session_flush(ls, false);
	} else if (!is_cookie_only && !lsrc_timer_is_running(ls, TIMER_SETTLE)) {
		lsrc_timer_start(ls, TIMER_SETTLE, settle_ms(ls));
	} else if (is_cookie_only && !lsrc_timer_is_running(ls, TIMER_COOKIE)) {
		lsrc_timer_start(ls, TIMER_COOKIE, sync_times.cookie);
	}
}

void lsrc_session_message(struct ldap_source *ls, struct syncrepl *s,
    LDAPMessage *message)
{
	enum syncrepl_event event = syncrepl_message(s, ls->ld, message);
	char text[sizeof(s->text)];

	switch (event) {
	case SYNCREPL_NOTHING:
		if (!s->is_refreshed &&
		    lsrc_now_ms() - s->started_ms > sync_times.refresh_max) {
			lsrc_took_too_long(ls, s, "the refresh takes too long");
		}
		break;
	case SYNCREPL_DONE:
		s->waits = ranges_wait(&ls->ranges, &s->batch);
		if (!s->waits) {
			on_refreshed(ls, s);
		}
		break;
	case SYNCREPL_CHANGED: on_changed(ls, s, false); break;
	case SYNCREPL_COOKIE: on_changed(ls, s, true); break;
	case SYNCREPL_IGNORED:
		lsrc_begin_without_cookie(ls, "the server did not take our cookie");
		break;
	case SYNCREPL_ENDED: lsrc_session_ended(ls, s); break;
	case SYNCREPL_BROKEN:
		memcpy(text, s->text, sizeof(text));
		lsrc_failed(ls, text);
		break;
	}
}

void lsrc_session_ranged(struct ldap_source *ls, const struct batch *batch)
{
	struct syncrepl *s = ls->next != NULL && batch == &ls->next->batch ? ls->next
									    : ls->session;

	if (ranges_wait(&ls->ranges, batch)) {
		return;
	}
	if (s->waits) {
		s->waits = false;
		on_refreshed(ls, s);
	} else if (s->is_refreshed) {
		on_changed(ls, s, false);
	}
}
