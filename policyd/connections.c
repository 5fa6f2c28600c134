#include "config.h"

#include "policyd/connections.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/log.h"

#define INPUT_SIZE 65536

/* At the end, how often one connection is read: its peer may write for ever. */
#define FINISH_READS 16

/* What a connection waits for; each list is in order of `since_ms`. */
enum phase {
	PHASE_IDLE,
	PHASE_PARTIAL,
	PHASE_BLOCKED,
	PHASE_LINGER,
	PHASE_COUNT
};

static const int64_t phase_limit_ms[PHASE_COUNT] = {
	[PHASE_IDLE] = CONNECTION_IDLE_MS,
	[PHASE_PARTIAL] = CONNECTION_PARTIAL_MS,
	[PHASE_BLOCKED] = CONNECTION_BLOCKED_MS,
	[PHASE_LINGER] = CONNECTION_LINGER_MS,
};

struct connection {
	TAILQ_ENTRY(connection) link;
	struct connections *all;
	enum phase phase;
	int64_t since_ms;
	int fd;
	struct session session;
	struct event readable;
	struct event writable;
	char *pending; /* answers that the client has not taken yet */
	size_t pending_len;
	size_t pending_sent;
	bool is_finished; /* had its last chance to be read */
};

TAILQ_HEAD(connection_list, connection);

struct connections {
	struct event_base *base;
	const struct protocol *protocol;
	struct service *service;
	struct connection_list phases[PHASE_COUNT];
	size_t count;
	bool is_finishing;
	char input[INPUT_SIZE];
	char *output;
	struct buf out; /* over `output`; empty between events */
};

enum status connections_new(struct event_base *base, const struct protocol *protocol,
    struct service *service, struct connections **out)
{
	struct connections *all = calloc(1, sizeof(*all));
	size_t output_size = SESSION_OUTPUT_HIGH + protocol->answer_max + 1;

	if (all == NULL || (all->output = malloc(output_size)) == NULL) {
		free(all);
		return CX_ENOMEM;
	}
	all->base = base;
	all->protocol = protocol;
	all->service = service;
	for (int i = 0; i < PHASE_COUNT; i++) {
		TAILQ_INIT(&all->phases[i]);
	}
	buf_init_fixed(&all->out, all->output, output_size);
	*out = all;
	return CX_OK;
}

size_t connections_count(const struct connections *all)
{
	return all->count;
}

static void close_connection(struct connection *c)
{
	(void)event_del(&c->readable);
	(void)event_del(&c->writable);
	TAILQ_REMOVE(&c->all->phases[c->phase], c, link);
	c->all->count--;
	session_release(&c->session);
	free(c->pending);
	(void)close(c->fd);
	free(c);
}

void connections_free(struct connections *all)
{
	if (all == NULL) {
		return;
	}
	for (int i = 0; i < PHASE_COUNT; i++) {
		while (!TAILQ_EMPTY(&all->phases[i])) {
			close_connection(TAILQ_FIRST(&all->phases[i]));
		}
	}
	free(all->output);
	free(all);
}

static void enter(struct connection *c, enum phase phase)
{
	TAILQ_REMOVE(&c->all->phases[c->phase], c, link);
	c->phase = phase;
	c->since_ms = service_clock_ms();
	TAILQ_INSERT_TAIL(&c->all->phases[phase], c, link);
}

/* Only one of the two at a time: a client that does not read is not read from. */
static bool watch(struct connection *c, bool for_writing)
{
	struct event *on = for_writing ? &c->writable : &c->readable;
	struct event *off = for_writing ? &c->readable : &c->writable;

	return event_del(off) == 0 && event_add(on, NULL) == 0;
}

/* Sends what it can of `bytes`; *sent is how much. False: the connection is gone. */
static bool send_some(int fd, const char *bytes, size_t len, size_t *sent)
{
	*sent = 0;
	while (*sent < len) {
		ssize_t n = send(fd, bytes + *sent, len - *sent, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n < 0) {
			return errno == EAGAIN;
		}
		*sent += (size_t)n;
	}
	return true;
}

/* Sends the answers just made; what the client does not take now is kept. */
static bool flush(struct connection *c)
{
	struct buf *out = &c->all->out;
	size_t sent;

	if (!send_some(c->fd, out->data, out->len, &sent)) {
		return false;
	}
	if (sent < out->len) {
		c->pending_len = out->len - sent;
		c->pending_sent = 0;
		c->pending = malloc(c->pending_len);
		if (c->pending == NULL) {
			return false;
		}
		memcpy(c->pending, out->data + sent, c->pending_len);
	}
	buf_clear(out);
	return true;
}

/*
 * Everything is said. What the client still sends is read and dropped for a while:
 * closing over unread bytes would take the answers back that it has not read yet.
 */
static bool linger(struct connection *c)
{
	if (c->all->is_finishing || shutdown(c->fd, SHUT_WR) != 0 || !watch(c, false)) {
		close_connection(c);
		return false;
	}
	enter(c, PHASE_LINGER);
	return true;
}

