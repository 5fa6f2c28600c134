#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "syncd/ldap_source.h"

int64_t lsrc_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void lsrc_timer_start(struct ldap_source *ls, enum ldap_timer timer, int64_t ms)
{
	struct timeval tv = { ms / 1000, ms % 1000 * 1000 };

	evtimer_add(ls->timers[timer], &tv);
}

void lsrc_timer_stop(struct ldap_source *ls, enum ldap_timer timer)
{
	evtimer_del(ls->timers[timer]);
}

bool lsrc_timer_is_running(struct ldap_source *ls, enum ldap_timer timer)
{
	return evtimer_pending(ls->timers[timer], NULL) != 0;
}

static void on_timer_retry(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	lsrc_connect(context);
}

static void on_timer_attempt(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	lsrc_failed(context, "no connection in the time given");
}

static void on_timer_drain(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	lsrc_drain(context);
}

static void on_timer_flush(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	lsrc_session_flush(context, false);
}

static void on_timer_silence(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	lsrc_on_silence(context);
}

static void on_timer_range(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	lsrc_lost(context, "no message for too long");
}

static void on_timer_probe(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	lsrc_on_probe_timer(context);
}

static void on_timer_refresh(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	lsrc_on_refresh_timer(context);
}

static void on_timer_interval(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	lsrc_refresh_in(context, 0, "it is time for one");
}

static void on_timer_reread(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	lsrc_on_reread_timer(context);
}

static void on_timer_poll(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	lsrc_begin_work(context);
}

static void on_timer_watch(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	lsrc_on_watch_timer(context);
}

static void on_timer_grace(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	lsrc_on_grace_timer(context);
}

static void on_timer_contact(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	lsrc_on_contact_timer(context);
}

static const event_callback_fn timer_callbacks[TIMER_COUNT] = {
	[TIMER_RETRY] = on_timer_retry,
	[TIMER_WATCH] = on_timer_watch,
	[TIMER_ATTEMPT] = on_timer_attempt,
	[TIMER_DRAIN] = on_timer_drain,
	[TIMER_SETTLE] = on_timer_flush,
	[TIMER_COOKIE] = on_timer_flush,
	[TIMER_SILENCE] = on_timer_silence,
	[TIMER_PROBE] = on_timer_probe,
	[TIMER_REFRESH] = on_timer_refresh,
	[TIMER_GRACE] = on_timer_grace,
	[TIMER_INTERVAL] = on_timer_interval,
	[TIMER_REREAD] = on_timer_reread,
	[TIMER_POLL] = on_timer_poll,
	[TIMER_CONTACT] = on_timer_contact,
	[TIMER_RANGE] = on_timer_range,
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
	ls->refused_until = calloc(ls->uri_count + 1, sizeof(ls->refused_until[0]));
	return ls->uris != NULL && ls->uri_count > 0 && ls->refused_until != NULL;
}

static void free_list(char **list)
{
	for (size_t i = 0; list != NULL && list[i] != NULL; i++) {
		free(list[i]);
	}
	free(list);
}

static bool append(char **list, size_t *count, char *const *names)
{
	for (size_t i = 0; names[i] != NULL; i++) {
		size_t at = 0;

		while (at < *count && strcasecmp(list[at], names[i]) != 0) {
			at++;
		}
		if (at == *count && (list[(*count)++] = strdup(names[i])) == NULL) {
			return false;
		}
	}
	return true;
}

/* The attributes of one list, then those of another that are not in there. */
static char **join_lists(char *const *first, const char *const *second)
{
	size_t count = 0, room = 1;
	char **joined;

	for (size_t i = 0; first[i] != NULL; i++) {
		room++;
	}
	for (size_t i = 0; second[i] != NULL; i++) {
		room++;
	}
	joined = calloc(room, sizeof(joined[0]));
	if (joined == NULL || !append(joined, &count, first) ||
	    !append(joined, &count, (char *const *)(uintptr_t)second)) {
		free_list(joined);
		return NULL;
	}
	return joined;
}

