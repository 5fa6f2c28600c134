#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <openssl/rand.h>

#include "daemon/log.h"
#include "syncd/ldap_source.h"

/* Messages taken in one go, so that other directories get their turn. */
#define DRAIN_MAX 500

static void connect_now(struct ldap_source *);

int64_t ldap_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void ldap_timer_start(struct ldap_source *ls, enum ldap_timer timer, int64_t ms)
{
	struct timeval tv = { ms / 1000, ms % 1000 * 1000 };

	evtimer_add(ls->timers[timer], &tv);
}

void ldap_timer_stop(struct ldap_source *ls, enum ldap_timer timer)
{
	evtimer_del(ls->timers[timer]);
}

bool ldap_timer_is_running(struct ldap_source *ls, enum ldap_timer timer)
{
	return evtimer_pending(ls->timers[timer], NULL) != 0;
}

/* Give or take a quarter, so that the servers of a site do not come all at once. */
static int64_t jitter(int64_t ms)
{
	uint32_t random = 0;

	if (RAND_bytes((unsigned char *)&random, sizeof(random)) != 1) {
		return ms;
	}
	return ms - ms / 4 + (int64_t)(random % (uint32_t)(ms / 2 + 1));
}

static int64_t backoff(unsigned failures)
{
	int64_t ms = sync_times.backoff_min;

	for (unsigned i = 1; i < failures && ms < sync_times.backoff_max; i++) {
		ms *= 2;
	}
	return jitter(ms < sync_times.backoff_max ? ms : sync_times.backoff_max);
}

static void retry_in(struct ldap_source *ls, int64_t ms)
{
	ls->source->state = "waiting";
	log_info("directory=%s next attempt in %lld.%01lld s", ls->source->conf->name,
	    (long long)(ms / 1000), (long long)(ms % 1000 / 100));
	ldap_timer_start(ls, TIMER_RETRY, ms);
}

/* Back to where nothing runs. What came in and was not delivered is forgotten. */
static void disconnect(struct ldap_source *ls)
{
	for (int i = 0; i < TIMER_COUNT; i++) {
		ldap_timer_stop(ls, (enum ldap_timer)i);
	}
	link_cancel(ls->attempt);
	ls->attempt = NULL;
	ldap_session_end(ls);
	ldap_probe_end(ls);
	ldap_reread_end(ls);
	ldap_poll_end(ls);
	if (ls->readable != NULL) {
		event_free(ls->readable);
		ls->readable = NULL;
	}
	if (ls->ld != NULL) {
		ldap_unbind_ext(ls->ld, NULL, NULL);
		ls->ld = NULL;
	}
}

void ldap_lost(struct ldap_source *ls, const char *why)
{
	bool was_persisting = ldap_is_persisting(ls);
	bool was_stable = ldap_now_ms() - ls->connected_ms >= sync_times.stable;

	source_error(ls->source, "lost the connection to %s: %s", ls->uris[ls->uri_at],
	    why);
	disconnect(ls);
	if (was_persisting) {
		retry_in(ls, was_stable ? sync_times.first_retry
					: jitter(sync_times.backoff_min * 3 / 4));
	} else {
		retry_in(ls, backoff(++ls->failures));
	}
}

/* The URI in use is of no use: the next at once, or all again in `ms` (0: by backoff). */
static void next_uri(struct ldap_source *ls, int64_t ms)
{
	ls->uri_at = (ls->uri_at + 1) % ls->uri_count;
	ls->tried++;
	if (ls->tried < ls->uri_count) {
		connect_now(ls);
		return;
	}
	ls->tried = 0;
	ls->failures++;
	retry_in(ls, ms > 0 ? ms : backoff(ls->failures));
}

void ldap_failed_for(struct ldap_source *ls, const char *why, int64_t ms)
{
	source_error(ls->source, "%s: %s", ls->uris[ls->uri_at], why);
	disconnect(ls);
	next_uri(ls, ms);
}

