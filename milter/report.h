#ifndef CX_MILTER_REPORT_H
#define CX_MILTER_REPORT_H

#include "decide/reply.h"
#include "milter/envelope.h"
#include "value/span.h"

/*
 * The lines that the milter logs (SPEC section 13), where the level lets them. What comes
 * from outside is escaped and cut (log_line.h).
 */
/* Deliveries of one recipient that get a line each; more of them are counted in one. */
#define REPORT_LINES_MAX 20

struct report_refusal {
	struct span host;
	struct span client; /* address */
	struct span login;
	struct span sender;    /* path as typed */
	struct span recipient; /* path as typed */
	const char *verdict;
	const char *rule;
	const struct reply *reply;
	bool is_observed; /* not refused, but would have been */
};
void report_refusal(const struct report_refusal *);

/* The sender of a message, by SRS; or why it stays (`new_sender` empty). */
void report_sender(struct span queue_id, struct span sender, struct span new_sender,
    const char *rule);

/*
 * At level debug: what the directory says of a recipient; `entered`: how many objects were looked
 * into for it.
 */
void report_decision(struct span typed, const char *verdict, size_t entered,
    struct span object);

/* What became of each recipient that is not delivered to as the client named it. */
void report_changes(const struct envelope *, struct span queue_id);

#endif
