#include "config.h"

#include "syncd/loop.h"

#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "daemon/log.h"
#include "syncd/control.h"
#include "syncd/sync_metrics.h"
#include "syncd/sync_times.h"

enum {
	SIGNALS = 4,
	PROGRESS_MS = 1000 /* how often work that gets on is told of, where nobody asks for more */
};
static const int signals[SIGNALS] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1 };

struct loop {
	struct process *process;
	struct conf *conf;
	struct event_base *base;
	struct apply *apply;
	struct sources *sources;
	struct control *control;
	struct sync_metrics *metrics;
	struct event *signal_events[SIGNALS];
	struct event *housekeeping, *watchdog;
	unsigned watchdog_ms;
	int64_t alive_ms; /* when the service manager last heard of us while we worked */
	enum status status; /* why it ended, if nobody asked for it */
	struct errbuf *err;
};

/* What a running daemon cannot take over. */
static void warn_of_restart(const struct conf *old, const struct conf *new)
{
	const struct {
		const char *name, *old, *new;
	} rows[] = {
		{ "replica", old->replica, new->replica },
		{ "syncd: control", old->syncd.control, new->syncd.control },
		{ "syncd: metrics_listen", old->syncd.metrics_listen,
		    new->syncd.metrics_listen },
		{ "syncd: user", old->syncd.user, new->syncd.user },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (strcmp(rows[i].old, rows[i].new) != 0) {
			log_warnx("%s: a change of \"%s\" needs a restart", new->path,
			    rows[i].name);
		}
	}
}

static void reload(struct loop *loop)
{
	struct conf *conf;
	struct errbuf err = { "" };

	process_reloading();
	enum status status = conf_load(loop->process->conf_path, &conf, &err);
	if (status == CX_OK) {
		status = sources_configure(loop->sources, conf, &err);
		if (status == CX_OK) {
			warn_of_restart(loop->conf, conf);
			sync_metrics_configure(loop->metrics, conf);
			log_set_level(conf->log_level);
			conf_unref(loop->conf);
			loop->conf = conf;
			log_info("configuration reloaded");
		} else {
			conf_unref(conf);
		}
	}
	if (status != CX_OK) {
		log_error("configuration not reloaded: %s", err.text);
	}
	process_ready(loop->process);
}

static void on_signal(evutil_socket_t number, short what, void *context)
{
	struct loop *loop = context;

	(void)what;
	if (number == SIGTERM || number == SIGINT) {
		event_base_loopbreak(loop->base);
	} else {
		reload(loop);
	}
}

static void tell_of_reader(void *context, const struct store_old_reader *reader)
{
	(void)context;
	if (reader->held_ms < 0) {
		log_info("pid=%ld no longer holds an old state of the replica",
		    reader->pid);
		return;
	}
	log_warnx("pid=%ld has held one state of the replica for %lld s; it grows meanwhile "
		  "(now %llu KiB) and shrinks with the next full load: look at that process",
	    reader->pid, (long long)(reader->held_ms / 1000),
	    (unsigned long long)(reader->file_bytes / 1024));
}

static int64_t monotonic_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void on_housekeeping(evutil_socket_t fd, short what, void *context)
{
	struct loop *loop = context;

	(void)fd;
	(void)what;
	if (apply_housekeeping(loop->apply, monotonic_ms(), sync_times.old_reader,
		tell_of_reader, NULL, loop->err) == CX_EFORMAT) {
		log_error("the replica is given up; the next start makes a new one");
		loop->status = CX_EFORMAT;
		event_base_loopbreak(loop->base);
	}
}

static void on_watchdog(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	(void)context;
	process_alive();
}

/* A large refresh keeps the loop busy for longer than the service manager may wait. */
static void on_progress(void *context)
{
	struct loop *loop = context;
	int64_t now_ms = monotonic_ms();
	int64_t pause_ms = loop->watchdog_ms ? loop->watchdog_ms / 2 : PROGRESS_MS;

	if (now_ms - loop->alive_ms >= pause_ms) {
		loop->alive_ms = now_ms;
		process_alive();
		sync_metrics_alive(loop->metrics);
	}
}