void ldap_failed(struct ldap_source *ls, const char *why)
{
	ldap_failed_for(ls, why, 0);
}

bool ldap_search(struct ldap_source *ls, const char *base, int scope,
    const char *filter, char **attributes, LDAPControl **controls, int *msgid)
{
	int rc = ldap_search_ext(ls->ld, base, scope, filter, attributes, 0, controls,
	    NULL, NULL, LDAP_NO_LIMIT, msgid);

	if (rc != LDAP_SUCCESS) {
		*msgid = -1;
		ldap_lost(ls, ldap_err2string(rc));
	}
	return rc == LDAP_SUCCESS;
}

int ldap_result_of(struct ldap_source *ls, LDAPMessage *message, char text[256])
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

static void dispatch(struct ldap_source *ls, LDAPMessage *message)
{
	int msgid = ldap_msgid(message);

	if (msgid == LDAP_RES_UNSOLICITED) {
		ldap_lost(ls, "the server says that it disconnects");
	} else if (ls->session != NULL && msgid == ls->session->msgid) {
		ldap_session_message(ls, ls->session, message);
	} else if (ls->next != NULL && msgid == ls->next->msgid) {
		ldap_session_message(ls, ls->next, message);
	} else if (msgid == ls->poll.msgid) {
		ldap_poll_message(ls, message);
	} else if (msgid == ls->probe_msgid) {
		ldap_probe_message(ls, message);
	} else if (msgid == ls->reread_msgid) {
		ldap_reread_message(ls, message);
	} else if (msgid == ls->root_msgid) {
		ldap_root_message(ls, message);
	}
	/* Others belong to searches that were abandoned. */
}

/*
 * libldap may hold messages that no longer show at the descriptor: it is asked until
 * it has none. A part may end the connection, or begin another one, in any message.
 */
static void drain(struct ldap_source *ls)
{
	LDAP *ld = ls->ld;

	for (int i = 0; i < DRAIN_MAX && ld != NULL; i++) {
		struct timeval none = { 0, 0 };
		LDAPMessage *message = NULL;
		int type = ldap_result(ld, LDAP_RES_ANY, LDAP_MSG_ONE, &none, &message);

		if (type < 0) {
			int code = LDAP_SERVER_DOWN;

			ldap_get_option(ld, LDAP_OPT_RESULT_CODE, &code);
			ldap_msgfree(message);
			ldap_lost(ls, ldap_err2string(code));
			return;
		}
		if (type == 0) {
			return;
		}
		if (ldap_timer_is_running(ls, TIMER_SILENCE)) {
			ldap_timer_start(ls, TIMER_SILENCE, sync_times.silence);
		}
		dispatch(ls, message);
		ldap_msgfree(message);
		if (ls->ld != ld) {
			return;
		}
	}
	if (ls->ld != NULL) {
		ldap_timer_start(ls, TIMER_DRAIN, 0);
	}
}

static void on_readable(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	drain(context);
}

static void begin_work(struct ldap_source *ls)
{
	if (ls->source->conf->sync == SYNC_POLL ||
	    (ls->is_polling && ldap_now_ms() < ls->persist_again_ms)) {
		ldap_poll_begin(ls);
	} else {
		ls->is_polling = false;
		ldap_session_begin(ls);
	}
}

static void on_linked(void *context, const struct link_result *result)
{
	struct ldap_source *ls = context;
	const char *uri = ls->uris[ls->uri_at];
	int fd = -1;

	ls->attempt = NULL;
	ldap_timer_stop(ls, TIMER_ATTEMPT);
	if (result->ld == NULL) {
		source_error(ls->source, "%s: %s", uri, result->error.text);
		next_uri(ls, result->is_refused ? jitter(sync_times.backoff_max) : 0);
		return;
	}
	ls->ld = result->ld;
	ls->connected_ms = ldap_now_ms();
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
		ldap_failed(ls, "no memory");
		return;
	}
	begin_work(ls);
	if (ls->ld != NULL) {
		/* Something may have come with the answer to the bind. */
		drain(ls);
	}
}

