#include "config.h"

#include "policyd/worker.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/log.h"
#include "policyd/connections.h"

/* Connections taken at a time, so that workers share them. */
#define ACCEPT_BURST 16

#define TICK_MS 1000

/* One part in this many of all connections is for the map service alone. */
#define MAP_SHARE 8

/* Lines of log about failing accepts in LOG_LIMIT_WINDOW_MS. */
#define ACCEPT_LOG_BURST 1

struct worker {
	enum service_kind kind;
	pthread_t thread;
	struct worker_quota *quota;
	struct counts *counts;
	atomic_int_fast64_t seen_at_ms;

	/* Between the threads. */
	pthread_mutex_t lock;
	int wake_fd;
	struct plan *next_plan; /* NULL: no news */
	bool stop;

	/* The worker's own. */
	struct event_base *base;
	struct event *wake_event;
	struct event *tick_event;
	struct plan *plan;
	struct event **accept_events;
	size_t accept_count;
	bool is_paused; /* not accepting until the next tick */
	bool is_stopping;
	int64_t stop_at_ms;
	size_t counted; /* its part of quota->open */
	struct log_limit accept_log;
	struct service service;
	struct connections *connections;
};

/* Tells the quota how many connections there are now. */
static void count_connections(struct worker *w)
{
	size_t now = connections_count(w->connections);

	struct counter *open = &w->counts->services[w->kind].open;

	if (now > w->counted) {
		atomic_fetch_add(&w->quota->open, now - w->counted);
		counter_add(open, now - w->counted);
	} else if (now < w->counted) {
		atomic_fetch_sub(&w->quota->open, w->counted - now);
		counter_subtract(open, w->counted - now);
	}
	w->counted = now;
}

static void pause_accepting(struct worker *w)
{
	for (size_t i = 0; i < w->accept_count; i++) {
		(void)event_del(w->accept_events[i]);
	}
	w->is_paused = true;
}

static void resume_accepting(struct worker *w)
{
	for (size_t i = 0; i < w->accept_count; i++) {
		(void)event_add(w->accept_events[i], NULL);
	}
	w->is_paused = false;
}

static void say_no_room(struct worker *w, const char *why)
{
	unsigned long dropped;

	if (log_limit_allow(&w->accept_log, ACCEPT_LOG_BURST, service_clock_ms(),
		&dropped)) {
		log_warnx("cannot take more connections: %s (%zu open)", why,
		    atomic_load(&w->quota->open));
	}
}

/* The map service keeps a part to itself, so that no crowd at RCPT takes it all. */
static size_t quota_of(const struct worker *w)
{
	return w->kind == SERVICE_MAP ? w->quota->max
				      : w->quota->max - w->quota->max / MAP_SHARE;
}

/* Room for one more: an old idle one goes if need be; it will be made again when wanted. */
static bool make_room(struct worker *w)
{
	count_connections(w);
	if (atomic_load(&w->quota->open) < quota_of(w)) {
		return true;
	}
	if (connections_evict(w->connections, service_clock_ms())) {
		count_connections(w);
		return true;
	}
	say_no_room(w, "the limit on open files is reached");
	return false;
}

/* Errors of a single connection are none of ours; those of the system pass with time. */
static bool is_lack_of_room(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOBUFS ||
	       error == ENOMEM;
}

/* True: there may be more. */
static bool accept_one(struct worker *w, int fd)
{
	int client;

	if (!make_room(w)) {
		pause_accepting(w);
		return false;
	}
	client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (client >= 0) {
		counter_add(&w->counts->services[w->kind].accepted, 1);
		connections_adopt(w->connections, client);
		return true;
	}
	if (errno == EAGAIN) {
		return false;
	}
	if (is_lack_of_room(errno)) {
		say_no_room(w, strerror(errno));
		(void)connections_evict(w->connections, service_clock_ms());
		pause_accepting(w);
		return false;
	}
	return errno == EINTR || errno == ECONNABORTED;
}