/* After the session has made answers: sends them and sees what comes next. False: closed. */
static bool proceed(struct connection *c, bool has_eof)
{
	bool has_answered = c->all->out.len > 0;
	enum session_state state = c->session.state;

	for (;;) {
		if (!flush(c)) {
			close_connection(c);
			return false;
		}
		if (c->pending != NULL) {
			if (!watch(c, true)) {
				close_connection(c);
				return false;
			}
			enter(c, PHASE_BLOCKED);
			return true;
		}
		if (state != SESSION_FULL) {
			break;
		}
		state = session_resume(&c->session, c->all->service, &c->all->out);
	}
	if (state == SESSION_ENDED && !has_eof) {
		return linger(c);
	}
	if (state == SESSION_ENDED || (state == SESSION_IDLE && c->all->is_finishing) ||
	    !watch(c, false)) {
		close_connection(c);
		return false;
	}
	if (state == SESSION_IDLE) {
		enter(c, PHASE_IDLE);
	} else if (c->phase != PHASE_PARTIAL || has_answered) {
		enter(c, PHASE_PARTIAL);
	}
	return true;
}

enum progress {
	PROGRESS_CLOSED,
	PROGRESS_NONE, /* nothing there to read */
	PROGRESS_MORE, /* there may be more */
};

static enum progress read_once(struct connection *c)
{
	struct connections *all = c->all;
	ssize_t got = recv(c->fd, all->input, sizeof(all->input), 0);

	if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
		return PROGRESS_NONE;
	}
	if (got < 0 || (got == 0 && c->phase == PHASE_LINGER)) {
		close_connection(c);
		return PROGRESS_CLOSED;
	}
	if (c->phase == PHASE_LINGER) {
		return PROGRESS_NONE;
	}
	if (got == 0) {
		(void)session_eof(&c->session, all->service);
	} else {
		(void)session_input(&c->session,
		    (struct span){ all->input, (size_t)got }, all->service, &all->out);
	}
	if (!proceed(c, got == 0)) {
		return PROGRESS_CLOSED;
	}
	return PROGRESS_MORE;
}

static void on_readable(evutil_socket_t fd, short what, void *argument)
{
	(void)fd;
	(void)what;
	(void)read_once(argument);
}

static void on_writable(evutil_socket_t fd, short what, void *argument)
{
	struct connection *c = argument;
	size_t sent;

	(void)what;
	if (!send_some(fd, c->pending + c->pending_sent,
		c->pending_len - c->pending_sent, &sent)) {
		close_connection(c);
		return;
	}
	c->pending_sent += sent;
	if (c->pending_sent < c->pending_len) {
		enter(c, PHASE_BLOCKED);
		return;
	}
	free(c->pending);
	c->pending = NULL;
	(void)proceed(c, false);
}

void connections_adopt(struct connections *all, int fd)
{
	struct connection *c = calloc(1, sizeof(*c));

	if (c == NULL) {
		(void)close(fd);
		return;
	}
	c->all = all;
	c->fd = fd;
	c->phase = PHASE_IDLE;
	c->since_ms = service_clock_ms();
	session_init(&c->session, all->protocol);
	TAILQ_INSERT_TAIL(&all->phases[PHASE_IDLE], c, link);
	all->count++;
	if (event_assign(&c->readable, all->base, fd, EV_READ | EV_PERSIST, on_readable,
		c) != 0 ||
	    event_assign(&c->writable, all->base, fd, EV_WRITE | EV_PERSIST,
		on_writable, c) != 0 ||
	    event_add(&c->readable, NULL) != 0) {
		close_connection(c);
	}
}

void connections_expire(struct connections *all, int64_t now_ms)
{
	for (int i = 0; i < PHASE_COUNT; i++) {
		struct connection *c;

		while ((c = TAILQ_FIRST(&all->phases[i])) != NULL &&
		       now_ms - c->since_ms >= phase_limit_ms[i]) {
			if (i == PHASE_PARTIAL || i == PHASE_BLOCKED) {
				log_debug("%s: closing a connection that %s",
				    all->protocol->name,
				    i == PHASE_PARTIAL
					? "stays in the middle of a request"
					: "does not read its answers");
			}
			close_connection(c);
		}
	}
}

bool connections_evict(struct connections *all, int64_t now_ms)
{
	struct connection *c = TAILQ_FIRST(&all->phases[PHASE_IDLE]);

	if (c == NULL || now_ms - c->since_ms < CONNECTION_EVICT_MS) {
		return false;
	}
	close_connection(c);
	return true;
}

/* What has arrived is answered. */
static void finish_one(struct connection *c)
{
	enum progress progress = PROGRESS_MORE;

	c->is_finished = true;
	for (int i = 0; i < FINISH_READS && progress == PROGRESS_MORE; i++) {
		progress = c->phase == PHASE_BLOCKED ? PROGRESS_NONE : read_once(c);
	}
	if (progress != PROGRESS_CLOSED &&
	    (c->phase == PHASE_IDLE || c->phase == PHASE_LINGER)) {
		close_connection(c);
	}
}

void connections_finish(struct connections *all)
{
	for (int i = 0; i < PHASE_COUNT; i++) {
		struct connection *c = TAILQ_FIRST(&all->phases[i]);

		while (c != NULL) {
			struct connection *next = TAILQ_NEXT(c, link);

			if (!c->is_finished) {
				finish_one(c);
			}
			c = next;
		}
	}
	all->is_finishing = true;
}