static void connect_now(struct ldap_source *ls)
{
	ls->source->state = "connecting";
	ls->source->server = ls->uris[ls->uri_at];
	ls->attempt = link_connect(ls->source->base, ls->source->conf,
	    ls->uris[ls->uri_at], on_linked, ls);
	if (ls->attempt == NULL) {
		source_error(ls->source, "no thread or no memory to connect with");
		retry_in(ls, backoff(++ls->failures));
	} else if (ls->uri_count > 1) {
		ldap_timer_start(ls, TIMER_ATTEMPT, sync_times.attempt_max);
	}
}

static void on_timer_retry(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	connect_now(context);
}

static void on_timer_attempt(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	ldap_failed(context, "no connection in the time given");
}

static void on_timer_drain(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	drain(context);
}

static void on_timer_flush(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	ldap_session_flush(context, false);
}

static void on_timer_silence(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	ldap_lost(context, "no message for too long");
}

static void on_timer_probe(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	ldap_on_probe_timer(context);
}

static void on_timer_refresh(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	ldap_on_refresh_timer(context);
}

static void on_timer_interval(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	ldap_refresh_in(context, 0, "it is time for one");
}

static void on_timer_reread(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	ldap_on_reread_timer(context);
}

static void on_timer_poll(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	begin_work(context);
}

static const event_callback_fn timer_callbacks[TIMER_COUNT] = {
	[TIMER_RETRY] = on_timer_retry,
	[TIMER_ATTEMPT] = on_timer_attempt,
	[TIMER_DRAIN] = on_timer_drain,
	[TIMER_SETTLE] = on_timer_flush,
	[TIMER_COOKIE] = on_timer_flush,
	[TIMER_SILENCE] = on_timer_silence,
	[TIMER_PROBE] = on_timer_probe,
	[TIMER_REFRESH] = on_timer_refresh,
	[TIMER_INTERVAL] = on_timer_interval,
	[TIMER_REREAD] = on_timer_reread,
	[TIMER_POLL] = on_timer_poll,
};

/* Words between blanks. */
static bool split_uris(struct ldap_source *ls, const char *text)
{
	static const char blanks[] = " \t\r\n";

	ls->uris = calloc(strlen(text) / 2 + 2, sizeof(ls->uris[0]));
	while (ls->uris != NULL && *(text += strspn(text, blanks)) != '\0') {
		size_t len = strcspn(text, blanks);

		ls->uris[ls->uri_count] = strndup(text, len);
		if (ls->uris[ls->uri_count++] == NULL) {
			return false;
		}
		text += len;
	}
	return ls->uris != NULL && ls->uri_count > 0;
}

static bool add_attribute(struct ldap_source *ls, size_t *count, const char *name)
{
	for (size_t i = 0; i < *count; i++) {
		if (strcasecmp(ls->attributes[i], name) == 0) {
			return true;
		}
	}
	ls->attributes[*count] = strdup(name);
	return ls->attributes[(*count)++] != NULL;
}

/* What the mapping reads, and what the backend wants to know. */
static bool list_attributes(struct ldap_source *ls)
{
	static const char *const ours[] = { "entryUUID", "entryCSN", "objectGUID" };
	char *const *theirs = mapping_attributes(ls->source->mapping);
	size_t count = 0, room = sizeof(ours) / sizeof(ours[0]) + 1;
	bool is_good = true;

	for (size_t i = 0; theirs[i] != NULL; i++) {
		room++;
	}
	ls->attributes = calloc(room, sizeof(ls->attributes[0]));
	if (ls->attributes == NULL) {
		return false;
	}
	for (size_t i = 0; is_good && theirs[i] != NULL; i++) {
		is_good = add_attribute(ls, &count, theirs[i]);
	}
	for (size_t i = 0; is_good && i < sizeof(ours) / sizeof(ours[0]); i++) {
		is_good = add_attribute(ls, &count, ours[i]);
	}
	return is_good;
}

