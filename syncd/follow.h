#ifndef CX_FOLLOW_H
#define CX_FOLLOW_H

#include "syncd/source.h"
#include "syncd/sync_wire.h"
#include "syncd/uuid_set.h"

/*
 * What a batch means for entries that it does not name (ldap-sync.md T6, T7, 2.7, 2.8): syncrepl
 * says nothing of entries below a container that was renamed, nor of references
 * that slapd itself repaired. Looks into the replica as it is before the delivery.
 */
struct follow {
	bool is_container_changed; /* came, went, or has another name */
	bool has_unknown;          /* something is "present" that we never got */
	/* Refer to an entry that is renamed or gone, or to none at all: read again. */
	struct uuid_set referrers;
	/* Of a batch that is not full: names that entries had, each once. */
	struct rename {
		uint8_t from[SYNC_UUID_SIZE]; /* follow_digest() of the name */
		size_t change; /* the entry as it is now, in the batch; FOLLOW_GONE */
	} *renames;
	size_t rename_count, rename_room;
};
#define FOLLOW_GONE ((size_t)-1)

void follow_init(struct follow *, const struct source *);
void follow_release(struct follow *);

/*
 * `refused`: entries that are there and not in the replica. The look-up is a transaction of
 * its own, so none may be open. On failure `out` may hold a part.
 */
enum status follow_batch(struct source *, const struct batch *,
    const struct uuid_set *refused, struct follow *out);

/*
 * Adds to the batch that those who refer to an entry which was renamed refer to its new name.
 * The directory may do that itself a moment later, and if it does not, reading
 * them again shows it; until then mail goes where it went before.
 */
enum status follow_patch(struct source *, struct batch *, const struct follow *);
/* The names that entries had, for follow_names(). */
enum status follow_add_renames(const struct follow *, struct uuid_set *digests);
/* The record refers to one of these names. */
bool follow_names(const struct uuid_set *digests, struct span record);

/* Every entry of the source that the replica holds. */
enum status follow_known(struct source *, struct uuid_set *out);

#endif
