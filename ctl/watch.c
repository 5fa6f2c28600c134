#include "config.h"

#include "ctl/watch.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/json.h"
#include "daemon/listener.h"
#include "value/utf8.h"

/* Where the daemon is not, anybody may listen: nothing there takes longer, or more. */
#define ANSWER_MAX_S 2
#define HEADERS_MAX  (16 * 1024)
#define PAGE_MAX     (1024 * 1024)

/* One question to one daemon. */
struct request {
	struct event_base *base;
	bool is_answered;
	int status;
	char *page; /* NULL: none */
};

static void on_answer(struct evhttp_request *answer, void *context)
{
	struct request *request = context;
	struct evbuffer *body;
	size_t len;

	event_base_loopbreak(request->base);
	if (answer == NULL || evhttp_request_get_response_code(answer) == 0) {
		return;
	}
	body = evhttp_request_get_input_buffer(answer);
	len = evbuffer_get_length(body);
	request->is_answered = true;
	request->status = evhttp_request_get_response_code(answer);
	request->page = calloc(1, len + 1);
	if (request->page != NULL) {
		(void)evbuffer_copyout(body, request->page, len);
	}
}

/* false: nobody answered. */
static bool fetch(const struct listener_target *target, struct request *request)
{
	const struct timeval whole = { .tv_sec = ANSWER_MAX_S };
	struct evhttp_connection *connection;
	struct evhttp_request *question;

	request->base = event_base_new();
	if (request->base == NULL) {
		return false;
	}
	connection =
	    evhttp_connection_base_new(request->base, NULL, target->host, target->port);
	question = evhttp_request_new(on_answer, request);
	if (connection != NULL && question != NULL) {
		evhttp_connection_set_max_headers_size(connection, HEADERS_MAX);
		evhttp_connection_set_max_body_size(connection, PAGE_MAX);
		evhttp_add_header(evhttp_request_get_output_headers(question), "Host",
		    "localhost");
		/* On failure it frees the request. */
		if (evhttp_make_request(connection, question, EVHTTP_REQ_GET,
			"/metrics") == 0 &&
		    event_base_loopexit(request->base, &whole) == 0) {
			event_base_dispatch(request->base);
		}
	} else if (question != NULL) {
		evhttp_request_free(question);
	}
	if (connection != NULL) {
		evhttp_connection_free(connection);
	}
	event_base_free(request->base);
	return request->is_answered;
}

/* "name{labels} 12" -> {"name{labels}": 12}; comments and buckets are left out. */
static void add_series(json_t *series, const char *line, size_t len)
{
	const char *blank = len > 0 ? memrchr(line, ' ', len) : NULL;
	const char *number;
	char name[256];
	char *end;
	double value;

	if (len == 0 || *line == '#' || blank == NULL ||
	    (size_t)(blank - line) >= sizeof(name) ||
	    !utf8_is_valid((struct span){ line, len })) {
		return;
	}
	memcpy(name, line, (size_t)(blank - line));
	name[blank - line] = '\0';
	number = blank + 1;
	value = strtod(number, &end);
	if (end != line + len || strstr(name, "_bucket{") != NULL) {
		return;
	}
	if (memchr(number, '.', (size_t)(end - number)) == NULL && value < 1e15 &&
	    value > -1e15) {
		json_put(series, name, json_integer((json_int_t)value));
	} else {
		json_t *real = json_real(value);

		json_put(series, name,
		    real != NULL ? real : json_null()); /* infinite */
	}
}

static json_t *read_page(const char *page)
{
	json_t *series = json_object();

	while (*page != '\0') {
		size_t len = strcspn(page, "\n");

		add_series(series, page, len);
		page += len + (page[len] == '\n');
	}
	return series;
}

static json_t *watch(const char *program, const char *listen)
{
	struct listener_target target;
	struct request request = { .is_answered = false };
	json_t *row = json_object();

	json_put(row, "program", json_string(program));
	if (*listen == '\0' || listener_target(listen, &target) != CX_OK) {
		json_put(row, "running", json_null());
		return row;
	}
	if (fetch(&target, &request) && request.status == HTTP_OK &&
	    request.page != NULL) {
		json_put(row, "running", json_true());
		json_put(row, "series", read_page(request.page));
	} else {
		json_put(row, "running", json_null());
		json_put(row, "trouble", json_sprintf("no metrics on %s", listen));
	}
	free(request.page);
	return row;
}

json_t *watch_daemons(const struct conf *conf)
{
	json_t *list = json_array();

	json_add(list, watch("coexist-syncd", conf->syncd.metrics_listen));
	json_add(list, watch("coexist-milter", conf->milter.metrics_listen));
	json_add(list, watch("coexist-policyd", conf->policyd.metrics_listen));
	return list;
}
