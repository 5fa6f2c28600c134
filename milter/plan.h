#ifndef CX_MILTER_PLAN_H
#define CX_MILTER_PLAN_H

#include <stddef.h>

#include "milter/envelope.h"
#include "milter/pool.h"

/*
 * From the recipients of a message to the edits of its envelope: pure, and in the order
 * in which they are to be applied. Additions come first and deletions last, so that a
 * message never stands without a recipient, whatever breaks in between (postfix-facts
 * 2.5, 4.3, 7.4).
 *
 * An address that the client named survives when its recipient keeps itself, or when any
 * recipient leads to it: nothing is ever deleted and added again (1.10), and each
 * address is delivered to once. Of a recipient that does not survive, every spelling that
 * the client sent is deleted.
 */
enum edit_kind {
	EDIT_ADD,
	EDIT_DELETE,
	EDIT_HEADER, /* at the end of the headers: name and value */
	EDIT_SENDER, /* of the whole message */
};
#define EDIT_KINDS (EDIT_SENDER + 1)

struct edit {
	enum edit_kind kind;
	char *address;   /* in the form that the MTA wants for this edit; EDIT_HEADER: name */
	/* EDIT_ADD: NOTIFY and ORCPT; may be "", and several may share it; EDIT_HEADER: value */
	char *arguments;
	bool is_leaving; /* EDIT_ADD: of an address that is forwarded to a foreign domain */
};

struct plan {
	struct pool pool;
	struct edit *edits;
	size_t count, size;
	size_t add_count; /* the first ones */
	size_t leaving_count; /* of these, such as are forwarded to a foreign domain */
	bool has_staying; /* the message ends with other recipients too */
};

/*
 * Position among the recipients up to which one that the client named, and that another
 * recipient leads to as well, is added again with its own arguments, for the MTA to drop
 * unless another milter refused it. Postfix remembers no more than
 * duplicate_filter_limit (1000) recipients, aliases counted by what they expand to.
 */
#define PLAN_REPEAT_MAX 200
/*
 * Position among the recipients of a local submission up to which they are deleted in rare
 * spellings, too. Each deletion costs Postfix a pass through all recipients.
 */
#define PLAN_RARE_MAX 200

void plan_init(struct plan *);
void plan_release(struct plan *); /* and ready for use again */

/*
 * CX_OK: the plan; empty when there is nothing to change. CX_ENOMEM. CX_EINVAL: the
 * message would be left with no recipient; there is no plan.
 */
enum status plan_make(const struct envelope *, struct plan *out);
/* One more edit, behind those of the envelope. CX_ENOMEM: the plan is of no use any more. */
enum status plan_add_header(struct plan *, struct span name, struct span value);
/* The same: the sender of the message, in external form without <>. */
enum status plan_set_sender(struct plan *, struct span sender);
/* Another address, likewise, for an addition that is already there. CX_ENOMEM. */
enum status plan_change_address(struct plan *, struct edit *, struct span address);

#endif
