#ifndef CX_MILTER_COUNTS_H
#define CX_MILTER_COUNTS_H

#include "decide/resolve.h"
#include "metrics/counter.h"
#include "milter/plan.h"
#include "value/buf.h"

/* What the milter counts (SPEC section 13). Any thread; all zero at first. */
enum message_fate {
	MESSAGE_UNCHANGED,
	MESSAGE_CHANGED,
	MESSAGE_REJECTED,
	MESSAGE_DEFERRED,
	MESSAGE_FATES
};

/* At RCPT. */
enum recipient_fate {
	RECIPIENT_ACCEPTED,
	RECIPIENT_REJECTED,
	RECIPIENT_DEFERRED,
	RECIPIENT_FATES
};

struct counts {
	struct counter verdicts[VERDICT_COUNT];
	struct counter recipients[RECIPIENT_FATES];
	struct counter messages[MESSAGE_FATES];
	struct counter edits[EDIT_KINDS];
	struct counter accepted, open; /* connections */
	struct histogram rcpt_seconds, end_seconds;
};

/* Edits that the MTA has been told of. */
void counts_add_edits(struct counts *, const struct plan *);

void counts_print(const struct counts *, struct buf *page);

#endif
