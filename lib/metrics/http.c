#include "config.h"

#include "metrics/http.h"

#include <microhttpd.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/listener.h"
#include "daemon/log.h"

#define BACKLOG 16

/* So called since libmicrohttpd 0.9.74, where the older name makes a warning. */
#ifndef MHD_HTTP_CONTENT_TOO_LARGE
#define MHD_HTTP_CONTENT_TOO_LARGE MHD_HTTP_PAYLOAD_TOO_LARGE
#endif

/* What a crowd of clients may take: as many at a time, each with so much memory. */
#define CONNECTIONS_MAX   16u
#define CONNECTION_MEMORY ((size_t)16 * 1024)
#define IDLE_MAX_S        10u

struct metrics_http {
	struct MHD_Daemon *daemon;
	struct metrics_site site;
	char *listen;
	int clients[CONNECTIONS_MAX]; /* their sockets, the oldest first */
	size_t client_count;
};

/*
 * A client that dribbles is never idle: where there is no room left, the oldest one goes, so
 * that no crowd keeps the others out. Its socket is still the library's, which sees its end.
 */
static void add_client(struct metrics_http *http, int fd)
{
	if (http->client_count < CONNECTIONS_MAX) {
		http->clients[http->client_count++] = fd;
	}
	if (http->client_count == CONNECTIONS_MAX) {
		(void)shutdown(http->clients[0], SHUT_RDWR);
	}
}

static void remove_client(struct metrics_http *http, int fd)
{
	size_t kept = 0;

	for (size_t i = 0; i < http->client_count; i++) {
		if (http->clients[i] != fd) {
			http->clients[kept++] = http->clients[i];
		}
	}
	http->client_count = kept;
}

static void on_connection(void *context, struct MHD_Connection *connection,
    void **unused, enum MHD_ConnectionNotificationCode what)
{
	const union MHD_ConnectionInfo *info =
	    MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);

	(void)unused;
	if (what == MHD_CONNECTION_NOTIFY_STARTED) {
		add_client(context, info->connect_fd);
	} else {
		remove_client(context, info->connect_fd);
	}
}

/* Fills the page; the HTTP status. */
typedef unsigned serve_function(const struct metrics_site *, struct buf *page);

static unsigned serve_metrics(const struct metrics_site *site, struct buf *page)
{
	site->print(site->context, page);
	return MHD_HTTP_OK;
}

static unsigned serve_health(const struct metrics_site *site, struct buf *page)
{
	bool is_alive = site->is_alive(site->context);

	buf_add_text(page, is_alive ? "ok\n" : "hangs\n");
	return is_alive ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE;
}

static unsigned serve_readiness(const struct metrics_site *site, struct buf *page)
{
	if (site->is_ready(site->context, page)) {
		buf_clear(page);
		buf_add_text(page, "ready\n");
		return MHD_HTTP_OK;
	}
	return MHD_HTTP_SERVICE_UNAVAILABLE;
}

static unsigned serve_index(const struct metrics_site *site, struct buf *page)
{
	(void)site;
	buf_add_text(page, "/metrics\n/healthz\n/readyz\n");
	return MHD_HTTP_OK;
}

#define TYPE_METRICS "text/plain; version=0.0.4; charset=utf-8"
#define TYPE_TEXT    "text/plain; charset=utf-8"

static const struct row {
	const char *path;
	const char *type;
	serve_function *serve;
} rows[] = {
	{ "/metrics", TYPE_METRICS, serve_metrics },
	{ "/healthz", TYPE_TEXT, serve_health },
	{ "/readyz", TYPE_TEXT, serve_readiness },
	{ "/", TYPE_TEXT, serve_index },
};

static const struct row *find_row(const char *path)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (strcmp(rows[i].path, path) == 0) {
			return &rows[i];
		}
	}
	return NULL;
}

/* Takes the page. */
static enum MHD_Result respond(struct MHD_Connection *connection, unsigned status,
    const char *type, struct buf *page)
{
	struct MHD_Response *response;
	enum MHD_Result result;

	if (page->failed) {
		buf_release(page);
		return MHD_NO; /* closes the connection */
	}
	response = MHD_create_response_from_buffer(page->len, page->data,
	    MHD_RESPMEM_MUST_FREE);
	if (response == NULL) {
		buf_release(page);
		return MHD_NO;
	}
	(void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	(void)MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL,
	    "no-store");
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED) {
		(void)MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW,
		    "GET, HEAD");
	}
	result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

