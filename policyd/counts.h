#ifndef CX_POLICYD_COUNTS_H
#define CX_POLICYD_COUNTS_H

#include "metrics/counter.h"
#include "policyd/maps.h"
#include "policyd/policy.h"

/* What the policy daemon counts (SPEC section 13). Any thread; all zero at first. */
enum answer_action {
	ACTION_OK,
	ACTION_DUNNO,
	ACTION_REJECT,   /* 5xx */
	ACTION_DEFER,    /* 4xx */
	ACTION_OBSERVED, /* would have been one of the others, but for `observe` */
	ACTION_COUNT
};

enum service_kind {
	SERVICE_POLICY,
	SERVICE_MAP,
	SERVICE_KINDS
};

struct counts {
	struct counter verdicts[VERDICT_COUNT];
	struct counter relay[RELAY_VERDICT_COUNT];
	struct counter actions[ACTION_COUNT];
	struct counter replies[MAP_STATUS_COUNT];
	struct {
		struct counter accepted, open, malformed;
		struct histogram seconds;
	} services[SERVICE_KINDS];
};

/* One answered request, which took so long. */
void counts_add_policy(struct counts *, const struct policy_answer *, uint64_t ns);
void counts_add_map(struct counts *, enum map_status, uint64_t ns);

void counts_print(const struct counts *, struct buf *page);

#endif
