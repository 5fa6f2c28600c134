#ifndef CX_POLICY_H
#define CX_POLICY_H

#include "daemon/log_line.h"
#include "decide/authorize.h"
#include "decide/reply.h"
#include "policyd/request.h"
#include "policyd/workspace.h"

/*
 * The policy service (SPEC section 7): a request of Postfix, turned into facts for
 * authorize() and resolve(), and their decisions into one answer. Pure.
 */

/* Longest answer policy_answer_print() writes. */
#define POLICY_ANSWER_MAX 1024
/* Longest line policy_answer_log() writes; longer values are cut. */
#define POLICY_LOG_MAX 8192

struct policy_answer {
	const struct reply *reply; /* refuse or defer with this; NULL: don't */
	bool is_permitted; /* "OK": relay, on grounds of the client; else "DUNNO" */
	/* Not said to the client but logged: `observe`, ours or of the domain. */
	bool is_observed;
	const char
	    *verdict; /* constants, for the log; "" where there is nothing to log */
	const char *rule;
	/*
	 * What the directory says of the recipient, where that was asked, for counting and
	 * the log at level debug. `object` (its DN) is lent by the snapshot.
	 */
	bool is_resolved;
	enum verdict resolved;
	struct span object;
	/* Whether the client may relay, where that was asked. */
	bool is_relay_judged;
	enum relay_verdict relay;
};

/*
 * Always fills `out`, which but for `object` holds constants only: it outlives the snapshot.
 * view->snapshot NULL: there is none to be had (unavailable).
 */
void policy_decide(const struct view *, const struct policy_request *,
    struct workspace *, struct policy_answer *out);

/* "action=...\n\n" */
void policy_answer_print(const struct policy_answer *, struct buf *out);

/* Whether the answer deserves a line of log, at which level, and that line. */
bool policy_answer_is_logged(const struct policy_answer *);
enum log_level policy_answer_level(const struct policy_answer *);
void policy_answer_log(const struct policy_answer *, const struct policy_request *,
    struct log_line *out);
/* The recipient, its verdict and object; nothing where that was not asked. */
void policy_answer_trace(const struct policy_answer *, const struct policy_request *,
    struct log_line *out);

#endif
