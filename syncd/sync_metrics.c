#include "config.h"

#include "syncd/sync_metrics.h"

#include <event2/event.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/log.h"
#include "metrics/page.h"
#include "metrics/replica.h"
#include "replica/store.h"

/* The loop is taken for hanging after this; it goes round, or says that it gets on. */
#define SILENCE_MAX_S 60

struct sync_metrics {
	struct sources *sources;
	struct event *tick;
	struct metrics_http *http;
	struct store *store;
	int64_t started;

	pthread_mutex_t lock; /* of what follows */
	struct conf *conf;
	struct buf page; /* the part of the directories */
	int64_t seen_s;  /* monotonic */
};

static int64_t monotonic_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec;
}

/* Every state that a backend may be in (struct source). */
static const char *const states[] = { "starting", "connecting", "refresh", "persist",
	"poll", "waiting", "stopped", "loaded", "changing", "missing", "rejected",
	"error" };

static void print_states(struct buf *page, const struct sources *sources)
{
	static const char name[] = "coexist_sync_state";

	page_family(page, name, PAGE_GAUGE, "1 for the state that a directory is in.");
	for (size_t i = 0; i < sources_count(sources); i++) {
		const struct source *source = sources_at(sources, i);

		for (size_t s = 0; s < sizeof(states) / sizeof(states[0]); s++) {
			page_count(page, name,
			    PAGE_LABELS({ "directory", span_of(source->conf->name) },
				{ "state", span_of(states[s]) }),
			    source->state != NULL &&
				strcmp(source->state, states[s]) == 0);
		}
	}
}

static const struct {
	const char *name, *help;
	size_t offset; /* of a uint64_t in struct source */
} rows[] = {
	{ "coexist_sync_errors_total", "Errors of a directory's server or file.",
	    offsetof(struct source, errors) },
	{ "coexist_sync_changes_total", "Changes applied to the replica.",
	    offsetof(struct source, changes_applied) },
	{ "coexist_sync_refreshes_total", "Refreshes that ended.",
	    offsetof(struct source, refreshes) },
	{ "coexist_sync_unusable_entries_total", "Entries read that cannot be used.",
	    offsetof(struct source, entries_skipped) },
};

static void print_sources(struct buf *page, const struct sources *sources)
{
	print_states(page, sources);
	for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
		page_family(page, rows[r].name, PAGE_COUNTER, rows[r].help);
		for (size_t i = 0; i < sources_count(sources); i++) {
			const struct source *source = sources_at(sources, i);
			uint64_t number;

			memcpy(&number, (const char *)source + rows[r].offset,
			    sizeof(number));
			page_count(page, rows[r].name,
			    PAGE_LABELS({ "directory", span_of(source->conf->name) }),
			    number);
		}
	}
}

static void write_page(struct sync_metrics *metrics)
{
	pthread_mutex_lock(&metrics->lock);
	buf_clear(&metrics->page);
	print_sources(&metrics->page, metrics->sources);
	metrics->seen_s = monotonic_s();
	pthread_mutex_unlock(&metrics->lock);
}

static void on_tick(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	write_page(context);
}

/* The configuration in force, for conf_unref(). */
static struct conf *hold_conf(struct sync_metrics *metrics)
{
	struct conf *conf;

	pthread_mutex_lock(&metrics->lock);
	conf = conf_ref(metrics->conf);
	pthread_mutex_unlock(&metrics->lock);
	return conf;
}

static void print(void *context, struct buf *page)
{
	struct sync_metrics *metrics = context;
	struct conf *conf = hold_conf(metrics);

	metrics_print_build(page, "coexist-syncd", metrics->started);
	metrics_print_replica(page, metrics->store, conf, (int64_t)time(NULL));
	conf_unref(conf);
	pthread_mutex_lock(&metrics->lock);
	buf_add_span(page, buf_span(&metrics->page));
	page->failed = page->failed || metrics->page.failed;
	pthread_mutex_unlock(&metrics->lock);
}

