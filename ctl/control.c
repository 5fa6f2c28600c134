#include "config.h"

#include "ctl/control.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_TIMEOUT_S 10
#define ANSWER_MAX	 (1024 * 1024)
#define UNIX_PREFIX	 "unix:"

static enum status failure(struct errbuf *err, const char *path, const char *what)
{
	/* It is there, and at something long, or stopped. */
	if (errno == EAGAIN) {
		errbuf_set(err,
		    "%s: coexist-syncd is busy: no answer within %d s; try again later",
		    path, ANSWER_TIMEOUT_S);
		return CX_EIO;
	}
	errbuf_set(err, "%s: %s: %s", path, what, strerror(errno));
	return CX_EIO;
}

static enum status connect_to(const char *path, int *out, struct errbuf *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct timeval timeout = { .tv_sec = ANSWER_TIMEOUT_S };
	int fd;

	if (strlen(path) >= sizeof(address.sun_path)) {
		errbuf_set(err, "%s: path too long for a socket", path);
		return CX_EIO;
	}
	memcpy(address.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		return failure(err, path, "socket");
	}
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) != 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) != 0 ||
	    connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
		bool is_down = errno == ENOENT || errno == ECONNREFUSED;

		failure(err, path, "cannot reach coexist-syncd");
		close(fd);
		return is_down ? CX_NOTFOUND : CX_EIO;
	}
	*out = fd;
	return CX_OK;
}

static enum status send_line(int fd, const char *path, const char *request,
    struct errbuf *err)
{
	struct buf line;
	size_t sent = 0;
	ssize_t n = 0;

	buf_init(&line);
	buf_printf(&line, "%s\n", request);
	while (!line.failed && sent < line.len && n >= 0) {
		n = send(fd, line.data + sent, line.len - sent, MSG_NOSIGNAL);
		sent += n > 0 ? (size_t)n : 0;
	}
	n = line.failed ? -1 : n;
	buf_release(&line);
	return n < 0 ? failure(err, path, "write") : CX_OK;
}

static enum status receive_line(int fd, const char *path, struct buf *answer,
    struct errbuf *err)
{
	char chunk[4096];
	const char *end;
	ssize_t n;

	while (answer->len < ANSWER_MAX && !answer->failed) {
		n = recv(fd, chunk, sizeof(chunk), 0);
		if (n < 0) {
			return failure(err, path, "read");
		}
		if (n == 0) {
			break;
		}
		end = memchr(chunk, '\n', (size_t)n);
		buf_add(answer, chunk, end != NULL ? (size_t)(end - chunk) : (size_t)n);
		if (end != NULL && !answer->failed) {
			return CX_OK;
		}
	}
	errbuf_set(err, "%s: no whole answer", path);
	return CX_EIO;
}

enum status control_ask(const struct conf *conf, const char *request, struct buf *answer,
    struct errbuf *err)
{
	const char *path = conf->syncd.control;
	enum status status;
	int fd = -1;

	if (strncmp(path, UNIX_PREFIX, strlen(UNIX_PREFIX)) != 0) {
		errbuf_set(err, "%s: not a unix socket", path);
		return CX_EIO;
	}
	path += strlen(UNIX_PREFIX);
	status = connect_to(path, &fd, err);
	if (status == CX_OK) {
		status = send_line(fd, path, request, err);
		if (status == CX_OK) {
			status = receive_line(fd, path, answer, err);
		}
		close(fd);
	}
	return status;
}
