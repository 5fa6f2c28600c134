#ifndef CX_APPLY_PLAN_H
#define CX_APPLY_PLAN_H

#include "replica/store_write.h"
#include "syncd/apply.h"
#include "syncd/valve.h"

/*
 * Inside apply: what a batch means for what is stored, worked out in a transaction before
 * anything is changed. All of it is per entry, as the last word on an entry counts. What
 * grows with the directory is in files (value/spool.h).
 */
struct effect {
	const struct change
	    *change;     /* the last one that says more than PRESENT or SPARED */
	uint64_t prefix; /* the first bytes of its uuid, for comparing */
	bool is_changed; /* PUT: another record than the stored one, or there is none */
	/*
	 * PUT: of what was more than a container only a container is left. That is a
	 * removal, and the record follows it.
	 */
	bool is_demoted;
};

enum removal_fate {
	REMOVAL_APPLY,
	REMOVAL_HOLD,
	REMOVAL_SPARE, /* none at all */
};

struct removal {
	uint8_t uuid[16];
	enum record_kind kind;
	bool is_explicit; /* the directory named it */
	bool was_held;    /* kept back before */
	bool is_spared;   /* to be judged only if it is replaced */
	/* Its DN or one of its addresses is now another entry's: replaced, not lost. */
	bool is_replaced;
	enum removal_fate fate;
};

struct plan {
	struct effect *effects; /* by uuid */
	size_t effect_count;
	size_t put_count; /* effects that change something */
	size_t stored;    /* records of any kind, before */
	struct removal *removals; /* by uuid once they are judged */
	size_t removal_count;
	size_t applied_count; /* of them, those that are not kept back */
	struct spool effect_spool, removal_spool;
	const char *directory; /* for files */
	size_t recipients; /* stored, before */
	size_t held_recipients;
	size_t counted; /* removals of recipients that the valve had to judge */
	bool has_tripped;
};

void plan_init(struct plan *, const char *directory);
void plan_release(struct plan *);

/* The effects alone; needs no store. CX_OK; CX_ENOMEM, CX_EIO (no place for a file). */
enum status plan_effects(struct plan *, const struct batch *);
/* NULL: the batch does not speak of the entry. */
const struct effect *plan_find(const struct plan *, const uint8_t uuid[16]);
/*
 * In a transaction: what changes, and what goes. `held` are the ids kept back so far.
 * CX_NOTFOUND: what should be stored (SAME) is not.
 */
enum status plan_compare(struct plan *, struct store_writer *, const struct batch *,
    struct span held);
/*
 * An entry that was deleted and made anew (a directory that was reloaded, a move without
 * an entryUUID) comes with another id and the same DN or addresses: the old record must
 * go at once, for two owners of an address would make it ambiguous.
 * Marks such removals; plan_compare() calls it.
 */
enum status plan_find_replaced(struct plan *, struct store_writer *,
    const struct batch *);
/*
 * Decides what happens to the removals, and remembers it in `valve`. CX_ENOMEM, CX_EIO: they
 * cannot be sorted.
 */
enum status plan_judge(struct plan *, const struct batch *, struct valve *,
    unsigned max_percent, int64_t now);

#endif
