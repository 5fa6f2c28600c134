#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/log.h"
#include "replica/store_write.h"
#include "syncd/cookie.h"
#include "syncd/ldap_source.h"

/* A batch that large is delivered without waiting for more. */
#define BATCH_MAX 500

bool lsrc_is_persisting(const struct ldap_source *ls)
{
	return ls->session != NULL && ls->session->is_refreshed && !ls->session->waits;
}

static void session_free(struct ldap_source *ls, struct syncrepl **at)
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
	session_free(ls, &ls->session);
	session_free(ls, &ls->next);
	ls->wants_refresh = false;
}

static bool session_start(struct ldap_source *ls, struct syncrepl **at,
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
	session_free(ls, &ls->session);
	if (status == CX_OK || status == CX_NOTFOUND) {
		status = lsrc_agenda_load(ls, cookie.len == 0);
	}
	if (status != CX_OK) {
		lsrc_failed(ls, status_text(status));
	} else {
		ls->source->state = "refresh";
		lsrc_timer_start(ls, TIMER_SILENCE, sync_times.silence);
		session_start(ls, &ls->session, buf_span(&cookie));
	}
	buf_release(&cookie);
}

/* What the batch means for others is known before it is delivered, and acted on after. */
static void act_on(struct ldap_source *ls, const struct follow *follow, bool is_full)
{
	if (follow->is_container_changed && !is_full) {
		lsrc_refresh_in(ls, sync_times.container, "a container changed");
	}
	if (follow->has_unknown && !is_full) {
		lsrc_refresh_forced(ls, "the server names entries that it never sent");
	}
	if (follow->referrers.count > LSRC_REREAD_MAX) {
		lsrc_refresh_forced(ls, "very many references changed");
	} else if (lsrc_reread_add(ls, follow) != CX_OK) {
		lsrc_refresh_forced(ls, "no memory to read references again");
	}
}

static enum status touch(struct ldap_source *ls, const struct batch *batch)
{
	enum status status = CX_OK;

	for (size_t i = 0; i < batch->count && status == CX_OK; i++) {
		const uint8_t *uuid = batch->changes[i].uuid;

		if (ls->next != NULL) {
			status = uuid_set_add(&ls->touched, uuid);
		}
		if (status == CX_OK &&
		    (ls->reread_msgid >= 0 || ls->does_reread_wait)) {
			status = uuid_set_add(&ls->reread_touched, uuid);
		}
	}
	return status;
}

