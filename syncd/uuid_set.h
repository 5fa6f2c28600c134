#ifndef CX_UUID_SET_H
#define CX_UUID_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "value/spool.h"

/*
 * A set of entryUUIDs: a list in order of arrival (removing moves the last one into
 * the gap) with a hash table over it. A large one is in a file (value/spool.h). One thread.
 */
struct uuid_set {
	uint8_t (*list)[16];
	size_t count;
	/* The rest is private. */
	uint32_t *
	    slots; /* position in the list plus one; 0: free. A power of two of them. */
	size_t slot_count, room;
	struct spool list_spool, slot_spool;
};

/* `directory`: for the file; borrowed. */
void uuid_set_init(struct uuid_set *, const char *directory);
void uuid_set_release(struct uuid_set *); /* empty again, memory freed; NULL is fine */
void uuid_set_clear(struct uuid_set *);   /* empty again; a file is given up */
/* CX_OK, also where it is in already; CX_ENOMEM, CX_EIO (value/spool.h). */
enum status uuid_set_add(struct uuid_set *, const uint8_t uuid[16]);
bool uuid_set_has(const struct uuid_set *, const uint8_t uuid[16]);
/* *at: where in the list it is. */
bool uuid_set_find(const struct uuid_set *, const uint8_t uuid[16], size_t *at);
void uuid_set_remove(struct uuid_set *, const uint8_t uuid[16]);

#endif
