#include "config.h"

#include "syncd/apply_parts.h"

#include <string.h>

/* A directory of which much changes: what stays and what is new is loaded together. */

struct keeping {
	struct attempt *attempt;
	struct store_load *load;
	size_t next; /* the first removal that is not behind us */
	enum status status;
};

static bool is_damaged(struct span stored)
{
	struct record record;

	return record_open(stored, &record) != CX_OK;
}

/* The removal of a record; NULL: it is in none. Records come in order of uuid. */
static const struct removal *removal_of(struct keeping *keeping, const uint8_t uuid[16])
{
	const struct plan *plan = &keeping->attempt->plan;
	int order = -1;

	while (keeping->next < plan->removal_count &&
	       (order = memcmp(plan->removals[keeping->next].uuid, uuid, 16)) < 0) {
		keeping->next++;
	}
	return order == 0 ? &plan->removals[keeping->next] : NULL;
}

/* What becomes of a stored record. */
static bool keep(void *context, const struct record_id *id, struct span stored)
{
	struct keeping *keeping = context;
	struct attempt *attempt = keeping->attempt;
	const struct removal *removal = removal_of(keeping, id->uuid);
	const struct effect *effect = plan_find(&attempt->plan, id->uuid);

	if (removal && removal->fate == REMOVAL_APPLY) {
		attempt->steps.repaired += is_damaged(stored);
		if (effect && effect->is_demoted) {
			keeping->status = store_load_put(keeping->load, id->uuid,
			    batch_record(attempt->batch, effect->change));
		}
	} else if (effect && effect->is_changed) {
		attempt->steps.repaired += is_damaged(stored);
	} else {
		keeping->status = store_load_put(keeping->load, id->uuid, stored);
		if (keeping->status == CX_EINVAL) {
			keeping->status = CX_EFORMAT;
		}
	}
	return keeping->status == CX_OK;
}

static enum status put_new(struct attempt *attempt, struct store_load *load)
{
	const struct plan *plan = &attempt->plan;
	enum status status = CX_OK;

	for (size_t i = 0; i < plan->effect_count && status == CX_OK; i++) {
		const struct effect *effect = &plan->effects[i];

		if (effect->is_changed) {
			status = store_load_put(load, effect->change->uuid,
			    batch_record(attempt->batch, effect->change));
		}
	}
	return status;
}

enum status attempt_reload(struct attempt *attempt)
{
	struct store_writer *store = attempt->apply->store;
	struct keeping keeping = { .attempt = attempt };
	enum status status =
	    store_load_new(store, attempt->batch->source, &keeping.load, attempt->err);

	if (status != CX_OK) {
		return status;
	}
	status = store_each(store, attempt->batch->source, keep, &keeping);
	if (status == CX_OK) {
		status = keeping.status;
	}
	if (status == CX_OK) {
		status = put_new(attempt, keeping.load);
	}
	store_abort(store);
	if (status == CX_OK) {
		status = store_load_build(keeping.load, attempt->err);
	}
	store_load_free(keeping.load);
	return status;
}
