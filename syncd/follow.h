#ifndef CX_FOLLOW_H
#define CX_FOLLOW_H

#include "syncd/source.h"
#include "syncd/uuid_set.h"

/*
 * What a batch means for entries that it does not name (ldap-sync.md T6, T7, 2.7, 2.8): syncrepl
 * says nothing of entries below a container that was renamed, nor of references
 * that slapd itself repaired. Looks into the replica as it is before the delivery.
 */
struct follow {
	bool is_container_changed; /* came, went, or has another name */
	bool has_unknown;          /* something is "present" that we never got */
	struct uuid_set
	    referrers; /* refer to an entry that is renamed or gone: read again */
};
void follow_init(struct follow *, const struct source *);
void follow_release(struct follow *);

/*
 * `refused`: entries that are there and not in the replica. The look-up is a transaction of
 * its own, so none may be open. On failure `out` may hold a part.
 */
enum status follow_batch(struct source *, const struct batch *,
    const struct uuid_set *refused, struct follow *out);

/* Every entry of the source that the replica holds. */
enum status follow_known(struct source *, struct uuid_set *out);

#endif
