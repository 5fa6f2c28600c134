#ifndef CX_UUID_SET_H
#define CX_UUID_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "value/status.h"

/*
 * A set of entryUUIDs: a list in order of arrival (removing moves the last one into
 * the gap) with a hash table over it. One thread.
 */
struct uuid_set {
	uint8_t (*list)[16];
	size_t count, room;
	uint32_t *
	    slots; /* position in the list plus one; 0: free. A power of two of them. */
	size_t slot_count;
};

void uuid_set_init(struct uuid_set *);
void uuid_set_release(struct uuid_set *); /* empty again, memory freed; NULL is fine */
void uuid_set_clear(struct uuid_set *);   /* empty again, memory kept */
/* CX_OK, also where it is in already; CX_ENOMEM. */
enum status uuid_set_add(struct uuid_set *, const uint8_t uuid[16]);
bool uuid_set_has(const struct uuid_set *, const uint8_t uuid[16]);
void uuid_set_remove(struct uuid_set *, const uint8_t uuid[16]);

#endif
