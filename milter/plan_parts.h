#ifndef CX_PLAN_PARTS_H
#define CX_PLAN_PARTS_H

#include "milter/plan.h"

/*
 * What the files of a plan share; nobody else includes it.
 *
 *   plan.c         what becomes of each address, and the additions
 *   plan_delete.c  the deletions
 */
#define PLAN_NOBODY UINT32_MAX

/* What is known of each address while the plan is made. */
struct fate {
	bool is_named;    /* the client named it */
	bool survives;    /* it stays a recipient, as the client typed it */
	bool is_repeated; /* survives, and a recipient of another address leads to it */
	uint32_t winner;  /* the recipient for whose sake it is added; PLAN_NOBODY */
	enum dsn_role role;
};

/* One more edit, with copies of the texts. CX_ENOMEM. */
enum status plan_put(struct plan *, enum edit_kind, struct span address,
    struct span arguments);
/* What stands behind a source route: "@a,@b:adam@acme.example". */
struct span plan_strip_route(struct span address);

/* Every spelling of each recipient whose address does not survive. CX_ENOMEM. */
enum status plan_delete_gone(const struct envelope *, const struct fate *,
    struct plan *);

#endif
