#ifndef CX_MILTER_SESSION_H
#define CX_MILTER_SESSION_H

#include <stdbool.h>

#include "daemon/conf.h"
#include "daemon/keys.h"
#include "decide/reply.h"
#include "milter/counts.h"
#include "milter/judge.h"
#include "milter/plan.h"
#include "value/cidr.h"
#include "value/span.h"

/*
 * One connection of an MTA, as a milter is told of it, and what it answers. It decides
 * each recipient once, at RCPT, and has the edits ready at end of message. It knows no
 * milter library and no socket, and owns all that a message needs.
 *
 * Order of calls: session_new(); session_connect(); for each message session_mail(),
 * session_rcpt() for each recipient, session_header() for each header, then session_end() with session_edited() after
 * the plan was applied, or session_abort(); session_free(). A call too many or too few is
 * no harm: MAIL forgets what was before it. Calls may come from any thread, one at a time.
 */

/* What sessions share. All of it must outlive them and may be used by any thread. */
struct session_env {
	void *conf_context;
	/* A reference to the configuration in force; one message uses one. */
	struct conf *(*conf_hold)(void *conf_context);
	/* The same for its secrets. */
	struct keys *(*keys_hold)(void *conf_context);
	judge_function *judge;
	judge_sender_function *judge_sender;
	void *judge_context;
	int64_t (*now)(void);
	struct counts *counts;
};

enum answer_kind {
	ANSWER_CONTINUE,
	ANSWER_REJECT, /* with a 5xx */
	ANSWER_DEFER,  /* with a 4xx */
};

/* `reply` is valid until the next call; NULL: the MTA's own words. */
struct answer {
	enum answer_kind kind;
	const struct reply *reply;
};

/* Facts of the connection, valid for the call; empty where the MTA did not say. */
struct session_connection {
	enum mta mta;
	struct span host;
	bool has_ip;
	struct ip ip;
	/*
	 * {rcpt_mailer} was not asked for, so that nothing tells what the MTA is final
	 * for: `enforce` waits for the next connection.
	 */
	bool lacks_mailers;
	/* Headers were not asked for: there is no trace until the next connection. */
	bool lacks_headers;
};

/* Facts that come with MAIL. */
struct session_sender {
	const char *const *arguments; /* of MAIL: the path as typed, then ESMTP; NULL */
	struct span client_address; /* macro {client_addr}; it beats the connection's */
	struct span login;          /* {auth_authen} */
	struct span certificate;    /* {cert_fp}; Sendmail only */
	bool is_encrypted;          /* {tls_version} */
	/* {mail_mailer} was there: the MTA has resolved the sender, so this is SMTP. */
	bool has_mailer;
};

struct session;

struct session *session_new(const struct session_env *); /* NULL: no memory */
void session_free(struct session *);                     /* NULL is fine */

void session_connect(struct session *, const struct session_connection *);
void session_mail(struct session *, const struct session_sender *);
/*
 * `arguments`: the path as typed, then ESMTP, NULL. `mailer`: {rcpt_mailer}, for the
 * sake of `enforce`.
 */
struct answer session_rcpt(struct session *, const char *const *arguments,
    struct span mailer);

/*
 * Behind the last session_rcpt(): whether there is nothing to do for the message, so that the MTA
 * need not tell of the rest. It is forgotten then.
 */
bool session_is_done(struct session *);

/* A header of the message, between the last session_rcpt() and session_end(). */
void session_header(struct session *, struct span name, struct span value);

/*
 * End of message: ANSWER_CONTINUE: apply *plan, in order, and say how that went;
 * anything else: answer so. The plan is valid until session_edited().
 */
struct answer session_end(struct session *, struct span queue_id,
    const struct plan **plan);
/*
 * How applying it went; writes the log (queue id: may be empty) and forgets the message.
 * The answer is the one to the end of message: a failed edit defers it.
 */
struct answer session_edited(struct session *, bool was_applied, struct span queue_id);
void session_abort(struct session *);

#endif
