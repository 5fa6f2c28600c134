#ifndef CX_MILTER_POOL_H
#define CX_MILTER_POOL_H

#include <stddef.h>
#include <stdint.h>

#include "value/attrs.h"
#include "value/span.h"
#include "value/status.h"

/*
 * Memory that lives as long as one message: given out in pieces, freed all at once. And
 * tables from a run of bytes to a number, for finding an address again. Not thread-safe;
 * a message belongs to one callback at a time.
 */
struct pool {
	struct pool_block *blocks;
};

void pool_init(struct pool *);
void pool_release(struct pool *); /* and ready for use again */
/* Aligned for any type, not cleared; NULL when the system has no memory. */
void *pool_get(struct pool *, size_t size);
/* A copy with a NUL behind; NULL when the system has no memory. */
char *pool_text(struct pool *, struct span);
/* The same as a span. {NULL, 0} when the system has no memory. */
struct span pool_copy(struct pool *, struct span);

struct keytab {
	struct keytab_slot *slots;
	size_t size; /* a power of two, or 0 */
	size_t used;
};

#define KEYTAB_NONE UINT32_MAX

void keytab_init(struct keytab *);
void keytab_release(struct keytab *); /* and ready for use again */
/* KEYTAB_NONE: it is not there. */
uint32_t keytab_find(const struct keytab *, struct span key);
/* `key` is borrowed for the life of the table and must not be there yet. CX_ENOMEM. */
enum status keytab_add(struct keytab *, struct span key, uint32_t value) CX_MUST_CHECK;

#endif
