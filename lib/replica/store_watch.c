#include "config.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "replica/store_lmdb.h"

/* The link is looked at once a second; a little more often, this falls behind by none. */
#define LOOK_INTERVAL_MS 500

struct store_watch {
	struct store *store;
	store_tell *tell;
	void *context;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool is_ending;
	struct errbuf told; /* "": nothing is wrong */
};

static void look(struct store_watch *watch)
{
	struct errbuf why = { "" };

	if (store_look(watch->store, &why) == CX_OK) {
		why.text[0] = '\0';
	}
	if (strcmp(why.text, watch->told.text) != 0) {
		watch->told = why;
		if (watch->tell) {
			watch->tell(watch->context, why.text[0] ? why.text : NULL);
		}
	}
}

/* True: it is time to end. */
static bool wait_a_moment(struct store_watch *watch)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += LOOK_INTERVAL_MS * 1000000L;
	if (until.tv_nsec >= 1000000000L) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000L;
	}
	pthread_mutex_lock(&watch->lock);
	while (!watch->is_ending &&
	       pthread_cond_timedwait(&watch->changed, &watch->lock, &until) == 0) {
		continue;
	}
	bool is_ending = watch->is_ending;

	pthread_mutex_unlock(&watch->lock);
	return is_ending;
}

static void *watch_on(void *context)
{
	struct store_watch *watch = context;

	do {
		look(watch);
	} while (!wait_a_moment(watch));
	return NULL;
}

static bool start_thread(struct store_watch *watch)
{
	sigset_t all, old;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	bool is_started = pthread_create(&watch->thread, NULL, watch_on, watch) == 0;

	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return is_started;
}

static void watch_release(struct store_watch *watch)
{
	pthread_cond_destroy(&watch->changed);
	pthread_mutex_destroy(&watch->lock);
	free(watch);
}

enum status store_watch_new(struct store *store, store_tell *tell, void *context,
    struct store_watch **out)
{
	struct store_watch *watch = calloc(1, sizeof(*watch));
	pthread_condattr_t attributes;

	*out = NULL;
	if (!watch) {
		return CX_ENOMEM;
	}
	watch->store = store;
	watch->tell = tell;
	watch->context = context;
	pthread_mutex_init(&watch->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&watch->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	if (!start_thread(watch)) {
		watch_release(watch);
		return CX_ETEMP;
	}
	*out = watch;
	return CX_OK;
}

void store_watch_free(struct store_watch *watch)
{
	if (!watch) {
		return;
	}
	pthread_mutex_lock(&watch->lock);
	watch->is_ending = true;
	pthread_cond_signal(&watch->changed);
	pthread_mutex_unlock(&watch->lock);
	pthread_join(watch->thread, NULL);
	watch_release(watch);
}
