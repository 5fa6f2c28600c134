#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/log.h"
#include "syncd/ldap_source.h"

/* Messages taken in one go, so that other directories get their turn. */
#define DRAIN_MAX 500
/* Messages that nobody asked for, on one connection. */
#define NOTICES_MAX 10

/* Back to where nothing runs. What came in and was not delivered is forgotten. */
void lsrc_disconnect(struct ldap_source *ls)
{
	for (int i = 0; i < TIMER_COUNT; i++) {
		lsrc_timer_stop(ls, (enum ldap_timer)i);
	}
	link_cancel(ls->attempt);
	ls->attempt = NULL;
	lsrc_session_end(ls);
	lsrc_probe_end(ls);
	lsrc_reread_end(ls);
	lsrc_poll_end(ls);
	lsrc_ranges_end(ls);
	if (ls->readable != NULL) {
		event_free(ls->readable);
		ls->readable = NULL;
	}
	if (ls->ld != NULL) {
		ldap_unbind_ext(ls->ld, NULL, NULL);
		ls->ld = NULL;
	}
}

void lsrc_lost(struct ldap_source *ls, const char *why)
{
	bool was_persisting = lsrc_is_persisting(ls);
	bool was_stable = lsrc_now_ms() - ls->connected_ms >= sync_times.stable;

	source_error(ls->source, "lost the connection to %s: %s", ls->uris[ls->uri_at],
	    why);
	lsrc_disconnect(ls);
	if (was_persisting) {
		lsrc_retry_lost(ls, was_stable);
	} else {
		/* A server that takes connections and loses them all the same is of no use. */
		lsrc_next_uri(ls, 0);
	}
}

void lsrc_stopped(struct ldap_source *ls)
{
	lsrc_disconnect(ls);
	lsrc_next_uri(ls, 0);
}

void lsrc_failed_for(struct ldap_source *ls, const char *why, int64_t ms)
{
	source_error(ls->source, "%s: %s", ls->uris[ls->uri_at], why);
	lsrc_disconnect(ls);
	lsrc_next_uri(ls, ms);
}

void lsrc_failed(struct ldap_source *ls, const char *why)
{
	lsrc_failed_for(ls, why, 0);
}

void lsrc_again_in(struct ldap_source *ls, const char *why, int64_t ms)
{
	source_error(ls->source, "%s: %s", ls->uris[ls->uri_at], why);
	lsrc_disconnect(ls);
	lsrc_retry_in(ls, ms);
}

bool lsrc_search(struct ldap_source *ls, const char *base, int scope,
    const char *filter, char **attributes, LDAPControl **controls, int *msgid)
{
	int rc = ldap_search_ext(ls->ld, base, scope, filter, attributes, 0, controls,
	    NULL, NULL, LDAP_NO_LIMIT, msgid);

	if (rc != LDAP_SUCCESS) {
		*msgid = -1;
		lsrc_lost(ls, ldap_err2string(rc));
	}
	return rc == LDAP_SUCCESS;
}

int lsrc_result_of(struct ldap_source *ls, LDAPMessage *message, char text[256])
{
	char *diagnostic = NULL;
	struct buf out;
	int code = LDAP_DECODING_ERROR;

	buf_init_fixed(&out, text, 256);
	if (ldap_parse_result(ls->ld, message, &code, NULL, &diagnostic, NULL, NULL,
		0) != LDAP_SUCCESS) {
		code = LDAP_DECODING_ERROR;
	}
	buf_add_text(&out, ldap_err2string(code));
	if (diagnostic != NULL && *diagnostic != '\0') {
		buf_add_text(&out, ", ");
		buf_add_escaped(&out, span_of(diagnostic));
	}
	ldap_memfree(diagnostic);
	return code;
}

/*
 * What nobody asked for. Of a notice that we do not know nothing follows (RFC 4511, 4.4); but
 * libldap 2.5 never frees the text of one, so a server that sends many is left.
 */
static void on_notice(struct ldap_source *ls, LDAPMessage *message)
{
	char *oid = NULL, text[256], why[320];

	if (ldap_msgtype(message) != LDAP_RES_EXTENDED ||
	    ldap_parse_extended_result(ls->ld, message, &oid, NULL, 0) != LDAP_SUCCESS ||
	    oid == NULL || strcmp(oid, LDAP_NOTICE_OF_DISCONNECTION) != 0) {
		ldap_memfree(oid);
		if (++ls->notices > NOTICES_MAX) {
			lsrc_lost(ls, "the server sends messages that nobody asked for");
		}
		return;
	}
	ldap_memfree(oid);
	lsrc_result_of(ls, message, text);
	snprintf(why, sizeof(why), "the server says that it disconnects: %s", text);
	lsrc_lost(ls, why);
}

/*
 * It belongs to what TIMER_SILENCE watches. Answers to probes do not: a server that answers these
 * and forgets a refresh or a pass would have it run for ever.
 */
static bool is_awaited(const struct ldap_source *ls, int msgid)
{
	const struct polling *poll = &ls->polling;

	if (msgid < 0) {
		return false;
	}
	return (ls->session != NULL && msgid == ls->session->msgid &&
		   !lsrc_is_persisting(ls)) ||
	       (ls->next != NULL && msgid == ls->next->msgid) ||
	       msgid == ls->ranges.msgid || msgid == ls->poll.msgid ||
	       msgid == poll->root_msgid || msgid == poll->service_msgid;
}