static bool add_signals(struct loop *loop)
{
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < SIGNALS; i++) {
		loop->signal_events[i] =
		    evsignal_new(loop->base, signals[i], on_signal, loop);
		if (!loop->signal_events[i] ||
		    event_add(loop->signal_events[i], NULL) < 0) {
			return false;
		}
		sigaddset(&set, signals[i]);
	}
	/* main() blocked them before there was anybody to take them. */
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	return true;
}

static struct event *add_timer(struct loop *loop, event_callback_fn call, unsigned ms)
{
	const struct timeval interval = { ms / 1000, (ms % 1000) * 1000L };
	struct event *timer = event_new(loop->base, -1, EV_PERSIST, call, loop);

	if (timer && event_add(timer, &interval) < 0) {
		event_free(timer);
		timer = NULL;
	}
	return timer;
}

static bool add_timers(struct loop *loop)
{
	unsigned watchdog_ms = process_watchdog_ms();

	loop->watchdog_ms = watchdog_ms;
	loop->housekeeping = add_timer(loop, on_housekeeping, (unsigned)sync_times.housekeeping);
	apply_on_progress(loop->apply, on_progress, loop);
	if (watchdog_ms) {
		loop->watchdog = add_timer(loop, on_watchdog, watchdog_ms);
	}
	return loop->housekeeping && (loop->watchdog || !watchdog_ms);
}

/* Who can make files beside the replica can lead all readers to another one. */
static void judge_folder(const char *path)
{
	struct stat info;

	if (stat(path, &info) == 0 && (info.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
		log_warnx("%s: others can make files in it, say chmod 2750", path);
	}
}

static enum status set_up(struct loop *loop, struct loop_sockets *sockets,
    struct errbuf *err)
{
	bool is_new = false;
	enum status status =
	    apply_open(loop->conf->replica, &loop->apply, &is_new, err);

	if (status != CX_OK) {
		return status;
	}
	if (is_new) {
		log_info("%s: a new replica; everything is loaded",
		    loop->conf->replica);
	}
	judge_folder(loop->conf->replica);
	errbuf_set(err, "%s", status_text(CX_ENOMEM));
	loop->base = event_base_new();
	if (!loop->base || !add_signals(loop) || !add_timers(loop)) {
		return CX_ENOMEM;
	}
	loop->sources = sources_new(loop->base, loop->apply, NULL);
	if (!loop->sources) {
		return CX_ENOMEM;
	}
	if (sockets->control >= 0) {
		int fd = sockets->control;

		sockets->control = -1;
		status = control_new(loop->base, fd, loop->sources, (int64_t)time(NULL),
		    &loop->control);
		if (status != CX_OK) {
			return status;
		}
	}
	status = sources_configure(loop->sources, loop->conf, err);
	if (status == CX_OK) {
		int fd = sockets->metrics;

		sockets->metrics = -1;
		status = sync_metrics_new(loop->base, loop->conf, fd, loop->sources,
		    &loop->metrics, err);
	}
	return status;
}

static void tear_down(struct loop *loop, const struct loop_sockets *sockets)
{
	/* One more SIGTERM must not end it before it has ended. */
	process_block_signals();
	control_free(loop->control);
	if (sockets->control >= 0) {
		close(sockets->control);
	}
	sync_metrics_free(loop->metrics);
	metrics_give_up(loop->conf->syncd.metrics_listen, sockets->metrics);
	sources_free(loop->sources);
	for (size_t i = 0; i < SIGNALS; i++) {
		if (loop->signal_events[i]) {
			event_free(loop->signal_events[i]);
		}
	}
	if (loop->housekeeping) {
		event_free(loop->housekeeping);
	}
	if (loop->watchdog) {
		event_free(loop->watchdog);
	}
	if (loop->base) {
		event_base_free(loop->base);
	}
	apply_close(loop->apply);
	conf_unref(loop->conf);
}

enum status loop_run(struct process *process, struct conf *conf,
    struct loop_sockets sockets, struct errbuf *err)
{
	struct loop loop = { .process = process, .conf = conf_ref(conf), .err = err };
	enum status status = set_up(&loop, &sockets, err);

	if (status == CX_OK) {
		process_ready(process);
		event_base_dispatch(loop.base);
		process_stopping();
		status = loop.status;
	}
	tear_down(&loop, &sockets);
	return status;
}
