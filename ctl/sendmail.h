#ifndef CX_CTL_SENDMAIL_H
#define CX_CTL_SENDMAIL_H

#include <stdbool.h>

#include "ctl/srs_hop.h"
#include "daemon/conf.h"
#include "value/buf.h"

/*
 * coexistctl sendmail: the settings of a Sendmail beside Coexist, and what in a
 * sendmail.mc speaks against them.
 *
 * A next hop of the directory is in Postfix's syntax. Sendmail has the port, and the path
 * of a socket, in the definition of a mailer: so there is one for each port that occurs.
 */

/*
 * Sendmail 8.17 has room for 25 mailers (MAXMAILERS). MAILER(local), MAILER(smtp) and its own take
 * nine, the one where mail waits and the one that is this host itself two more; two are left to
 * the administrator.
 */
#define SENDMAIL_HOPS_MAX 12

/* What next hops need a mailer of their own for. */
enum hop_kind {
	HOP_SMTP_PORT,   /* "smtp:[host]:2525", "relay:host:2525" */
	HOP_LMTP_PORT,   /* "lmtp:inet:host:24" */
	HOP_LMTP_SOCKET, /* "lmtp:unix:/path" */
	HOP_PLAIN,       /* "smtp:[host]", "relay:host": MAILER(smtp) has it */
	HOP_UNUSABLE,    /* anything else: its mail waits */
};

struct hop {
	enum hop_kind kind;
	unsigned port;
	char *path; /* owned; of a socket */
};

/* Each once, SENDMAIL_HOPS_MAX at most. */
struct hops {
	struct hop *hops;
	size_t count;
	size_t taken; /* of the mailers, by something else */
	bool failed; /* no memory */
};

/* Ports and paths of one next hop, as the map `transport` answers it. */
struct hop hop_of(struct span next_hop);
void hops_release(struct hops *);
/*
 * Adds what the configuration and, where there is one, the replica have; complains of what
 * Sendmail cannot use. False: no replica.
 */
bool hops_collect(struct hops *, const struct conf *);

/* The lines for sendmail.mc. `srs`: may be empty. */
void sendmail_print(const struct conf *, const struct hops *, const struct srs_hop *srs,
    struct buf *out);

/* "unix:/path" as local:/path, "inet:host:port" as inet:port@host. */
void sendmail_print_socket(struct buf *out, const char *listen);

/*
 * Complains of each line in a sendmail.mc, with what it includes, or sendmail.cf, with the tables
 * of those who may relay, that is dangerous; `wants_all`: also of what is missing. Adds how many
 * there are to *found. EX_OK, or the exit code for a file that cannot be read, which is said.
 */
int sendmail_read(const struct conf *, const char *path, bool wants_all,
    unsigned *found);

#endif
