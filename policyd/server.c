#include "config.h"

#include "policyd/server.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "daemon/log.h"
#include "metrics/http.h"
#include "metrics/replica.h"
#include "policyd/counts.h"
#include "policyd/plan.h"
#include "policyd/watchdog.h"
#include "policyd/worker.h"

#define POLICY_WORKERS_MIN 2
#define POLICY_WORKERS_MAX 8 /* by default; the configuration may want more */

/* Descriptors for what is no connection: sockets, replica, configuration, log. */
#define FILES_RESERVED 64

/* Where the system sets no limit on open files. */
#define FILES_MAX 1048576

/* A worker that is in the middle of something comes to the new plan later. */
#define RELOAD_WAIT_MS 2000

struct server {
	pthread_mutex_t lock; /* of `plan`, where the metrics' thread looks at it */
	struct plan *plan;
	struct worker_quota quota;
	struct counts counts;
	struct metrics_http *metrics;
	int metrics_fd;
	int64_t started;
	struct worker **workers;
	size_t worker_count;
	struct watchdog *watchdog;
};

enum status server_open(struct conf *conf, struct server **out, struct errbuf *err)
{
	struct server *server = calloc(1, sizeof(*server));
	enum status status;

	if (server == NULL) {
		errbuf_set(err, "out of memory");
		return CX_ENOMEM;
	}
	atomic_init(&server->quota.open, 0);
	(void)pthread_mutex_init(&server->lock, NULL);
	server->metrics_fd = -1;
	server->started = (int64_t)time(NULL);
	status = plan_new(conf, NULL, &server->plan, err);
	if (status == CX_OK) {
		status = metrics_open(conf->policyd.metrics_listen, &server->metrics_fd,
		    err);
	}
	if (status != CX_OK) {
		server_close(server);
		return status;
	}
	*out = server;
	return CX_OK;
}

/* As many connections as the system lets us have. */
static size_t raise_file_limit(void)
{
	struct rlimit limit;
	size_t files;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
		log_warn("getrlimit");
		return FILES_RESERVED;
	}
	if (limit.rlim_cur < limit.rlim_max) {
		rlim_t before = limit.rlim_cur;

		limit.rlim_cur = limit.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
			log_warn("setrlimit");
			limit.rlim_cur = before;
		}
	}
	files = limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur > FILES_MAX
		    ? FILES_MAX
		    : (size_t)limit.rlim_cur;
	return files > 2 * FILES_RESERVED ? files - FILES_RESERVED : files / 2;
}

static size_t policy_worker_count(const struct conf *conf)
{
	long processors;

	if (conf->policyd.workers > 0) {
		return conf->policyd.workers;
	}
	processors = sysconf(_SC_NPROCESSORS_ONLN);
	if (processors < POLICY_WORKERS_MIN) {
		return POLICY_WORKERS_MIN;
	}
	return processors > POLICY_WORKERS_MAX ? POLICY_WORKERS_MAX
					       : (size_t)processors;
}

/* The map service has a worker of its own: delivery does not wait for a crowd at RCPT. */
static enum status start_workers(struct server *server)
{
	size_t wanted = policy_worker_count(plan_conf(server->plan)) + 1;

	server->workers = calloc(wanted, sizeof(struct worker *));
	if (server->workers == NULL) {
		return CX_ENOMEM;
	}
	while (server->worker_count < wanted) {
		enum status status =
		    worker_new(server->worker_count == 0 ? SERVICE_MAP : SERVICE_POLICY,
			server->plan, &server->quota, &server->counts,
			&server->workers[server->worker_count]);

		if (status != CX_OK) {
			return status;
		}
		server->worker_count++;
	}
	return CX_OK;
}

/* The plan in force, for plan_unref(). */
static struct plan *hold_plan(struct server *server)
{
	struct plan *plan;

