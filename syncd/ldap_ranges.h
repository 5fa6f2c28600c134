#ifndef CX_LDAP_RANGES_H
#define CX_LDAP_RANGES_H

#include "syncd/batch.h"
#include "syncd/ldap_range.h"

/*
 * Entries of which a part came (ldap_range.h), each to be read whole with searches of its own, one
 * after the other. Until then what is stored of it stays; then it goes into the batch that the part
 * was for, as if it came at that moment. The owner of the batch waits with what must
 * not be delivered without it: a refresh, a pass, a cookie.
 */
struct ranges {
	struct range_job {
		struct batch *batch; /* borrowed: whose it is */
		uint8_t uuid[16];
		char *dn;
	} * jobs;
	size_t count, room;
	/* The rest is of the first job, and ldap_ranges.c's. */
	struct range_entry whole;
	unsigned tries, searches;
	int msgid;      /* -1: none */
	bool is_orphan; /* the search goes on, its job does not */
	bool has_entry;
	enum status status; /* of the entry that came */
};

void ranges_init(struct ranges *);
void ranges_release(struct ranges *);
/* One that is waiting already for the same batch is replaced. */
enum status ranges_add(struct ranges *, struct batch *, const uint8_t uuid[16],
    struct span dn);
/* Something newer came for the batch: what is read of the entry goes nowhere. NULL is fine. */
void ranges_forget(struct ranges *, const struct batch *, const uint8_t uuid[16]);
/* The owner of the batch has no more use for it. */
void ranges_drop(struct ranges *, const struct batch *);
bool ranges_wait(const struct ranges *, const struct batch *);

#endif
