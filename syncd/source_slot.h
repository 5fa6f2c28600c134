#ifndef CX_SOURCE_SLOT_H
#define CX_SOURCE_SLOT_H

#include <stddef.h>

#include "syncd/sources.h"

/* What stands around a struct source: for source.c and sources.c, not for backends. */

/* What was logged once. */
struct seen {
	uint64_t *hashes; /* open addressing, 0: free */
	size_t count;
};

struct slot {
	struct source source; /* first: backends see only this */
	struct sources *owner;
	struct conf *conf; /* holds source.conf */
	struct apply_source applied;
	uint8_t section[32]; /* hash of everything in the section */
	struct seen seen;
	struct buf record; /* of the entry being mapped */
	bool is_kept;      /* while configuring */
	bool is_started;
};

struct sources {
	struct event_base *base;
	struct apply *apply;
	sources_clock *clock;
	struct slot **slots;
	size_t count;
};

static inline struct slot *slot_of(struct source *source)
{
	return (struct slot *)((char *)source - offsetof(struct slot, source));
}

#endif
