#ifndef CX_VALVE_H
#define CX_VALVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "value/buf.h"

/*
 * The valve of SPEC section 10: a directory that suddenly has far fewer recipients has
 * more likely lost its data than its people. Pure: what it remembers is a value that
 * apply.c keeps in the replica, so that a restart forgets nothing.
 */
#define VALVE_WINDOW_S 600 /* "within 10 minutes" */
#define VALVE_FREE     20  /* removals that are never too many, unless they are all */

struct valve {
	struct valve_minute {
		int64_t start;
		uint32_t seen;    /* removals of recipients, applied or kept back */
		uint32_t applied; /* of those, the ones that are gone */
	} minutes[VALVE_WINDOW_S / 60 + 1];
	size_t count;
};

struct valve_question {
	size_t recipients;   /* of the directory, before this change */
	size_t held;         /* of them, those whose removal is kept back already */
	size_t removals;     /* of others, now */
	bool is_one_by_name; /* a single deletion that the directory named */
	unsigned max_percent;
	int64_t now;
};

/* From the stored form; damage is an empty memory. */
void valve_read(struct valve *, struct span stored);
void valve_write(const struct valve *, struct buf *out);
/* The removals are to be kept back. */
bool valve_trips(const struct valve *, const struct valve_question *);
/* Remembers what became of them. */
void valve_remember(struct valve *, int64_t now, size_t seen, size_t applied);

#endif