static int scope_of(const char *text)
{
	return strcmp(text, "base") == 0  ? LDAP_SCOPE_BASE
	       : strcmp(text, "one") == 0 ? LDAP_SCOPE_ONELEVEL
					  : LDAP_SCOPE_SUBTREE;
}

static void free_list(char **list)
{
	for (size_t i = 0; list != NULL && list[i] != NULL; i++) {
		free(list[i]);
	}
	free(list);
}

static void backend_free(struct ldap_source *ls)
{
	for (int i = 0; i < TIMER_COUNT; i++) {
		if (ls->timers[i] != NULL) {
			event_free(ls->timers[i]);
		}
	}
	free_list(ls->uris);
	free_list(ls->attributes);
	free(ls->filter);
	free(ls->suffix);
	uuid_set_release(&ls->refused);
	uuid_set_release(&ls->touched);
	uuid_set_release(&ls->reread);
	uuid_set_release(&ls->reread_touched);
	batch_release(&ls->reread_batch);
	buf_release(&ls->probe_csns);
	buf_release(&ls->ahead_csns);
	ldap_entry_release(&ls->entry);
	poll_release(&ls->poll);
	free(ls);
}

static bool backend_fill(struct ldap_source *ls, struct source *source)
{
	ls->source = source;
	ls->scope = scope_of(source->conf->scope);
	ls->root_msgid = ls->probe_msgid = ls->reread_msgid = -1;
	uuid_set_init(&ls->refused);
	uuid_set_init(&ls->touched);
	uuid_set_init(&ls->reread);
	uuid_set_init(&ls->reread_touched);
	batch_init(&ls->reread_batch, source->id);
	buf_init(&ls->probe_csns);
	buf_init(&ls->ahead_csns);
	ldap_entry_init(&ls->entry);
	poll_init(&ls->poll, source, &ls->refused);
	for (int i = 0; i < TIMER_COUNT; i++) {
		ls->timers[i] = evtimer_new(source->base, timer_callbacks[i], ls);
		if (ls->timers[i] == NULL) {
			return false;
		}
	}
	ls->filter = strdup(mapping_filter(source->mapping));
	return ls->filter != NULL && split_uris(ls, source->conf->uri) &&
	       list_attributes(ls);
}

static enum status start(struct source *source)
{
	struct ldap_source *ls = calloc(1, sizeof(*ls));

	if (ls == NULL) {
		return CX_ENOMEM;
	}
	link_global_init();
	if (!backend_fill(ls, source)) {
		backend_free(ls);
		return CX_ENOMEM;
	}
	source->backend = ls;
	connect_now(ls);
	return CX_OK;
}

static void stop(struct source *source)
{
	struct ldap_source *ls = source->backend;

	if (ls == NULL) {
		return;
	}
	if (ldap_is_persisting(ls)) {
		/* With the newest cookie, so that the next start has nothing to do. */
		ldap_session_flush(ls, false);
	}
	disconnect(ls);
	backend_free(ls);
	source->backend = NULL;
	source->server = "";
	source->state = "stopped";
}

static void refresh(struct source *source)
{
	struct ldap_source *ls = source->backend;

	if (ldap_timer_is_running(ls, TIMER_RETRY)) {
		ls->must_drop_cookie = true;
		ldap_timer_start(ls, TIMER_RETRY, 0);
	} else if (ldap_timer_is_running(ls, TIMER_POLL)) {
		ldap_timer_start(ls, TIMER_POLL, 0);
	} else if (ls->attempt != NULL) {
		ls->must_drop_cookie = true;
	} else {
		ldap_refresh_in(ls, 0, "asked for");
	}
}

const struct source_ops source_ldap = { "ldap", start, stop, refresh };
