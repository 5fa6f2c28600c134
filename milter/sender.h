#ifndef CX_MILTER_SENDER_H
#define CX_MILTER_SENDER_H

#include "forward/secrets.h"
#include "milter/plan.h"

/*
 * SRS (SPEC section 9) for a message whose sender is one to be rewritten, which the caller
 * knows. A milter changes the sender of a whole message. So where all recipients are forwarded
 * to foreign domains, that is done; where only some are, these go to the re-injection hop, where
 * they are all there is. Pure.
 */
struct sender_rule {
	const struct secrets *secrets;
	struct span domain; /* of SRS */
	bool has_hop;
	int64_t now_s;
};

enum sender_fate {
	SENDER_CHANGED,
	SENDER_BY_HOP,   /* of each leaving recipient, there */
	SENDER_NO_HOP,   /* stays: there is no hop, and others keep theirs */
	SENDER_TOO_LONG, /* stays: it, or a recipient, would be no address any more */
};

/*
 * Adds to the plan of a message that has leaving recipients. `text`: the new sender, in
 * external form, where it was changed. CX_OK; CX_ENOMEM, CX_ETEMP: the plan is of no use any more.
 */
enum status sender_rewrite(struct plan *, const struct address *sender,
    const struct sender_rule *, enum sender_fate *, struct buf *text);

#endif