/* Whether more is to come behind the headers: nobody wants it, however much it is. */
static bool has_body(struct MHD_Connection *connection)
{
	const char *length = MHD_lookup_connection_value(connection, MHD_HEADER_KIND,
	    MHD_HTTP_HEADER_CONTENT_LENGTH);

	return (length != NULL && strcmp(length, "0") != 0) ||
	       MHD_lookup_connection_value(connection, MHD_HEADER_KIND,
		   MHD_HTTP_HEADER_TRANSFER_ENCODING) != NULL;
}

/* What is said before a request has come whole ends the connection, too. */
static enum MHD_Result refuse(struct MHD_Connection *connection, unsigned status,
    const char *why)
{
	struct buf page;

	buf_init(&page);
	buf_add_text(&page, why);
	return respond(connection, status, TYPE_TEXT, &page);
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection,
    const char *path, const char *method, const char *version, const char *upload,
    size_t *upload_size, void **state)
{
	const struct metrics_http *http = context;
	const struct row *row = find_row(path);
	unsigned status;
	struct buf page;

	(void)version;
	(void)upload;
	(void)upload_size;
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 &&
	    strcmp(method, MHD_HTTP_METHOD_HEAD) != 0) {
		return refuse(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET\n");
	}
	if (has_body(connection)) {
		return refuse(connection, MHD_HTTP_CONTENT_TOO_LARGE, "no body\n");
	}
	if (*state == NULL) { /* its headers are there; an answer now would close it */
		*state = context;
		return MHD_YES;
	}
	if (row == NULL) {
		return refuse(connection, MHD_HTTP_NOT_FOUND, "no such page\n");
	}
	buf_init(&page);
	status = row->serve(&http->site, &page);
	return respond(connection, status, row->type, &page);
}

enum status metrics_open(const char *listen, int *fd, struct errbuf *err)
{
	*fd = -1;
	return *listen != '\0' ? listener_open(listen, BACKLOG, fd, err) : CX_OK;
}

/* Its thread shall take none of the daemon's signals. */
static struct MHD_Daemon *start(struct metrics_http *http, int fd)
{
	struct MHD_Daemon *daemon;
	sigset_t all, before;

	sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	/* ITC: it is woken to end, too, where it looks at no new clients. */
	daemon = MHD_start_daemon(MHD_USE_POLL_INTERNAL_THREAD | MHD_USE_ITC, 0, NULL,
	    NULL, on_request, http, MHD_OPTION_LISTEN_SOCKET, fd,
	    MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX,
	    MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY,
	    MHD_OPTION_CONNECTION_TIMEOUT, IDLE_MAX_S, MHD_OPTION_NOTIFY_CONNECTION,
	    on_connection, http, MHD_OPTION_END);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return daemon;
}

void metrics_give_up(const char *listen, int fd)
{
	if (fd >= 0) {
		listener_remove(listen);
		(void)close(fd);
	}
}

static void release(struct metrics_http *http)
{
	if (http != NULL) {
		free(http->listen);
		free(http);
	}
}

enum status metrics_start(const char *listen, int fd, const struct metrics_site *site,
    struct metrics_http **out, struct errbuf *err)
{
	char name[128];
	struct metrics_http *http;

	*out = NULL;
	if (fd < 0) {
		return CX_OK;
	}
	listener_name(fd, name, sizeof(name));
	http = calloc(1, sizeof(*http));
	if (http != NULL) {
		http->site = *site;
		http->listen = strdup(listen);
		http->daemon = http->listen != NULL ? start(http, fd) : NULL;
	}
	if (http == NULL || http->daemon == NULL) {
		metrics_give_up(listen, fd);
		errbuf_set(err, "cannot serve metrics on %s", listen);
		release(http);
		return CX_EIO;
	}
	log_info("metrics on %s", name);
	*out = http;
	return CX_OK;
}

void metrics_warn_of_restart(const char *before, const char *now)
{
	if (strcmp(before, now) != 0) {
		log_warnx("a change of \"metrics_listen\" needs a restart");
	}
}

void metrics_stop(struct metrics_http *http)
{
	if (http == NULL) {
		return;
	}
	listener_remove(http->listen);
	MHD_stop_daemon(http->daemon);
	release(http);
}
