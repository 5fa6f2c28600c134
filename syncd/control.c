#include "config.h"

#include "syncd/control.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "daemon/log.h"
#include "syncd/status.h"

/* Answers that wait for a client to read them. */
#define OUTPUT_MAX 65536

struct client {
	struct control *control;
	struct client *next, **link; /* in control->clients */
	struct bufferevent *stream;
	bool has_ended; /* it sends no more */
	bool is_ending; /* what was written goes out, then it is closed */
};

struct control {
	struct event_base *base;
	struct evconnlistener *listener;
	struct sources *sources;
	int64_t started;
	struct client *clients;
	size_t count;
};

static void client_free(struct client *client)
{
	if (client->next) {
		client->next->link = client->link;
	}
	*client->link = client->next;
	client->control->count--;
	bufferevent_free(client->stream);
	free(client);
}

/* --- Commands --- */

static void answer(struct client *client, struct span text)
{
	struct evbuffer *output = bufferevent_get_output(client->stream);

	evbuffer_add(output, text.ptr, text.len);
	evbuffer_add(output, "\n", 1);
}

static void answer_error(struct client *client, const char *text, const char *name)
{
	char memory[4 * CONTROL_LINE_MAX];
	struct buf line;

	buf_init_fixed(&line, memory, sizeof(memory));
	buf_printf(&line, "error: %s", text);
	if (name) {
		buf_add_text(&line, " \"");
		buf_add_escaped(&line, span_of(name));
		buf_add_char(&line, '"');
	}
	answer(client, buf_span(&line));
}

static void command_status(struct client *client, const char *argument)
{
	struct buf line;

	(void)argument;
	buf_init(&line);
	if (status_print(client->control->sources, client->control->started,
		(int64_t)time(NULL), &line) == CX_OK) {
		answer(client, buf_span(&line));
	} else {
		answer_error(client, status_text(CX_ENOMEM), NULL);
	}
	buf_release(&line);
}

static void command_refresh(struct client *client, const char *argument)
{
	struct sources *sources = client->control->sources;
	struct source *only = *argument ? sources_find(sources, argument) : NULL;

	if (*argument && !only) {
		answer_error(client, "no such directory:", argument);
		return;
	}
	for (size_t i = 0; i < sources_count(sources); i++) {
		struct source *source = sources_at(sources, i);

		if ((!only || source == only) && source->backend) {
			source->ops->refresh(source);
		}
	}
	answer(client, SPAN("ok"));
}

static void command_accept(struct client *client, const char *argument)
{
	struct sources *sources = client->control->sources;
	struct source *source = sources_find(sources, argument);
	struct errbuf err = { "" };
	size_t removed;

	if (!*argument) {
		answer_error(client, "accept needs the name of a directory", NULL);
	} else if (!source) {
		answer_error(client, "no such directory:", argument);
	} else if (sources_accept(sources, source, &removed, &err) != CX_OK) {
		answer_error(client, err.text, NULL);
	} else {
		answer(client, SPAN("ok"));
	}
}

static void obey(struct client *client, char *line, size_t len)
{
	static const struct {
		const char *word;
		void (*run)(struct client *, const char *argument);
	} commands[] = {
		{ "status", command_status },
		{ "refresh", command_refresh },
		{ "accept", command_accept },
	};
	char *argument;

	if (len && line[len - 1] == '\r') {
		line[--len] = '\0';
	}
	if (strlen(line) != len) {
		answer_error(client, "a NUL byte", NULL);
		return;
	}
	argument = line + strcspn(line, " ");
	if (*argument) {
		*argument++ = '\0';
	}
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(commands[i].word, line) == 0) {
			commands[i].run(client, argument);
			return;
		}
	}
	answer_error(client, "no such command:", line);
}

/* --- Clients --- */

/* No more is read; what is to be said is said. */
static void client_end(struct client *client)
{
	client->is_ending = true;
	bufferevent_disable(client->stream, EV_READ);
	if (evbuffer_get_length(bufferevent_get_output(client->stream)) == 0) {
		client_free(client);
	}
}

