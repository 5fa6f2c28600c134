#ifndef CX_FOLLOW_PARTS_H
#define CX_FOLLOW_PARTS_H

#include "replica/store_write.h"
#include "syncd/follow.h"

/*
 * Inside follow: follow.c finds out what a batch means, follow_patch.c handles references.
 */

/* For each entry, the last change of a batch that tells of it (PUT, or that it goes). */
struct batch_latest {
	size_t *at; /* positions, by uuid */
	size_t count;
};
enum status batch_latest_init(struct batch_latest *, const struct batch *);
void batch_latest_release(struct batch_latest *);
/* Position of the change; FOLLOW_GONE: the batch does not tell of the entry. */
size_t batch_latest_find(const struct batch_latest *, const struct batch *,
    const uint8_t uuid[SYNC_UUID_SIZE]);
bool batch_latest_is(const struct batch_latest *, const struct batch *, size_t at);

/* Stands for the key of a DN. CX_OK, CX_ENOMEM. */
enum status follow_digest(struct span key, uint8_t out[SYNC_UUID_SIZE]);
/*
 * The record refers to a DN that no recipient has in the store, in a transaction, nor
 * among `more` (digests; may be NULL).
 */
bool follow_dangles(struct store_writer *, struct span record,
    const struct uuid_set *more);

#endif
