#include "config.h"

#include "daemon/listener.h"

#include <errno.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "value/span.h"

#define HOST_MAX 255
#define PORT_MAX 32 /* a number, or a name of services(5) */

#define DIGITS  "0123456789"
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

struct listener {
	bool is_unix;
	struct sockaddr_un un;
	char host[HOST_MAX + 1];
	char port[PORT_MAX + 1];
};

static enum status parse_unix(const char *path, struct listener *l, struct errbuf *err)
{
	if (path[0] != '/') {
		errbuf_set(err, "'unix:%s' needs an absolute path", path);
		return CX_EINVAL;
	}
	if (strlen(path) >= sizeof(l->un.sun_path)) {
		errbuf_set(err, "'unix:%s': a socket's path has at most %zu bytes",
		    path, sizeof(l->un.sun_path) - 1);
		return CX_EINVAL;
	}
	l->is_unix = true;
	l->un.sun_family = AF_UNIX;
	strcpy(l->un.sun_path, path);
	return CX_OK;
}

static bool is_port(const char *port)
{
	size_t digits = strspn(port, DIGITS);

	if (port[digits] == '\0') {
		return digits > 0 && digits <= 5 && strtoul(port, NULL, 10) <= 65535;
	}
	return strspn(port, LETTERS) > 0 &&
	       port[strspn(port, LETTERS DIGITS "-_")] == '\0';
}

/* host:port, [address]:port */
static enum status parse_inet(const char *text, struct listener *l, struct errbuf *err)
{
	const char *colon = strrchr(text, ':');
	struct span host;

	if (colon == NULL || strlen(colon + 1) > PORT_MAX || !is_port(colon + 1)) {
		errbuf_set(err, "'inet:%s' does not end in a port (inet:HOST:PORT)", text);
		return CX_EINVAL;
	}
	host = (struct span){ text, (size_t)(colon - text) };
	if (host.len > 2 && text[0] == '[' && colon[-1] == ']') {
		host.ptr++;
		host.len -= 2;
	} else if (memchr(host.ptr, ':', host.len) != NULL) {
		errbuf_set(err, "'inet:%s': an IPv6 address stands in []", text);
		return CX_EINVAL;
	}
	if (host.len == 0 || host.len > HOST_MAX ||
	    strcspn(host.ptr, " \t[]/@") < host.len) {
		errbuf_set(err, "'inet:%s' has no host (inet:127.0.0.1:PORT)", text);
		return CX_EINVAL;
	}
	memcpy(l->host, host.ptr, host.len);
	strcpy(l->port, colon + 1);
	return CX_OK;
}

static enum status parse(const char *spec, struct listener *l, struct errbuf *err)
{
	memset(l, 0, sizeof(*l));
	if (strncmp(spec, "unix:", 5) == 0) {
		return parse_unix(spec + 5, l, err);
	}
	if (strncmp(spec, "inet:", 5) == 0) {
		return parse_inet(spec + 5, l, err);
	}
	errbuf_set(err, "'%s' is neither unix:/path nor inet:host:port", spec);
	return CX_EINVAL;
}

enum status listener_check(const char *spec, struct errbuf *err)
{
	struct listener l;

	return parse(spec, &l, err);
}

enum status listener_target(const char *spec, struct listener_target *out)
{
	struct errbuf err;
	struct listener l;
	const struct servent *service;
	char *end;

	if (parse(spec, &l, &err) != CX_OK || l.is_unix) {
		return CX_EINVAL;
	}
	if (strcmp(l.host, "0.0.0.0") == 0) {
		strcpy(l.host, "127.0.0.1");
	} else if (strcmp(l.host, "::") == 0) {
		strcpy(l.host, "::1");
	}
	strcpy(out->host, l.host);
	out->port = (uint16_t)strtoul(l.port, &end, 10);
	if (*end != '\0') {
		service = getservbyname(l.port, "tcp");
		if (service == NULL) {
			return CX_EINVAL;
		}
		out->port = ntohs((uint16_t)service->s_port);
	}
	return CX_OK;
}