static void on_acceptable(evutil_socket_t fd, short what, void *argument)
{
	struct worker *w = argument;

	(void)what;
	for (int i = 0; i < ACCEPT_BURST && accept_one(w, fd); i++) {
	}
	count_connections(w);
}

static void drop_accept_events(struct worker *w)
{
	for (size_t i = 0; i < w->accept_count; i++) {
		event_free(w->accept_events[i]);
	}
	free(w->accept_events);
	w->accept_events = NULL;
	w->accept_count = 0;
}

static struct plan_sockets sockets_of(const struct worker *w, const struct plan *plan)
{
	return w->kind == SERVICE_MAP ? plan_map_sockets(plan)
				      : plan_policy_sockets(plan);
}

/* Goes over to a plan, whose reference it takes over; the old one is let go. */
static enum status adopt_plan(struct worker *w, struct plan *plan)
{
	struct plan_sockets sockets = sockets_of(w, plan);
	struct plan *old = w->plan;
	enum status status = CX_OK;

	drop_accept_events(w);
	w->plan = plan;
	w->service.store = plan_store(plan);
	w->service.settings = &plan_conf(plan)->settings;
	workspace_forget(&w->service.workspace);
	w->service.srs_secrets = &plan_keys(plan)->srs;
	w->accept_events = calloc(sockets.count + 1, sizeof(struct event *));
	if (w->accept_events == NULL) {
		status = CX_ENOMEM;
	}
	for (size_t i = 0; status == CX_OK && i < sockets.count; i++) {
		struct event *event = event_new(w->base, sockets.fds[i],
		    EV_READ | EV_PERSIST, on_acceptable, w);

		if (event == NULL) {
			status = CX_ENOMEM;
			break;
		}
		w->accept_events[w->accept_count++] = event;
	}
	resume_accepting(w);
	plan_unref(old);
	return status;
}

/* Those that wait in the backlog have been promised an answer. */
static void stop(struct worker *w)
{
	struct plan_sockets sockets = sockets_of(w, w->plan);

	for (size_t i = 0; i < sockets.count; i++) {
		on_acceptable(sockets.fds[i], EV_READ, w);
	}
	drop_accept_events(w);
	w->is_stopping = true;
	w->stop_at_ms = service_clock_ms() + WORKER_STOP_MS;
	connections_finish(w->connections);
}

static void on_wake(evutil_socket_t fd, short what, void *argument)
{
	struct worker *w = argument;
	struct plan *plan;
	uint64_t count;
	bool is_stop;

	(void)what;
	(void)!read(fd, &count, sizeof(count));
	(void)pthread_mutex_lock(&w->lock);
	plan = w->next_plan;
	w->next_plan = NULL;
	is_stop = w->stop;
	(void)pthread_mutex_unlock(&w->lock);
	if (w->is_stopping) {
		plan_unref(plan);
		return;
	}
	if (plan != NULL && adopt_plan(w, plan) != CX_OK) {
		log_warnx("a worker has no memory for all its sockets");
	}
	if (is_stop) {
		stop(w);
	}
}

static void on_tick(evutil_socket_t fd, short what, void *argument)
{
	struct worker *w = argument;
	int64_t now = service_clock_ms();

	(void)fd;
	(void)what;
	atomic_store(&w->seen_at_ms, now);
	connections_expire(w->connections, now);
	count_connections(w);
	if (w->is_paused && !w->is_stopping) {
		resume_accepting(w);
	}
}

static void *run(void *argument)
{
	struct worker *w = argument;

	while (!w->is_stopping) {
		if (event_base_loop(w->base, EVLOOP_ONCE) < 0) {
			log_error("a worker's event loop failed");
			abort();
		}
	}
	/* The tick turns the loop when nothing else does. */
	while (connections_count(w->connections) > 0 &&
	       service_clock_ms() < w->stop_at_ms) {
		if (event_base_loop(w->base, EVLOOP_ONCE) < 0) {
			break;
		}
	}
	return NULL;
}