/* Who does not read its answers gets no more of them. */
static bool is_congested(const struct client *client)
{
	return evbuffer_get_length(bufferevent_get_output(client->stream)) > OUTPUT_MAX;
}

static void on_read(struct bufferevent *stream, void *context)
{
	struct evbuffer *input = bufferevent_get_input(stream);
	struct client *client = context;
	size_t len;
	char *line;

	while (!is_congested(client) &&
	       (line = evbuffer_readln(input, &len, EVBUFFER_EOL_LF)) != NULL) {
		bool is_long = len > CONTROL_LINE_MAX;

		if (is_long) {
			answer_error(client, "the line is too long", NULL);
		} else {
			obey(client, line, len);
		}
		free(line);
		if (is_long) {
			client_end(client);
			return;
		}
	}
	if (is_congested(client)) {
		return;
	}
	if (evbuffer_get_length(input) > CONTROL_LINE_MAX) {
		answer_error(client, "the line is too long", NULL);
		client_end(client);
	} else if (client->has_ended) {
		client_end(client);
	}
}

static void on_written(struct bufferevent *stream, void *context)
{
	struct client *client = context;

	if (client->is_ending) {
		client_free(client);
	} else if (client->has_ended ||
		   evbuffer_get_length(bufferevent_get_input(stream))) {
		on_read(stream, client); /* what waited for the answers to go out */
	}
}

static void on_event(struct bufferevent *stream, short what, void *context)
{
	struct client *client = context;

	if ((what & BEV_EVENT_EOF) && !client->is_ending) {
		client->has_ended = true; /* it may still read, and lines may be left */
		on_read(stream, client);
	} else {
		client_free(client);
	}
}

static bool is_allowed(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
	       (peer.uid == 0 || peer.uid == geteuid());
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd,
    struct sockaddr *address, int address_len, void *context)
{
	static const struct timeval idle = { CONTROL_IDLE_S, 0 };
	struct control *control = context;
	struct client *client;

	(void)listener;
	(void)address;
	(void)address_len;
	if (!is_allowed(fd)) {
		log_warnx("control: a client that is neither root nor our user");
		close(fd);
		return;
	}
	client =
	    control->count < CONTROL_CLIENTS_MAX ? calloc(1, sizeof(*client)) : NULL;
	if (client) {
		client->stream =
		    bufferevent_socket_new(control->base, fd, BEV_OPT_CLOSE_ON_FREE);
	}
	if (!client || !client->stream) {
		free(client);
		close(fd);
		return;
	}
	client->control = control;
	client->next = control->clients;
	client->link = &control->clients;
	if (client->next) {
		client->next->link = &client->next;
	}
	control->clients = client;
	control->count++;
	bufferevent_setcb(client->stream, on_read, on_written, on_event, client);
	bufferevent_setwatermark(client->stream, EV_READ, 0,
	    (size_t)2 * CONTROL_LINE_MAX);
	bufferevent_set_timeouts(client->stream, &idle, &idle);
	bufferevent_enable(client->stream, EV_READ | EV_WRITE);
}

/* No descriptors left: wait, do not spin. The listener goes on by itself later. */
static void on_accept_error(struct evconnlistener *listener, void *context)
{
	(void)listener;
	(void)context;
	log_warn("control: accept");
}

enum status control_new(struct event_base *base, int fd, struct sources *sources,
    int64_t started, struct control **out)
{
	struct control *control = calloc(1, sizeof(*control));

	*out = NULL;
	if (!control) {
		close(fd);
		return CX_ENOMEM;
	}
	control->base = base;
	control->sources = sources;
	control->started = started;
	control->listener = evconnlistener_new(base, on_accept, control,
	    LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
	if (!control->listener) {
		close(fd);
		free(control);
		return CX_ENOMEM;
	}
	evconnlistener_set_error_cb(control->listener, on_accept_error);
	*out = control;
	return CX_OK;
}

void control_free(struct control *control)
{
	if (!control) {
		return;
	}
	while (control->clients) {
		client_free(control->clients);
	}
	evconnlistener_free(control->listener);
	free(control);
}