/* What the mapping reads, and what the backend wants to know. */
static bool list_attributes(struct ldap_source *ls)
{
	static const char *const ours[] = { "entryUUID", "entryCSN", "objectGUID",
		NULL };

	ls->attributes = join_lists(mapping_attributes(ls->source->mapping), ours);
	ls->poll_attributes =
	    ls->attributes ? join_lists(ls->attributes, poll_attributes) : NULL;
	return ls->poll_attributes != NULL;
}

static int scope_of(const char *text)
{
	return strcmp(text, "base") == 0  ? LDAP_SCOPE_BASE
	       : strcmp(text, "one") == 0 ? LDAP_SCOPE_ONELEVEL
					  : LDAP_SCOPE_SUBTREE;
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
	free(ls->refused_until);
	recent_release(&ls->recent);
	free_list(ls->poll_attributes);
	free(ls->filter);
	free(ls->suffix);
	uuid_set_release(&ls->refused);
	uuid_set_release(&ls->touched);
	uuid_set_release(&ls->reread);
	uuid_set_release(&ls->reread_names);
	uuid_set_release(&ls->reread_touched);
	batch_release(&ls->reread_batch);
	buf_release(&ls->probe_csns);
	buf_release(&ls->ahead_csns);
	ldap_entry_release(&ls->entry);
	poll_release(&ls->poll);
	ranges_release(&ls->ranges);
	buf_release(&ls->polling.server_text);
	free(ls->polling.service);
	free(ls);
}

static bool backend_fill(struct ldap_source *ls, struct source *source)
{
	ls->source = source;
	ls->scope = scope_of(source->conf->scope);
	ls->root_msgid = ls->probe_msgid = ls->newer_msgid = ls->reread_msgid = -1;
	uuid_set_init(&ls->refused, source->scratch);
	uuid_set_init(&ls->touched, source->scratch);
	uuid_set_init(&ls->reread, source->scratch);
	uuid_set_init(&ls->reread_names, source->scratch);
	uuid_set_init(&ls->reread_touched, source->scratch);
	batch_init(&ls->reread_batch, source->id, source->scratch);
	recent_init(&ls->recent, source->scratch);
	buf_init(&ls->probe_csns);
	buf_init(&ls->ahead_csns);
	ldap_entry_init(&ls->entry);
	ranges_init(&ls->ranges);
	source->ranges = &ls->ranges;
	poll_init(&ls->poll, source, &ls->refused);
	ls->polling.root_msgid = ls->polling.service_msgid = -1;
	ls->polling.contact_msgid = -1;
	buf_init(&ls->polling.server_text);
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
		source->ranges = NULL;
		backend_free(ls);
		return CX_ENOMEM;
	}
	source->backend = ls;
	lsrc_connect(ls);
	return CX_OK;
}

static void stop(struct source *source)
{
	struct ldap_source *ls = source->backend;

	if (ls == NULL) {
		return;
	}
	if (lsrc_is_persisting(ls)) {
		/* With the newest cookie, so that the next start has nothing to do. */
		lsrc_session_flush(ls, false);
	}
	lsrc_disconnect(ls);
	backend_free(ls);
	source->backend = NULL;
	source->ranges = NULL;
	source->server = "";
	source->state = "stopped";
}

static void refresh(struct source *source)
{
	struct ldap_source *ls = source->backend;

	if (lsrc_timer_is_running(ls, TIMER_RETRY)) {
		ls->must_drop_cookie = ls->polling.wants_full = true;
		lsrc_retry_now(ls);
	} else if (ls->polling.step != POLLING_IDLE ||
		   lsrc_timer_is_running(ls, TIMER_POLL)) {
		lsrc_poll_full(ls);
	} else if (ls->attempt != NULL) {
		ls->must_drop_cookie = ls->polling.wants_full = true;
	} else {
		lsrc_refresh_in(ls, 0, "asked for");
	}
}

const struct source_ops source_ldap = { "ldap", start, stop, refresh };