/* Somebody accepts connections there, or seems to. */
static bool is_alive(const struct listener *l)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool alive;

	if (fd < 0) {
		return true;
	}
	/* EAGAIN: its queue is full. Only a refusal proves that nobody is there. */
	alive = connect(fd, (const struct sockaddr *)&l->un, sizeof(l->un)) == 0 ||
		(errno != ECONNREFUSED && errno != ENOENT);
	close(fd);
	return alive;
}

/* Makes room for a socket: removes a stale one, never anything else. */
static enum status clear_path(const struct listener *l, struct errbuf *err)
{
	const char *path = l->un.sun_path;
	struct stat st;

	if (lstat(path, &st) != 0) {
		return CX_OK; /* bind() will say what it does not like */
	}
	if (!S_ISSOCK(st.st_mode)) {
		errbuf_set(err, "unix:%s: a file that is no socket is in the way",
		    path);
		return CX_EIO;
	}
	if (is_alive(l)) {
		errbuf_set(err, "unix:%s is in use: another process listens there", path);
		return CX_EIO;
	}
	if (unlink(path) != 0 && errno != ENOENT) {
		errbuf_set(err, "unix:%s: cannot replace the old socket: %s", path,
		    strerror(errno));
		return CX_EIO;
	}
	return CX_OK;
}

/* The group that connects: Postfix's, else that of the folder. */
static gid_t socket_group(const char *path)
{
	const char *slash = strrchr(path, '/');
	char folder[sizeof(((struct sockaddr_un *)NULL)->sun_path) + 1];
	struct group *group = getgrnam("postfix");
	struct stat st;

	if (group != NULL && (geteuid() == 0 || group_member(group->gr_gid))) {
		return group->gr_gid;
	}
	snprintf(folder, sizeof(folder), "%.*s/", (int)(slash - path), path);
	return stat(folder, &st) == 0 ? st.st_gid : (gid_t)-1;
}

/*
 * The mode comes with the file: chmod() would follow a link that somebody who may write to
 * the folder has put in its place since.
 */
static bool bind_unix(const struct listener *l, int fd, mode_t mode)
{
	mode_t mask = umask(0777 & ~mode);
	bool is_bound =
	    bind(fd, (const struct sockaddr *)&l->un, sizeof(l->un)) == 0;
	int saved = errno;

	umask(mask);
	errno = saved;
	return is_bound;
}

/*
 * Before listen(): nobody connects to a socket that does not listen yet. A group that
 * this process may not give is left as it is; Postfix's folder may be setgid.
 */
static bool give_to_group(const struct listener *l)
{
	const char *path = l->un.sun_path;

	return lchown(path, (uid_t)-1, socket_group(path)) == 0 || errno == EPERM;
}

/* As root, it is the user's. */
static bool give_to_user(const struct listener *l, const char *user)
{
	const struct passwd *entry = geteuid() == 0 && *user ? getpwnam(user) : NULL;

	return !entry || lchown(l->un.sun_path, entry->pw_uid, entry->pw_gid) == 0;
}

/* `user` NULL: for Postfix. */
static enum status open_unix(const struct listener *l, const char *user, int backlog,
    int *out, struct errbuf *err)
{
	int fd;

	if (clear_path(l, err) != CX_OK) {
		return CX_EIO;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || !bind_unix(l, fd, user ? 0600 : 0660)) {
		errbuf_set(err, "unix:%s: %s%s", l->un.sun_path, strerror(errno),
		    errno == ENOENT ? " (its folder must exist)" : "");
	} else if (!(user ? give_to_user(l, user) : give_to_group(l)) ||
		   listen(fd, backlog) != 0) {
		errbuf_set(err, "unix:%s: %s", l->un.sun_path, strerror(errno));
		unlink(l->un.sun_path);
	} else {
		*out = fd;
		return CX_OK;
	}
	if (fd >= 0) {
		close(fd);
	}
	return CX_EIO;
}

