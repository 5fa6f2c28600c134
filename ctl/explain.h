#ifndef CX_EXPLAIN_H
#define CX_EXPLAIN_H

#include "daemon/conf.h"
#include "decide/authorize.h"
#include "decide/resolve.h"

/*
 * A decision, shown to a person: calls authorize() and resolve() as the daemons do and
 * prints what they say as a tree or as JSON (SPEC section 12).
 *
 * explainer_new, then for each address explain, print, explain_done; explainer_free.
 */
struct explain_facts {
	struct relay_facts relay; /* --client, --login */
	bool has_sender;
	struct span sender; /* --sender; empty: the null sender */
};
struct explainer;

/* NULL: trouble, which has been reported. Without a replica every answer is `unavailable`. */
struct explainer *explainer_new(const struct conf *);
void explainer_free(struct explainer *);

/* False: out of memory. */
bool explain(struct explainer *, const struct explain_facts *, struct span address);
int explain_exit_code(const struct explainer *);
void explain_print_text(const struct explainer *);
void explain_print_json(const struct explainer *, bool one_line);
/* Ends the snapshot that the printed texts point into. */
void explain_done(struct explainer *);

#endif
