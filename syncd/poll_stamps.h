#ifndef CX_POLL_STAMPS_H
#define CX_POLL_STAMPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "value/status.h"

/*
 * Which entry was seen with which stamps (entryCSN, modifyTimestamp, uSNChanged) and name:
 * a set of hashes, 64 bits each, for a million entries must fit in a few megabytes. Whoever
 * makes two of them collide has a change of his own entry found later. One thread.
 */
struct poll_stamps {
	uint64_t *slots; /* open addressing, 0: free; a power of two of them */
	size_t count, slot_count;
};

void poll_stamps_init(struct poll_stamps *);
void poll_stamps_release(struct poll_stamps *); /* empty again, memory freed */
/* `hash` is not 0. CX_OK, also where it is in already; CX_ENOMEM. */
enum status poll_stamps_add(struct poll_stamps *, uint64_t hash);
bool poll_stamps_has(const struct poll_stamps *, uint64_t hash);
/* `to` gets what `from` holds, which is empty then. */
void poll_stamps_move(struct poll_stamps *to, struct poll_stamps *from);

#endif