static void dispatch(struct ldap_source *ls, LDAPMessage *message)
{
	int msgid = ldap_msgid(message);

	if (msgid == LDAP_RES_UNSOLICITED) {
		on_notice(ls, message);
	} else if (ls->session != NULL && msgid == ls->session->msgid) {
		lsrc_session_message(ls, ls->session, message);
	} else if (ls->next != NULL && msgid == ls->next->msgid) {
		lsrc_session_message(ls, ls->next, message);
	} else if (lsrc_poll_owns(ls, msgid)) {
		lsrc_poll_message(ls, message);
	} else if (msgid == ls->ranges.msgid) {
		lsrc_ranges_message(ls, message);
	} else if (msgid == ls->probe_msgid) {
		lsrc_probe_message(ls, message);
	} else if (msgid == ls->newer_msgid) {
		lsrc_newer_message(ls, message);
	} else if (msgid == ls->reread_msgid) {
		lsrc_reread_message(ls, message);
	} else if (msgid == ls->root_msgid) {
		lsrc_root_message(ls, message);
	}
	/* Others belong to searches that were abandoned. */
}

/* libldap can take no more messages: as if the server were down, it says, whatever it was. */
static void on_broken(struct ldap_source *ls, bool is_too_long)
{
	int code = LDAP_SERVER_DOWN;
	char why[128];

	ldap_get_option(ls->ld, LDAP_OPT_RESULT_CODE, &code);
	if (!is_too_long) {
		lsrc_lost(ls, ldap_err2string(code));
		return;
	}
	/* It would send the same again at once. */
	snprintf(why, sizeof(why), "an entry is larger than %d MB, the limit of a message",
	    LINK_MESSAGE_MAX / (1024 * 1024));
	lsrc_failed(ls, why);
}

/*
 * libldap may hold messages that no longer show at the descriptor: it is asked until
 * it has none. A part may end the connection, or begin another one, in any message.
 */
void lsrc_drain(struct ldap_source *ls)
{
	LDAP *ld = ls->ld;

	for (int i = 0; i < DRAIN_MAX && ld != NULL; i++) {
		struct timeval none = { 0, 0 };
		LDAPMessage *message = NULL;
		int type;

		errno = 0;
		type = ldap_result(ld, LDAP_RES_ANY, LDAP_MSG_ONE, &none, &message);
		if (type < 0) {
			bool is_too_long = errno == ERANGE;

			ldap_msgfree(message);
			on_broken(ls, is_too_long);
			return;
		}
		if (type == 0) {
			return;
		}
		if (lsrc_timer_is_running(ls, TIMER_SILENCE) &&
		    is_awaited(ls, ldap_msgid(message))) {
			lsrc_timer_start(ls, TIMER_SILENCE, sync_times.silence);
		}
		dispatch(ls, message);
		ldap_msgfree(message);
		if (ls->ld == ld) {
			lsrc_ranges_run(ls);
		}
		if (ls->ld != ld) {
			return;
		}
	}
	if (ls->ld != NULL) {
		lsrc_timer_start(ls, TIMER_DRAIN, 0);
	}
}

static void on_readable(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	lsrc_drain(context);
}

void lsrc_begin_work(struct ldap_source *ls)
{
	if (ls->source->conf->sync == SYNC_POLL ||
	    (ls->is_polling && lsrc_now_ms() < ls->persist_again_ms)) {
		lsrc_poll_begin(ls);
	} else {
		ls->is_polling = false;
		lsrc_timer_stop(ls, TIMER_CONTACT);
		lsrc_session_begin(ls);
	}
}

static void on_linked(void *context, const struct link_result *result)
{
	struct ldap_source *ls = context;
	const char *uri = ls->uris[ls->uri_at];
	int fd = -1;

	ls->attempt = NULL;
	lsrc_timer_stop(ls, TIMER_ATTEMPT);
	if (result->ld == NULL) {
		source_error(ls->source, "%s: %s", uri, result->error.text);
		if (result->is_refused) {
			lsrc_refused(ls);
		}
		lsrc_next_uri(ls, 0);
		return;
	}
	ls->ld = result->ld;
	ls->notices = 0;
	ls->connected_ms = lsrc_now_ms();
	log_info("directory=%s connected to %s", ls->source->conf->name, uri);
	if (result->is_clear_text) {
		log_warnx(
		    "directory=%s the password went to %s in clear text (use starttls or "
		    "ldaps)",
		    ls->source->conf->name, uri);
	}
	if (ldap_get_option(ls->ld, LDAP_OPT_DESC, &fd) == LDAP_OPT_SUCCESS) {
		ls->readable = event_new(ls->source->base, fd, EV_READ | EV_PERSIST,
		    on_readable, ls);
	}
	if (ls->readable == NULL || event_add(ls->readable, NULL) != 0) {
		lsrc_failed(ls, "no memory");
		return;
	}
	lsrc_begin_work(ls);
	if (ls->ld != NULL) {
		/* Something may have come with the answer to the bind. */
		lsrc_drain(ls);
	}
}

void lsrc_connect(struct ldap_source *ls)
{
	lsrc_timer_stop(ls, TIMER_WATCH);
	link_mark_files(ls->source->conf, &ls->marks);
	ls->source->state = "connecting";
	ls->source->server = ls->uris[ls->uri_at];
	ls->attempt = link_connect(ls->source->base, ls->source->conf,
	    ls->uris[ls->uri_at], on_linked, ls);
	if (ls->attempt == NULL) {
		source_error(ls->source, "no thread or no memory to connect with");
		lsrc_retry_in(ls, lsrc_backoff(++ls->failures));
	} else if (ls->uri_count > 1) {
		lsrc_timer_start(ls, TIMER_ATTEMPT, sync_times.attempt_max);
	}
}
