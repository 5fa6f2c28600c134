#include "config.h"

#include "policyd/server.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "daemon/log.h"
#include "policyd/plan.h"
#include "policyd/watchdog.h"
#include "policyd/worker.h"

#define POLICY_WORKERS_MIN 2
#define POLICY_WORKERS_MAX 8 /* by default; the configuration may want more */

/* Descriptors for what is no connection: sockets, replica, configuration, log. */
#define FILES_RESERVED 64

/* Where the system sets no limit on open files. */
#define FILES_MAX 1048576

struct server {
	struct plan *plan;
	struct worker_quota quota;
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
	status = plan_new(conf, NULL, &server->plan, err);
	if (status != CX_OK) {
		free(server);
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
		    worker_new(server->worker_count == 0 ? WORKER_MAP : WORKER_POLICY,
			server->plan, &server->quota,
			&server->workers[server->worker_count]);

		if (status != CX_OK) {
			return status;
		}
		server->worker_count++;
	}
	return CX_OK;
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
	}
	return status;
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
	server->plan = plan;
	plan_unref(old);
	return CX_OK;
}

void server_stop(struct server *server)
{
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
	free(server->workers);
	plan_unref(server->plan);
	free(server);
}
