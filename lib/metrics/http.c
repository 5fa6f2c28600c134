#include "config.h"

#include "metrics/http.h"

#include <microhttpd.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/listener.h"
#include "daemon/log.h"

#define BACKLOG 16

/* What a crowd of clients may take: as many at a time, each with so much memory. */
#define CONNECTIONS_MAX   16u
#define CONNECTION_MEMORY ((size_t)16 * 1024)
#define IDLE_MAX_S        10u

struct metrics_http {
	struct MHD_Daemon *daemon;
	struct metrics_site site;
	char *listen;
};

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

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection,
    const char *path, const char *method, const char *version, const char *upload,
    size_t *upload_size, void **state)
{
	const struct metrics_http *http = context;
	const struct row *row = find_row(path);
	const char *type = TYPE_TEXT;
	unsigned status;
	struct buf page;

	(void)version;
	(void)upload;
	if (*state == NULL) { /* its headers are there; a body may follow */
		*state = context;
		return MHD_YES;
	}
	if (*upload_size > 0) {
		*upload_size = 0;
		return MHD_YES;
	}
	buf_init(&page);
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 &&
	    strcmp(method, MHD_HTTP_METHOD_HEAD) != 0) {
		status = MHD_HTTP_METHOD_NOT_ALLOWED;
		buf_add_text(&page, "only GET\n");
	} else if (row == NULL) {
		status = MHD_HTTP_NOT_FOUND;
		buf_add_text(&page, "no such page\n");
	} else {
		status = row->serve(&http->site, &page);
		type = row->type;
	}
	return respond(connection, status, type, &page);
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
	daemon = MHD_start_daemon(MHD_USE_POLL_INTERNAL_THREAD, 0, NULL, NULL,
	    on_request, http, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
	    CONNECTIONS_MAX, MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY,
	    MHD_OPTION_CONNECTION_TIMEOUT, IDLE_MAX_S, MHD_OPTION_END);
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
