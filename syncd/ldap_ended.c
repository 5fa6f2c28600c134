#include "config.h"

#include <stdio.h>
#include <string.h>

#include "daemon/log.h"
#include "syncd/ldap_source.h"

void lsrc_begin_without_cookie(struct ldap_source *ls, const char *why)
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
		lsrc_begin_without_cookie(ls,
		    "the server lost changes that we have seen");
		return;
	}
	ls->was_newer = true;
	lsrc_failed_for(ls, "the server is behind what we have seen", sync_times.newer);
}

void lsrc_session_ended(struct ldap_source *ls, struct syncrepl *s)
{
	if (s == ls->next) {
		char why[128];

		snprintf(why, sizeof(why), "result %d, %s", s->result,
		    ldap_err2string(s->result));
		lsrc_give_up_next(ls, why);
	} else if (s->result == LDAP_SYNC_REFRESH_REQUIRED &&
		   (s->is_refreshed || s->has_sent_cookie)) {
		if (lsrc_session_flush(ls, false)) {
			lsrc_begin_without_cookie(ls,
			    "the server asks for a full refresh");
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
		lsrc_session_free(ls, &ls->session);
		lsrc_poll_begin(ls);
	} else {
		if (lsrc_is_persisting(ls) && !lsrc_session_flush(ls, false)) {
			return;
		}
		fail_with_result(ls, s);
	}
}

/* Where there is a session in force, that one goes on: probes tell whether the server works. */
void lsrc_took_too_long(struct ldap_source *ls, const struct syncrepl *s,
    const char *why)
{
	if (s == ls->next && lsrc_is_persisting(ls)) {
		lsrc_give_up_next(ls, why);
	} else {
		lsrc_failed(ls, why);
	}
}

void lsrc_on_silence(struct ldap_source *ls)
{
	static const char why[] = "no message for too long";

	if (ls->next != NULL && lsrc_is_persisting(ls)) {
		lsrc_give_up_next(ls, why);
	} else {
		lsrc_lost(ls, why);
	}
}
