#ifndef CX_MILTER_DSN_H
#define CX_MILTER_DSN_H

#include <stdbool.h>

#include "value/buf.h"
#include "value/span.h"

/*
 * Delivery status notifications (RFC 3461, RFC 6533): the arguments NOTIFY and ORCPT
 * of RCPT, as the client gave them and as a recipient that we add gets them. Pure
 * functions, any thread.
 *
 * What is built is right to the letter: Sendmail answers a bad argument with a line
 * inside the SMTP dialogue, and an ORCPT without ";" with a crash (postfix-facts 14.6).
 */

/* RFC 3461, 4.2: ORCPT is at most 500 characters. Postfix takes longer ones. */
#define DSN_ORCPT_MAX 500
/* More than fits into a line that an MTA reads from a client: 2048 characters. */
#define DSN_VALUE_MAX 2048

/* The two kinds of server differ in how they read ORCPT of type utf-8, and more. */
enum mta {
	MTA_POSTFIX,
	MTA_SENDMAIL, /* and whatever does not say that it is Postfix */
};

enum dsn_notify {
	DSN_NOTIFY_NEVER = 1 << 0,
	DSN_NOTIFY_SUCCESS = 1 << 1,
	DSN_NOTIFY_FAILURE = 1 << 2,
	DSN_NOTIFY_DELAY = 1 << 3,
};

/* What the client asked for; all zero: nothing. */
struct dsn {
	unsigned notify;   /* enum dsn_notify; 0: not given */
	struct span orcpt; /* "type;value" as sent; empty: not given */
	/* One was there and not understood, or reads otherwise to the MTA than from us. */
	bool has_odd;
};

/* How an added recipient comes about, as far as notifications care. */
enum dsn_role {
	DSN_OWN,      /* one that the client named itself */
	DSN_REDIRECT, /* one for one */
	DSN_GROUP,    /* a member: the sender hears of trouble, not of each success */
	DSN_COPY,     /* beside the mailbox: the sender hears nothing */
};

/*
 * Reads "NOTIFY=..." and "ORCPT=..." among a NULL-terminated list of ESMTP arguments.
 * Whatever has a meaning is taken, well-formed or not: the MTA has let it through, and
 * would send it on in due form. What has none counts as not given and sets `has_odd`;
 * other arguments are passed over. `out` borrows from the arguments. No allocation.
 */
void dsn_parse(const char *const *arguments, struct dsn *out);

/*
 * Appends the arguments for a recipient that is added: "NOTIFY=... ORCPT=...". `typed`
 * is the recipient of the client that it stands for, as typed.
 */
void dsn_build(const struct dsn *, enum dsn_role, enum mta, struct span typed,
    struct buf *out);

/* Whether the sender hears of a failure, as it does where it does not say. */
bool dsn_wants_failures(const struct dsn *);

/* A path as typed without the <> around it. */
struct span dsn_strip_brackets(struct span typed);

#endif
