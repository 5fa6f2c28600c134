#include "config.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <time.h>

#include "daemon/listener.h"
#include "daemon/log.h"
#include "daemon/process.h"
#include "metrics/http.h"
#include "metrics/replica.h"
#include "milter/counts.h"
#include "milter/current.h"
#include "milter/libmilter.h"
#include "replica/store.h"

#define PROGRAM        "coexist-milter"
#define LISTEN_BACKLOG 1024

static struct current current = CURRENT_INIT;
static struct process process;
static struct counts counts;
static int64_t started;

static int64_t now(void)
{
	return (int64_t)time(NULL);
}

/* One descriptor for each connection of an MTA: as many as the administrator allows. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
			log_warn("limit of open files not raised");
		}
	}
}

/*
 * SIGUSR1 reloads, and the watchdog is kept quiet. The signals that stop belong to
 * libmilter, which waits for them in a thread of its own.
 */
static void *watch(void *unused)
{
	unsigned alive_ms = process_watchdog_ms();
	struct timespec interval = { .tv_sec = alive_ms / 1000,
		.tv_nsec = (long)(alive_ms % 1000) * 1000000L };
	sigset_t set;

	(void)unused;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	for (;;) {
		int number = alive_ms ? sigtimedwait(&set, NULL, &interval)
				      : sigwaitinfo(&set, NULL);

		if (number == SIGUSR1) {
			process_reloading();
			current_reload(&current, process.conf_path);
			process_ready(&process);
		}
		/* After a signal, too: reloads that come sooner than the interval end it. */
		if (alive_ms > 0 && (number == SIGUSR1 || errno == EAGAIN)) {
			process_alive();
		}
	}
	return NULL;
}

static void print_metrics(void *store, struct buf *page)
{
	struct conf *conf = current_hold(&current);

	metrics_print_build(page, PROGRAM, started);
	metrics_print_replica(page, store, conf, now());
	counts_print(&counts, page);
	conf_unref(conf);
}

/* libmilter has no loop that could be asked: whoever hears this, hears a process that lives. */
static bool is_alive(void *store)
{
	(void)store;
	return true;
}

static bool is_ready(void *store, struct buf *why)
{
	struct conf *conf = current_hold(&current);
	bool is_ready = metrics_replica_is_ready(store, &conf->settings, now(), why);

	conf_unref(conf);
	return is_ready;
}

static void tell(void *unused, const char *why)
{
	(void)unused;
	if (why != NULL) {
		log_warnx("replica: %s", why);
	} else {
		log_info("replica: can be read again");
	}
}

struct sockets {
	int milter, metrics;
};

/* Before libmilter has the socket: it goes while it is ours. */
static int give_up(const struct conf *conf, int exit_code, const char *why)
{
	log_error("%s", why);
	listener_remove(conf->milter.listen);
	return exit_code;
}

static enum status start_metrics(const struct conf *conf, struct store *store, int fd,
    struct metrics_http **out, struct errbuf *err)
{
	const struct metrics_site site = { store, print_metrics, is_alive, is_ready };

	return metrics_start(conf->milter.metrics_listen, fd, &site, out, err);
}

/* Until it is stopped; the exit code. */
static int run(const struct conf *conf)
{
	pthread_t watcher;
	int exit_code;

	if (pthread_create(&watcher, NULL, watch, NULL) != 0) {
		return give_up(conf, EX_OSERR, "no thread to wait for signals");
	}
	log_info("listens on %s", conf->milter.listen);
	exit_code = libmilter_run() == CX_OK ? EX_OK : EX_SOFTWARE;
	process_stopping();
	/* libmilter has closed it; the next milter may be there already. */
	listener_remove_stale(conf->milter.listen);
	return exit_code;
}

/* Of sessions that libmilter may still be closing when the process is about to end. */
static struct session_env env = { .conf_context = &current,
	.conf_hold = current_hold,
	.keys_hold = current_hold_keys,
	.judge = judge_by_store,
	.judge_sender = judge_sender_by_store,
	.now = now,
	.counts = &counts };

static int serve(const struct conf *conf, struct sockets sockets)
{
	bool is_tcp = strncmp(conf->milter.listen, "inet:", 5) == 0;
	struct store_watch *store_watch;
	struct metrics_http *metrics = NULL;
	struct store *store;
	struct errbuf err;
	int exit_code;

	process_detach(&process);
	if (process_drop_user(conf->milter.user, &err) != CX_OK) {
		return give_up(conf, EX_NOPERM, err.text);
	}
	if (store_open(conf->replica, &store, &err) != CX_OK) {
		return give_up(conf, EX_CONFIG, err.text);
	}
	if (store_watch_new(store, tell, NULL, &store_watch) != CX_OK) {
		store_close(store);
		return give_up(conf, EX_OSERR, "no thread to follow the replica");
	}
	env.judge_context = store;
	raise_descriptor_limit();
	if (libmilter_open(sockets.milter, is_tcp, &env, &err) != CX_OK ||
	    start_metrics(conf, store, sockets.metrics, &metrics, &err) != CX_OK) {
		store_watch_free(store_watch);
		store_close(store);
		return give_up(conf, EX_SOFTWARE, err.text);
	}
	/* Before the watcher is there, which says so too after a reload. */
	process_ready(&process);
	exit_code = run(conf);
	metrics_stop(metrics);
	if (!libmilter_close()) {
		log_warnx("stopped with callbacks still under way");
		exit(exit_code);
	}
	store_watch_free(store_watch);
	store_close(store);
	return exit_code;
}

int main(int argc, char **argv)
{
	struct conf *conf;
	struct keys *keys;
	struct errbuf err;
	int exit_code;
	struct sockets sockets = { -1, -1 };

	started = now();
	log_open(PROGRAM);
	process_arguments(&process, PROGRAM, argc, argv);
	process_block_signals();
	conf = process_load_conf(&process);
	log_set_level(conf->log_level);
	if (keys_load(conf, &keys, &err) != CX_OK) {
		log_error("%s", err.text);
		conf_unref(conf);
		return EX_CONFIG;
	}
	if (metrics_open(conf->milter.metrics_listen, &sockets.metrics, &err) !=
		CX_OK ||
	    listener_open(conf->milter.listen, LISTEN_BACKLOG, &sockets.milter, &err) !=
		CX_OK) {
		log_error("%s", err.text);
		metrics_give_up(conf->milter.metrics_listen, sockets.metrics);
		keys_unref(keys);
		conf_unref(conf);
		return EX_OSERR;
	}
	current_warn_without_secret(keys);
	current_replace(&current, conf_ref(conf), keys);
	exit_code = serve(conf, sockets);
	/* `current` keeps its own reference: the watcher may be reading it. */
	conf_unref(conf);
	return exit_code;
}