static enum status add_events(struct worker *w)
{
	const struct timeval tick = { .tv_sec = TICK_MS / 1000,
		.tv_usec = (suseconds_t)(TICK_MS % 1000) * 1000 };

	w->wake_event =
	    event_new(w->base, w->wake_fd, EV_READ | EV_PERSIST, on_wake, w);
	w->tick_event = event_new(w->base, -1, EV_PERSIST, on_tick, w);
	if (w->wake_event == NULL || w->tick_event == NULL ||
	    event_add(w->wake_event, NULL) != 0 ||
	    event_add(w->tick_event, &tick) != 0) {
		return CX_ENOMEM;
	}
	return CX_OK;
}

static void release(struct worker *w)
{
	connections_free(w->connections);
	if (w->quota != NULL) {
		atomic_fetch_sub(&w->quota->open, w->counted);
		counter_subtract(&w->counts->services[w->kind].open, w->counted);
	}
	drop_accept_events(w);
	if (w->wake_event != NULL) {
		event_free(w->wake_event);
	}
	if (w->tick_event != NULL) {
		event_free(w->tick_event);
	}
	if (w->base != NULL) {
		event_base_free(w->base);
	}
	service_release(&w->service);
	plan_unref(w->plan);
	plan_unref(w->next_plan);
	if (w->wake_fd >= 0) {
		(void)close(w->wake_fd);
	}
	(void)pthread_mutex_destroy(&w->lock);
	free(w);
}

static enum status prepare(struct worker *w, struct plan *plan)
{
	enum status status = service_init(&w->service, w->kind, w->counts);

	if (status != CX_OK) {
		return status;
	}
	w->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (w->wake_fd < 0) {
		log_warn("eventfd");
		return CX_EIO;
	}
	w->base = event_base_new();
	if (w->base == NULL) {
		return CX_ENOMEM;
	}
	status = connections_new(w->base,
	    w->kind == SERVICE_MAP ? &map_protocol : &policy_protocol, &w->service,
	    &w->connections);
	if (status == CX_OK) {
		status = add_events(w);
	}
	return status == CX_OK ? adopt_plan(w, plan_ref(plan)) : status;
}

enum status worker_new(enum service_kind kind, struct plan *plan,
    struct worker_quota *quota, struct counts *counts, struct worker **out)
{
	struct worker *w = calloc(1, sizeof(*w));
	enum status status;

	if (w == NULL) {
		return CX_ENOMEM;
	}
	w->kind = kind;
	w->quota = quota;
	w->counts = counts;
	w->wake_fd = -1;
	(void)pthread_mutex_init(&w->lock, NULL);
	atomic_init(&w->seen_at_ms, service_clock_ms());
	status = prepare(w, plan);
	if (status == CX_OK && pthread_create(&w->thread, NULL, run, w) != 0) {
		log_warnx("cannot make a thread");
		status = CX_EIO;
	}
	if (status != CX_OK) {
		release(w);
		return status;
	}
	*out = w;
	return CX_OK;
}

static void wake(struct worker *w)
{
	const uint64_t one = 1;

	(void)!write(w->wake_fd, &one, sizeof(one));
}

void worker_set_plan(struct worker *w, struct plan *plan)
{
	struct plan *unseen;

	(void)pthread_mutex_lock(&w->lock);
	unseen = w->next_plan;
	w->next_plan = plan_ref(plan);
	(void)pthread_mutex_unlock(&w->lock);
	plan_unref(unseen);
	wake(w);
}

void worker_stop(struct worker *w)
{
	(void)pthread_mutex_lock(&w->lock);
	w->stop = true;
	(void)pthread_mutex_unlock(&w->lock);
	wake(w);
}

void worker_free(struct worker *w)
{
	if (w == NULL) {
		return;
	}
	(void)pthread_join(w->thread, NULL);
	release(w);
}

int64_t worker_seen_at_ms(const struct worker *w)
{
	return atomic_load(&w->seen_at_ms);
}
