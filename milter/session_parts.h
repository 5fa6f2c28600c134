#ifndef CX_SESSION_PARTS_H
#define CX_SESSION_PARTS_H

#include "milter/envelope.h"
#include "milter/pool.h"
#include "milter/session.h"
#include "milter/tracing.h"

/*
 * What the files of a session share; nobody else includes it. Each calls those below it:
 *
 *   session.c     what is known of the connection and the message; the order of calls
 *   finish.c      end of message: the edits, and what is logged of them
 *   recipient.c   what is decided for a recipient: at RCPT, and again at end of message
 *   answer.c      from a reply to an answer, and the log of a refusal
 */
struct session {
	const struct session_env *env;

	/* The connection. */
	struct pool connection_pool;
	enum mta mta;
	struct span host;
	bool has_connection_ip;
	struct ip connection_ip;
	bool lacks_mailers;
	bool lacks_headers;

	/* The message. */
	struct pool pool;
	struct conf *conf; /* NULL: no message */
	struct keys *keys;
	struct span sender;
	struct span new_sender;  /* by SRS; empty: it stays */
	struct span lost;	 /* where it came back: see again_decide() */
	const char *kept_sender; /* why it stays though SRS is wanted; NULL */
	struct relay_facts client;
	bool is_enforcing;
	bool is_local_submission;
	bool is_trusted;
	bool has_smtputf8;
	struct envelope envelope;
	struct tracing tracing;
	struct plan plan;
	struct judge_memory memory;
	uint64_t end_ns; /* by histogram_clock_ns(): when its end came */

	/* What the whole message is deferred with; code[0] is 0 for nothing. */
	struct reply deferral;
	char deferral_enhanced[16];
};

static inline bool session_has_empty_sender(const struct session *session)
{
	return dsn_strip_brackets(session->sender).len == 0;
}

/*
 * finish.c. Makes the plan of the message. Anything but ANSWER_CONTINUE: there is none, and
 * it was logged why.
 */
struct answer finish_plan(struct session *, struct span queue_id);
/* Logs what became of the message by its plan. */
void finish_report(const struct session *, bool was_applied, struct span queue_id);

/* recipient.c. As session_rcpt(), within a message. */
struct answer recipient_decide(struct session *, const char *const *arguments,
    struct span mailer);
/*
 * If the message was here before, its recipients are decided once more, and the envelope is the
 * one that comes of it. As again_decide().
 */
enum status recipient_decide_again(struct session *);

/* answer.c */
extern const struct reply answer_temporary_failure;
struct answer answer_go_on(void);
struct answer answer_with(const struct reply *);
/*
 * Nothing can be refused in a local submission: the whole message waits in the queue,
 * where somebody will see it.
 */
struct answer answer_defer_message(struct session *, const struct reply *);
/* One of the two: a recipient is refused. */
struct answer answer_refusal(struct session *, const struct reply *);
/* Logs it. `is_observed`: it is none, but would have been. */
void answer_report(const struct session *, struct span typed, const char *verdict,
    const char *rule, const struct reply *, bool is_observed);

#endif
