#ifndef CX_SERVER_H
#define CX_SERVER_H

#include "daemon/conf.h"

/*
 * The policy daemon as a whole: sockets, replica, workers. All functions from the main
 * thread, in this order: server_open() (as root), server_start() (as the daemon's user, after
 * any fork), server_reload() as often as wanted, server_stop(), server_close().
 */
struct server;

/* Opens the sockets. CX_EIO, CX_ENOMEM with err. */
enum status server_open(struct conf *, struct server **out, struct errbuf *);
/* Opens the replica and starts the workers. CX_ECONF: no replica directory; CX_EIO, ... */
enum status server_start(struct server *, struct errbuf *);
/*
 * Goes over to another configuration without dropping a connection. On failure the
 * old one stays in force. The number of workers and the user stay as they are.
 */
enum status server_reload(struct server *, struct conf *, struct errbuf *);
/* Accepts no more, answers what is in flight, ends the workers. */
void server_stop(struct server *);
void server_close(struct server *); /* NULL is fine */

#endif