bool lsrc_deliver(struct ldap_source *ls, struct batch *batch, bool is_full)
{
	struct follow follow;
	enum status status;
	bool is_ready = false;

	follow_init(&follow, ls->source);
	status = follow_batch(ls->source, batch, &ls->refused, &follow);
	if (status == CX_OK) {
		status = touch(ls, batch);
	}
	if (status == CX_OK) {
		status = lsrc_agenda_note(ls, batch, &follow, is_full);
	}
	if (status == CX_OK && batch != &ls->reread_batch) {
		status = follow_patch(ls->source, batch, &follow);
	}
	if (status == CX_OK) {
		status = lsrc_grace_note(ls, batch);
	}
	if (status == CX_OK) {
		is_ready = true;
		status = source_deliver(ls->source, batch);
	}
	batch_clear(batch);
	if (status == CX_OK) {
		act_on(ls, &follow, is_full);
	} else {
		/* On with the stored cookie: what is in memory may be ahead of it. */
		ls->must_drop_cookie = ls->must_drop_cookie || status == CX_NOTFOUND;
		if (is_ready) {
			lsrc_stopped(ls);
		} else {
			lsrc_failed(ls, status_text(status));
		}
	}
	follow_release(&follow);
	return status == CX_OK;
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

/*
 * The new session read everything while the old one went on: what the old one delivered
 * meanwhile is newer, and the new one will send it again behind its refresh.
 */
static bool spare_touched(struct ldap_source *ls, struct batch *batch)
{
	for (size_t i = 0; i < batch->count; i++) {
		if (uuid_set_has(&ls->touched, batch->changes[i].uuid)) {
			batch->changes[i].kind = CHANGE_SPARED;
		}
	}
	for (size_t i = 0; i < ls->touched.count; i++) {
		if (batch_spare(batch, ls->touched.list[i]) != CX_OK) {
			return false;
		}
	}
	return true;
}

/* The old session has sent everything that the server had when the new one was done. */
static bool is_caught_up(const struct ldap_source *ls)
{
	struct span old = buf_span(&ls->session->cookie);
	struct span new = buf_span(&ls->next->cookie);

	return cookie_covers_all(old, new) || (new.len > 0 && span_equal(old, new));
}

/*
 * Of an entry that is spared the last word is the old session's, which may not have said it when
 * it ends: what the new one read may have been newer, and it does not send it again.
 */
static bool is_doubtful(const struct ldap_source *ls)
{
	const struct batch *batch = &ls->next->batch;
	struct record_id id = { .source = ls->source->id };
	size_t same = 0;

	if (ls->touched.count == 0 || is_caught_up(ls)) {
		return false;
	}
	for (size_t i = 0; i < batch->count; i++) {
		const struct change *change = &batch->changes[i];

		if (!uuid_set_has(&ls->touched, change->uuid)) {
			continue;
		}
		memcpy(id.uuid, change->uuid, sizeof(id.uuid));
		same += change->kind == CHANGE_SAME ||
			(change->kind == CHANGE_PUT &&
			    store_holds(source_store(ls->source), &id,
				batch_record(batch, change)));
	}
	/* One that was read twice counts twice: whoever is in doubt reads again. */
	return same != ls->touched.count;
}

/* True: `next` took the place of the session. */
static bool hand_over(struct ldap_source *ls)
{
	struct syncrepl *next = ls->next;
	bool must_repeat;

	if (!lsrc_session_flush(ls, false)) {
		return false;
	}
	must_repeat = is_doubtful(ls);
	if (!spare_touched(ls, &next->batch)) {
		lsrc_failed(ls, status_text(CX_ENOMEM));
		return false;
	}
	session_free(ls, &ls->session);
	ls->session = next;
	ls->next = NULL;
	uuid_set_release(&ls->touched);
	if (must_repeat) {
		lsrc_refresh_forced(ls, "entries changed while everything was read");
	}
	return true;
}

static void start_interval(struct ldap_source *ls)
{
	int64_t ms = ls->source->conf->full_interval_ms, age_s;

	if (ms == 0) {
		ms = 24 * (int64_t)3600 * 1000;
	}
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

	if (!is_new && !hand_over(ls)) {
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

/* Everything once more, from this server and on this connection. */
static void begin_without_cookie(struct ldap_source *ls, const char *why)
{
	log_warnx("directory=%s %s; everything is read again", ls->source->conf->name,
	    why);
	ls->must_drop_cookie = true;
	lsrc_session_begin(ls);
}

static bool can_poll(const struct ldap_source *ls, const struct syncrepl *s)
{
	return ls->source->conf->sync == SYNC_AUTO && !s->is_refreshed &&
	       (s->result == LDAP_UNAVAILABLE_CRITICAL_EXTENSION ||
		   s->result == LDAP_INSUFFICIENT_ACCESS ||
		   s->result == LDAP_UNWILLING_TO_PERFORM ||
		   s->result == LDAP_PROTOCOL_ERROR);
}

static const char *hint(int result)
{
	switch (result) {
	case LDAP_SIZELIMIT_EXCEEDED:
	case LDAP_TIMELIMIT_EXCEEDED:
	case LDAP_ADMINLIMIT_EXCEEDED:
		return " (the server limits our searches: give bind_dn unlimited size and time)";
	case LDAP_NO_SUCH_OBJECT:
		return " (the base does not exist, or bind_dn may not read it)";
	case LDAP_UNAVAILABLE_CRITICAL_EXTENSION:
		return " (no syncprov overlay for this database)";
	default: return "";
	}
}

static void fail_with_result(struct ldap_source *ls, const struct syncrepl *s)
{
	struct buf text;

	buf_init(&text);
	buf_printf(&text, "the search ended with result %d, %s", s->result,
	    ldap_err2string(s->result));
	if (s->text[0] != '\0') {
		buf_add_text(&text, ", ");
		buf_add_text(&text, s->text);
	}
	if (!s->is_refreshed) {
		buf_printf(&text, " after %zu entries%s; nothing was changed",
		    s->entries, hint(s->result));
	}
	if (s->is_refreshed) {
		lsrc_lost(ls, text.data ? text.data : "no memory");
	} else {
		lsrc_failed(ls, text.data ? text.data : "no memory");
	}
	buf_release(&text);
}

/* A cookie that is newer than the server: it lags, or came back from a crash (T10). */
static void on_newer(struct ldap_source *ls)
{
	if (ls->was_newer) {
		begin_without_cookie(ls, "the server lost changes that we have seen");
		return;
	}
	ls->was_newer = true;
	lsrc_failed_for(ls, "the server is behind what we have seen", sync_times.newer);
}

/* A full refresh beside the session did not work: that one goes on. */
static void give_up_next(struct ldap_source *ls, const char *why)
{
	source_error(ls->source, "the full refresh ended with %s", why);
	lsrc_timer_stop(ls, TIMER_SILENCE);
	session_free(ls, &ls->next);
	uuid_set_release(&ls->touched);
	/* Why it was wanted still holds. */
	ls->wants_refresh = false;
	lsrc_refresh_in(ls, sync_times.backoff_max, "the last one failed");
}

static void on_ended(struct ldap_source *ls, struct syncrepl *s)
{
	if (s == ls->next) {
		char why[128];

		snprintf(why, sizeof(why), "result %d, %s", s->result,
		    ldap_err2string(s->result));
		give_up_next(ls, why);
	} else if (s->result == LDAP_SYNC_REFRESH_REQUIRED &&
		   (s->is_refreshed || s->has_sent_cookie)) {
		if (lsrc_session_flush(ls, false)) {
			begin_without_cookie(ls, "the server asks for a full refresh");
		}
	} else if (s->result == LDAP_UNWILLING_TO_PERFORM && s->has_sent_cookie &&
		   !s->is_refreshed && strstr(s->text, "consumer") != NULL) {
		on_newer(ls);
	} else if (can_poll(ls, s)) {
		log_warnx(
		    "directory=%s the server offers no syncrepl here (result %d, %s): "
		    "polling",
		    ls->source->conf->name, s->result, ldap_err2string(s->result));
		ls->is_polling = true;
		ls->persist_again_ms = lsrc_now_ms() + sync_times.persist_again;
		session_free(ls, &ls->session);
		lsrc_poll_begin(ls);
	} else {
		if (lsrc_is_persisting(ls) && !lsrc_session_flush(ls, false)) {
			return;
		}
		fail_with_result(ls, s);
	}
}

/* Where there is a session in force, that one goes on: probes tell whether the server works. */
static void took_too_long(struct ldap_source *ls, const struct syncrepl *s,
    const char *why)
{
	if (s == ls->next && lsrc_is_persisting(ls)) {
		give_up_next(ls, why);
	} else {
		lsrc_failed(ls, why);
	}
}

void lsrc_on_silence(struct ldap_source *ls)
{
	static const char why[] = "no message for too long";

	if (ls->next != NULL && lsrc_is_persisting(ls)) {
		give_up_next(ls, why);
	} else {
		lsrc_lost(ls, why);
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
			took_too_long(ls, s, "the refresh takes too long");
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
		begin_without_cookie(ls, "the server did not take our cookie");
		break;
	case SYNCREPL_ENDED: on_ended(ls, s); break;
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

void lsrc_refresh_in(struct ldap_source *ls, int64_t ms, const char *why)
{
	if (ls->session == NULL) {
		lsrc_poll_compare_soon(ls, ms, why);
		return;
	}
	if (ls->wants_refresh || (lsrc_timer_is_running(ls, TIMER_REFRESH) &&
				     ls->refresh_due_ms <= lsrc_now_ms() + ms)) {
		return;
	}
	log_info("directory=%s full refresh: %s", ls->source->conf->name, why);
	if (!lsrc_is_persisting(ls) || ls->next != NULL) {
		ls->wants_refresh = true;
		return;
	}
	ls->refresh_due_ms = lsrc_now_ms() + ms;
	lsrc_timer_start(ls, TIMER_REFRESH, ms);
}

void lsrc_refresh_forced(struct ldap_source *ls, const char *why)
{
	int64_t now = lsrc_now_ms(), next = ls->forced_ms + sync_times.forced_refresh;

	if (now < ls->forced_ms) {
		/* The next one has its turn already. */
		return;
	}
	if (ls->forced_ms != 0 && now < next) {
		ls->forced_ms = next;
		lsrc_refresh_in(ls, next - now, why);
	} else {
		ls->forced_ms = now;
		lsrc_refresh_in(ls, 0, why);
	}
}

void lsrc_on_refresh_timer(struct ldap_source *ls)
{
	if (ls->next != NULL || !lsrc_is_persisting(ls)) {
		ls->wants_refresh = true;
		return;
	}
	uuid_set_clear(&ls->touched);
	lsrc_timer_start(ls, TIMER_SILENCE, sync_times.silence);
	session_start(ls, &ls->next, (struct span){ NULL, 0 });
}
