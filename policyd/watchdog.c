#include "config.h"

#include "policyd/watchdog.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "daemon/log.h"
#include "daemon/process.h"
#include "policyd/service.h"

/* A loop turns at least once a second. */
#define SILENCE_MAX_MS 10000

struct watchdog {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t stopping;
	bool stop;
	unsigned interval_ms;
	struct worker *const *workers;
	size_t count;
};

bool watchdog_is_content(struct worker *const *workers, size_t count)
{
	int64_t now = service_clock_ms();

	for (size_t i = 0; i < count; i++) {
		if (now - worker_seen_at_ms(workers[i]) > SILENCE_MAX_MS) {
			return false;
		}
	}
	return true;
}

static void *run(void *argument)
{
	struct watchdog *w = argument;
	struct timespec until;

	(void)pthread_mutex_lock(&w->lock);
	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	while (!w->stop) {
		if (watchdog_is_content(w->workers, w->count)) {
			process_alive();
		} else {
			log_warnx("a worker hangs");
		}
		until.tv_nsec += (long)(w->interval_ms % 1000) * 1000000;
		until.tv_sec += w->interval_ms / 1000 + until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		while (!w->stop && pthread_cond_timedwait(&w->stopping, &w->lock,
				       &until) != ETIMEDOUT) {
		}
	}
	(void)pthread_mutex_unlock(&w->lock);
	return NULL;
}

enum status watchdog_new(struct worker *const *workers, size_t count,
    struct watchdog **out)
{
	pthread_condattr_t attributes;
	unsigned interval_ms = process_watchdog_ms();
	struct watchdog *w;

	*out = NULL;
	if (interval_ms == 0) {
		return CX_OK;
	}
	w = calloc(1, sizeof(*w));
	if (w == NULL) {
		return CX_ENOMEM;
	}
	w->workers = workers;
	w->count = count;
	w->interval_ms = interval_ms;
	(void)pthread_mutex_init(&w->lock, NULL);
	(void)pthread_condattr_init(&attributes);
	(void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&w->stopping, &attributes);
	(void)pthread_condattr_destroy(&attributes);
	if (pthread_create(&w->thread, NULL, run, w) != 0) {
		(void)pthread_cond_destroy(&w->stopping);
		(void)pthread_mutex_destroy(&w->lock);
		free(w);
		return CX_EIO;
	}
	*out = w;
	return CX_OK;
}

void watchdog_free(struct watchdog *w)
{
	if (w == NULL) {
		return;
	}
	(void)pthread_mutex_lock(&w->lock);
	w->stop = true;
	(void)pthread_cond_signal(&w->stopping);
	(void)pthread_mutex_unlock(&w->lock);
	(void)pthread_join(w->thread, NULL);
	(void)pthread_cond_destroy(&w->stopping);
	(void)pthread_mutex_destroy(&w->lock);
	free(w);
}