	(void)pthread_mutex_lock(&server->lock);
	plan = plan_ref(server->plan);
	(void)pthread_mutex_unlock(&server->lock);
	return plan;
}

static void print_metrics(void *context, struct buf *page)
{
	struct server *server = context;
	struct plan *plan = hold_plan(server);

	metrics_print_build(page, "coexist-policyd", server->started);
	metrics_print_replica(page, plan_store(plan), plan_conf(plan),
	    (int64_t)time(NULL));
	counts_print(&server->counts, page);
	plan_unref(plan);
}

static bool is_alive(void *context)
{
	const struct server *server = context;

	return watchdog_is_content(server->workers, server->worker_count);
}

static bool is_ready(void *context, struct buf *why)
{
	struct plan *plan = hold_plan(context);
	bool is_ready = metrics_replica_is_ready(plan_store(plan),
	    &plan_conf(plan)->settings, (int64_t)time(NULL), why);

	plan_unref(plan);
	return is_ready;
}

static enum status start_metrics(struct server *server, struct errbuf *err)
{
	const struct metrics_site site = { server, print_metrics, is_alive, is_ready };
	int fd = server->metrics_fd;

	server->metrics_fd = -1;
	return metrics_start(plan_conf(server->plan)->policyd.metrics_listen, fd, &site,
	    &server->metrics, err);
}

enum status server_start(struct server *server, struct errbuf *err)
{
	enum status status = plan_open_replica(server->plan, NULL, err);

	if (status != CX_OK) {
		return status;
	}
	server->quota.max = raise_file_limit();
	status = start_workers(server);
	if (status == CX_OK) {
		status = watchdog_new(server->workers, server->worker_count,
		    &server->watchdog);
	}
	if (status != CX_OK) {
		errbuf_set(err, "cannot start the workers: %s", status_text(status));
		return status;
	}
	return start_metrics(server, err);
}

/*
 * Until every worker serves by the new plan: then it can be said that it is in force, and what the
 * old one alone listened on is closed, for the next reload to listen on again.
 */
static void let_go(struct plan *old)
{
	const struct timespec pause = { .tv_nsec = 1000000 };

	for (int ms = 0; ms < RELOAD_WAIT_MS && !plan_is_last(old); ms++) {
		(void)nanosleep(&pause, NULL);
	}
	plan_unref(old);
}

enum status server_reload(struct server *server, struct conf *conf, struct errbuf *err)
{
	struct plan *plan;
	struct plan *old = server->plan;
	enum status status = plan_new(conf, old, &plan, err);

	if (status != CX_OK) {
		return status;
	}
	status = plan_open_replica(plan, old, err);
	if (status != CX_OK) {
		plan_unref(plan);
		return status;
	}
	for (size_t i = 0; i < server->worker_count; i++) {
		worker_set_plan(server->workers[i], plan);
	}
	(void)pthread_mutex_lock(&server->lock);
	server->plan = plan;
	(void)pthread_mutex_unlock(&server->lock);
	metrics_warn_of_restart(plan_conf(old)->policyd.metrics_listen,
	    conf->policyd.metrics_listen);
	let_go(old);
	return CX_OK;
}

void server_stop(struct server *server)
{
	metrics_stop(server->metrics);
	server->metrics = NULL;
	watchdog_free(server->watchdog);
	server->watchdog = NULL;
	for (size_t i = 0; i < server->worker_count; i++) {
		worker_stop(server->workers[i]);
	}
	for (size_t i = 0; i < server->worker_count; i++) {
		worker_free(server->workers[i]);
	}
	server->worker_count = 0;
}

void server_close(struct server *server)
{
	if (server == NULL) {
		return;
	}
	server_stop(server);
	if (server->plan != NULL) {
		metrics_give_up(plan_conf(server->plan)->policyd.metrics_listen,
		    server->metrics_fd);
	}
	free(server->workers);
	plan_unref(server->plan);
	(void)pthread_mutex_destroy(&server->lock);
	free(server);
}
