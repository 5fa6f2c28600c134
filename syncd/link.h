#ifndef CX_LINK_H
#define CX_LINK_H

#include <ldap.h>

#include "daemon/conf.h"
#include "value/errbuf.h"

/*
 * The way to a bound LDAP connection. Name look-up, connecting, TLS and bind
 * may each take their time, so an attempt runs in a thread of its own and hands the
 * connection over to the event loop, where it is used without ever blocking. A
 * connection belongs to one thread at a time.
 *
 * Nothing of the system's or the user's ldap.conf or environment counts
 * (link_global_init()). Certificates are checked unless the configuration says otherwise.
 */
struct event_base;
struct link_attempt;

/*
 * The longest message taken from a server: an entry with all that was asked for. A group of
 * 100,000 members by DNs of 600 bytes fits. A longer one ends the connection, with ERANGE in
 * errno behind ldap_result().
 */
#define LINK_MESSAGE_MAX (64 * 1024 * 1024)

/*
 * First thing in main(), before any other use of libldap and before threads. Every
 * further call does nothing.
 */
void link_global_init(void);

/* What became of an attempt. */
struct link_result {
	LDAP *ld; /* bound, non-blocking, now the receiver's; NULL: it failed */
	int code; /* of libldap, or of the server's answer to the bind */
	bool
	    is_refused; /* by the server's own word: trying on and on may lock the account */
	bool is_clear_text;  /* a password went over the network unprotected */
	struct errbuf error; /* for a person; not escaped */
};

/* Called once in the loop, unless the attempt is cancelled before. */
typedef void link_done(void *context, const struct link_result *);

/* NULL: no thread or no memory. `conf` is copied; `uri` is one of its URIs. */
struct link_attempt *link_connect(struct event_base *,
    const struct conf_directory *conf, const char *uri, link_done *, void *context);
/*
 * No call will come any more. What runs goes on alone to its end (at the latest when
 * its time is up) and cleans up behind itself. NULL is fine.
 */
void link_cancel(struct link_attempt *);

/*
 * The password in `path`, without one newline at its end. CX_EINVAL: others than owner and group
 * may read or write it, it is another user's than ours and not root's, it is empty, holds a NUL, or is over LINK_PASSWORD_MAX; CX_EIO. Clear
 * the memory (explicit_bzero) after use.
 */
#define LINK_PASSWORD_MAX 1024
enum status link_read_password(const char *path, char out[LINK_PASSWORD_MAX + 1],
    size_t *len, struct errbuf *);

/*
 * The files that a login is made of, as they are now (also: not there), to tell whether
 * anybody changed one. Compare with memcmp().
 */
#define LINK_FILES 4
struct link_marks {
	int64_t files[LINK_FILES][5];
};
void link_mark_files(const struct conf_directory *, struct link_marks *);

#endif