static bool is_alive(void *context)
{
	struct sync_metrics *metrics = context;
	int64_t seen_s;

	pthread_mutex_lock(&metrics->lock);
	seen_s = metrics->seen_s;
	pthread_mutex_unlock(&metrics->lock);
	return monotonic_s() - seen_s <= SILENCE_MAX_S;
}

static bool is_ready(void *context, struct buf *why)
{
	struct sync_metrics *metrics = context;
	struct conf *conf = hold_conf(metrics);
	bool is_ready;

	is_ready = metrics_replica_is_ready(metrics->store, &conf->settings,
	    (int64_t)time(NULL), why);
	conf_unref(conf);
	return is_ready;
}

static enum status add_tick(struct sync_metrics *metrics, struct event_base *base)
{
	const struct timeval second = { .tv_sec = 1 };

	metrics->tick = event_new(base, -1, EV_PERSIST, on_tick, metrics);
	return metrics->tick && event_add(metrics->tick, &second) == 0 ? CX_OK
								       : CX_ENOMEM;
}

static enum status begin(struct sync_metrics *metrics, struct event_base *base, int *fd,
    struct errbuf *err)
{
	const struct metrics_site site = { metrics, print, is_alive, is_ready };
	enum status status = store_open(metrics->conf->replica, &metrics->store, err);
	int own_fd = *fd;

	if (status != CX_OK) {
		return status;
	}
	write_page(metrics);
	status = add_tick(metrics, base);
	if (status != CX_OK) {
		errbuf_set(err, "metrics: %s", status_text(status));
		return status;
	}
	*fd = -1;
	return metrics_start(metrics->conf->syncd.metrics_listen, own_fd, &site,
	    &metrics->http, err);
}

enum status sync_metrics_new(struct event_base *base, struct conf *conf, int fd,
    struct sources *sources, struct sync_metrics **out, struct errbuf *err)
{
	struct sync_metrics *metrics;
	enum status status;

	*out = NULL;
	if (fd < 0) {
		return CX_OK;
	}
	metrics = calloc(1, sizeof(*metrics));
	if (!metrics) {
		metrics_give_up(conf->syncd.metrics_listen, fd);
		errbuf_set(err, "metrics: %s", status_text(CX_ENOMEM));
		return CX_ENOMEM;
	}
	pthread_mutex_init(&metrics->lock, NULL);
	buf_init(&metrics->page);
	metrics->sources = sources;
	metrics->conf = conf_ref(conf);
	metrics->started = (int64_t)time(NULL);
	status = begin(metrics, base, &fd, err);
	metrics_give_up(conf->syncd.metrics_listen, fd);
	if (status != CX_OK) {
		sync_metrics_free(metrics);
		return status;
	}
	*out = metrics;
	return CX_OK;
}

void sync_metrics_configure(struct sync_metrics *metrics, struct conf *conf)
{
	struct conf *old;

	if (!metrics) {
		return;
	}
	pthread_mutex_lock(&metrics->lock);
	old = metrics->conf;
	metrics->conf = conf_ref(conf);
	pthread_mutex_unlock(&metrics->lock);
	conf_unref(old);
	write_page(metrics);
}

void sync_metrics_alive(struct sync_metrics *metrics)
{
	if (metrics) {
		pthread_mutex_lock(&metrics->lock);
		metrics->seen_s = monotonic_s();
		pthread_mutex_unlock(&metrics->lock);
	}
}

void sync_metrics_free(struct sync_metrics *metrics)
{
	if (!metrics) {
		return;
	}
	metrics_stop(metrics->http);
	if (metrics->tick) {
		event_free(metrics->tick);
	}
	store_close(metrics->store);
	conf_unref(metrics->conf);
	buf_release(&metrics->page);
	pthread_mutex_destroy(&metrics->lock);
	free(metrics);
}