static int open_address(const struct addrinfo *ai, int backlog)
{
	int one = 1, saved;
	int fd = socket(ai->ai_family, ai->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
	    ai->ai_protocol);

	if (fd < 0) {
		return -1;
	}
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0 &&
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) == 0 &&
	    /* [::] means IPv6 alone, so that 0.0.0.0 may stand beside it */
	    (ai->ai_family != AF_INET6 ||
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) == 0) &&
	    bind(fd, ai->ai_addr, ai->ai_addrlen) == 0 && listen(fd, backlog) == 0) {
		return fd;
	}
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

static enum status open_inet(const struct listener *l, const char *spec, int backlog,
    int *out, struct errbuf *err)
{
	struct addrinfo hints = { .ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM };
	struct addrinfo *list;
	int result = getaddrinfo(l->host, l->port, &hints, &list), fd = -1;

	if (result != 0) {
		errbuf_set(err, "%s: %s", spec,
		    result == EAI_SYSTEM ? strerror(errno) : gai_strerror(result));
		return CX_EIO;
	}
	for (const struct addrinfo *ai = list; ai != NULL && fd < 0; ai = ai->ai_next) {
		fd = open_address(ai, backlog);
	}
	if (fd < 0) {
		errbuf_set(err, "%s%s%s", spec, errno == EADDRINUSE ? " " : ": ",
		    errno == EADDRINUSE ? "is in use" : strerror(errno));
	}
	freeaddrinfo(list);
	*out = fd;
	return fd >= 0 ? CX_OK : CX_EIO;
}

enum status listener_open(const char *spec, int backlog, int *fd, struct errbuf *err)
{
	struct listener l;
	enum status status = parse(spec, &l, err);

	if (status != CX_OK) {
		return status;
	}
	return l.is_unix ? open_unix(&l, NULL, backlog, fd, err)
			 : open_inet(&l, spec, backlog, fd, err);
}

enum status listener_open_private(const char *spec, const char *user, int backlog,
    int *fd, struct errbuf *err)
{
	struct listener l;
	enum status status = parse(spec, &l, err);

	if (status == CX_OK && !l.is_unix) {
		errbuf_set(err, "'%s': only a unix socket tells who is there", spec);
		status = CX_EINVAL;
	}
	return status == CX_OK ? open_unix(&l, user, backlog, fd, err) : status;
}

void listener_remove(const char *spec)
{
	struct listener l;
	struct errbuf err;

	if (parse(spec, &l, &err) == CX_OK && l.is_unix) {
		unlink(l.un.sun_path);
	}
}

void listener_remove_stale(const char *spec)
{
	struct listener l;
	struct errbuf err;

	if (parse(spec, &l, &err) == CX_OK && l.is_unix) {
		(void)clear_path(&l, &err);
	}
}

void listener_name(int fd, char *out, size_t size)
{
	union {
		struct sockaddr any;
		struct sockaddr_un un;
		struct sockaddr_storage storage;
	} address = { .any.sa_family = AF_UNSPEC };
	socklen_t len = sizeof(address);
	char host[INET6_ADDRSTRLEN + 16], port[8];

	if (getsockname(fd, &address.any, &len) != 0) {
		snprintf(out, size, "unknown");
	} else if (address.any.sa_family == AF_UNIX) {
		snprintf(out, size, "unix:%s", address.un.sun_path);
	} else if (getnameinfo(&address.any, len, host, sizeof(host), port,
		       sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
		snprintf(out, size, "unknown");
	} else {
		snprintf(out, size,
		    address.any.sa_family == AF_INET6 ? "inet:[%s]:%s" : "inet:%s:%s",
		    host, port);
	}
}
