#ifndef CX_COLLECT_H
#define CX_COLLECT_H

#include "decide/resolve.h"

/*
 * The lists that grow while an address is expanded: deliveries, each address once; objects
 * already expanded; steps. All in the caller's arena; each function that adds sets `is_full` when
 * the arena is used up, and does nothing from then on.
 */

/* An open hash table of positions in one of the lists below, by the hash of a key. */
struct index {
	uint32_t *slots; /* position + 1; 0: empty */
	size_t size;	 /* a power of two; 0: not made yet */
};

/* An object that has been expanded, or is being. */
struct visit {
	struct record_id id;
	enum delivery_kind kind; /* the best kind it was expanded as */
	bool is_group;
	bool reaches; /* it led to somebody */
};

struct collection {
	struct arena *arena;
	bool is_full;
	bool want_steps;
	size_t max_deliveries;
	bool too_many; /* one more delivery than that was wanted */
	struct delivery *deliveries;
	size_t delivery_count, delivery_room;
	struct index delivery_index;
	struct visit *visits;
	size_t visit_count, visit_room;
	struct index visit_index;
	struct step *steps;
	size_t step_count, step_room;
};

void collection_init(struct collection *, struct arena *, size_t max_deliveries,
    bool want_steps);

/*
 * The delivery to a key: a new one (*is_new; only `key` is filled), or the one that is there.
 * NULL: full, or too many.
 */
struct delivery *collection_deliver(struct collection *, struct span key, bool *is_new);

/*
 * Notes that an object is expanded as this kind. *was_visited: it was before, as this kind or a
 * better one, and adds nothing (also when full). Returns its position in `visits`.
 */
size_t collection_visit(struct collection *, const struct record_id *, enum delivery_kind kind,
    bool *was_visited);

void collection_step(struct collection *, unsigned depth, enum rule, struct span subject,
    struct span detail);
/* The same with an address for its subject. */
void collection_step_address(struct collection *, unsigned depth, enum rule,
    const struct address *, struct span detail);

/* A copy of the external form in the arena. */
struct span collection_print(struct collection *, const struct address *);
struct span collection_copy(struct collection *, struct span);

#endif
