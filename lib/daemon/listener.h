#ifndef CX_LISTENER_H
#define CX_LISTENER_H

#include <stddef.h>
#include <stdint.h>

#include "value/errbuf.h"
#include "value/status.h"

/*
 * Listening sockets, in Postfix's syntax: "unix:/path", "inet:host:port",
 * "inet:[::1]:port". Port 0 picks a free one.
 */

/* Syntax only; for the configuration's check. CX_EINVAL. */
enum status listener_check(const char *spec, struct errbuf *);

/*
 * Where to connect to one of the kind inet: an address that stands for all is the loopback one.
 * CX_EINVAL: a unix socket, a bad specification, or a service of no known port.
 */
struct listener_target {
	char host[256];
	uint16_t port;
};
enum status listener_target(const char *spec, struct listener_target *out);

/*
 * A listening, non-blocking, close-on-exec descriptor. A stale unix socket file is
 * replaced; one that somebody listens on is CX_EIO ("in use"). The socket file gets mode
 * 0660 and, where the process may, the group `postfix` if that exists, else the group
 * of the directory it lies in, so that Postfix connects and strangers do not.
 * TCP: SO_REUSEADDR, and TCP_NODELAY, which accepted sockets inherit (postfix-facts,
 * "the 40 ms trap").
 */
enum status listener_open(const char *spec, int backlog, int *fd, struct errbuf *);
/*
 * The same, for nobody but root and `user` ("": who runs this), whose the socket file is, with
 * mode 0600. CX_EINVAL: not a unix socket.
 */
enum status listener_open_private(const char *spec, const char *user, int backlog,
    int *fd, struct errbuf *);
/* Removes the file of a unix socket; nothing for others. Before the socket is closed. */
void listener_remove(const char *spec);
/*
 * The same, for after it was closed: another process may have put its own in that place,
 * which stays.
 */
void listener_remove_stale(const char *spec);
/* "inet:127.0.0.1:10040" with the port that was picked; for logs and tests. */
void listener_name(int fd, char *out, size_t size);

#endif
