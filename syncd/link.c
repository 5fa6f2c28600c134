#include "config.h"

#include "syncd/link.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/log.h"
#include "syncd/link_bind.h"
#include "syncd/link_secret.h"

/*
 * An attempt is shared by the loop, which started it, and its thread; the last one
 * frees it. The thread writes a byte into a pipe when it is done: `result` is
 * the loop's from then on.
 */
struct link_attempt {
	pthread_mutex_t lock;
	int holders;
	struct link_settings settings;
	struct link_result result;
	int pipe_read, pipe_write;
	struct event *event;
	link_done *done;
	void *context;
};

void link_global_init(void)
{
	LDAPAPIInfo info = { .ldapai_info_version = LDAP_API_INFO_VERSION };

	/* ldap.conf, ~/.ldaprc and LDAP* in the environment would switch off checks. */
	setenv("LDAPNOINIT", "1", 1);
	/* GnuTLS would write the keys of every connection there. */
	unsetenv("SSLKEYLOGFILE");
	link_no_core();
	if (ldap_get_option(NULL, LDAP_OPT_API_INFO, &info) == LDAP_OPT_SUCCESS) {
		ldap_memfree(info.ldapai_vendor_name);
		ldap_memvfree((void **)info.ldapai_extensions);
	}
}

static void attempt_free(struct link_attempt *a)
{
	if (a->event != NULL) {
		event_free(a->event);
	}
	if (a->pipe_read >= 0) {
		close(a->pipe_read);
	}
	if (a->pipe_write >= 0) {
		close(a->pipe_write);
	}
	if (a->result.ld != NULL) {
		ldap_unbind_ext(a->result.ld, NULL, NULL);
	}
	link_settings_release(&a->settings);
	pthread_mutex_destroy(&a->lock);
	free(a);
}

static void attempt_drop(struct link_attempt *a)
{
	int left;

	pthread_mutex_lock(&a->lock);
	left = --a->holders;
	pthread_mutex_unlock(&a->lock);
	if (left == 0) {
		attempt_free(a);
	}
}

static void *attempt_run(void *argument)
{
	struct link_attempt *a = argument;
	struct link_result result;
	ssize_t n;

	link_establish(&a->settings, &result);
	link_wipe_stack();
	pthread_mutex_lock(&a->lock);
	a->result = result;
	pthread_mutex_unlock(&a->lock);
	do {
		n = write(a->pipe_write, "", 1);
	} while (n < 0 && errno == EINTR);
	attempt_drop(a);
	/* Once more: the first call of a function saves all registers, whatever is in them. */
	link_wipe_stack();
	return NULL;
}

static void on_pipe(evutil_socket_t fd, short what, void *argument)
{
	struct link_attempt *a = argument;
	struct link_result result;
	link_done *done = a->done;
	void *context = a->context;

	(void)fd;
	(void)what;
	pthread_mutex_lock(&a->lock);
	result = a->result;
	a->result.ld = NULL;
	pthread_mutex_unlock(&a->lock);
	event_free(a->event);
	a->event = NULL;
	attempt_drop(a);
	done(context, &result);
}

static bool attempt_spawn(struct link_attempt *a)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t all, old;
	int rc;

	if (pthread_attr_init(&attr) != 0) {
		return false;
	}
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	/* Signals are the main thread's; this one is born with all of them blocked. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&thread, &attr, attempt_run, a);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return rc == 0;
}

struct link_attempt *link_connect(struct event_base *base,
    const struct conf_directory *conf, const char *uri, link_done *done, void *context)
{
	struct link_attempt *a = calloc(1, sizeof(*a));
	int fds[2] = { -1, -1 };

	if (a == NULL) {
		return NULL;
	}
	pthread_mutex_init(&a->lock, NULL);
	a->done = done;
	a->context = context;
	a->holders = 1;
	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) == 0) {
		a->event = event_new(base, fds[0], EV_READ, on_pipe, a);
	}
	a->pipe_read = fds[0];
	a->pipe_write = fds[1];
	if (a->event == NULL || !link_settings_copy(&a->settings, conf, uri) ||
	    event_add(a->event, NULL) != 0) {
		attempt_free(a);
		return NULL;
	}
	a->holders = 2;
	if (!attempt_spawn(a)) {
		attempt_free(a);
		return NULL;
	}
	return a;
}

void link_cancel(struct link_attempt *a)
{
	if (a != NULL) {
		event_free(a->event);
		a->event = NULL;
		attempt_drop(a);
	}
}
