#ifndef CX_ARENA_H
#define CX_ARENA_H

#include <stddef.h>

#include "value/span.h"

/*
 * Memory that a caller lends for one decision: given out from the front, taken
 * back all at once by resetting `used`. Nothing in it is freed singly. Not
 * thread-safe: one arena, one thread.
 */
struct arena {
	char *memory;
	size_t size;
	size_t used;
};

/* Aligned for any type; NULL when it is used up. Not cleared. */
void *arena_get(struct arena *, size_t size);
/* A copy with a NUL behind; {NULL, 0} when used up. */
struct span arena_copy(struct arena *, struct span);

#endif
