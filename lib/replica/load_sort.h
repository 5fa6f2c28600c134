#ifndef CX_LOAD_SORT_H
#define CX_LOAD_SORT_H

#include <stddef.h>
#include <stdint.h>

#include "value/span.h"

/*
 * Sorting for the loader: by eight bytes of the key at a time, behind what the keys have in
 * common (a radix sort, which calls nobody), and by comparing only where few are left or
 * keys are equal. Stable; no memory but the caller's.
 */
struct sort_item {
	uint64_t at;     /* for the caller: where the thing is */
	uint64_t prefix; /* of the sort's own */
};

struct sort_order {
	/* The key by which items are in order first: its bytes, the shorter first. */
	struct span (*key)(const struct sort_item *, void *context);
	/* The whole order: <0, 0, >0. */
	int (*compare)(const struct sort_item *, const struct sort_item *,
	    void *context);
	void *context;
};

/* `temp` has room for `count` items too. */
void load_sort(struct sort_item *items, struct sort_item *temp, size_t count,
    const struct sort_order *);

#endif
