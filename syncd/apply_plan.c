#include "config.h"

#include "syncd/apply_plan.h"

#include <stdlib.h>

#include "replica/sync_notes.h"
#include "syncd/sort.h"

void plan_init(struct plan *plan, const char *directory)
{
	*plan = (struct plan){ .directory = directory };
	spool_init(&plan->effect_spool, directory);
	spool_init(&plan->removal_spool, directory);
}

void plan_release(struct plan *plan)
{
	spool_release(&plan->effect_spool);
	spool_release(&plan->removal_spool);
}

static uint64_t prefix_of(const uint8_t uuid[16])
{
	uint64_t prefix = 0;

	for (size_t i = 0; i < sizeof(prefix); i++) {
		prefix = prefix << 8 | uuid[i];
	}
	return prefix;
}

static int compare_uuids(const struct effect *left, const struct effect *right)
{
	if (left->prefix != right->prefix) {
		return left->prefix < right->prefix ? -1 : 1;
	}
	return memcmp(left->change->uuid, right->change->uuid, 16);
}

/* By uuid, then as they arrived (the array of changes is in that order). */
static int compare_effects(const void *a, const void *b)
{
	const struct effect *left = a, *right = b;
	int order = compare_uuids(left, right);

	return order ? order
		     : (left->change > right->change) - (left->change < right->change);
}

/* Of the entry as it is now, not only that it is there. */
static bool is_telling(const struct change *change)
{
	return change->kind != CHANGE_PRESENT && change->kind != CHANGE_SPARED;
}

enum status plan_effects(struct plan *plan, const struct batch *batch)
{
	size_t kept = 0;

	if (batch->count == 0) {
		return CX_OK;
	}
	plan->effects =
	    spool_extend(&plan->effect_spool, batch->count * sizeof(*plan->effects));
	if (!plan->effects) {
		return spool_failure(&plan->effect_spool, NULL);
	}
	for (size_t i = 0; i < batch->count; i++) {
		const struct change *change = &batch->changes[i];

		plan->effects[i] = (struct effect){
			.change = change, .prefix = prefix_of(change->uuid)
		};
	}
	enum status status = sort_large(plan->effects, batch->count,
	    sizeof(*plan->effects), compare_effects, plan->directory);
	if (status != CX_OK) {
		return status;
	}
	for (size_t i = 1; i < batch->count; i++) {
		const struct change *change = plan->effects[i].change;
		struct effect *last = &plan->effects[kept];

		if (compare_uuids(&plan->effects[i], last) != 0) {
			plan->effects[++kept] = plan->effects[i];
		} else if (is_telling(change) || (change->kind == CHANGE_PRESENT &&
						     !is_telling(last->change))) {
			last->change = change;
		}
	}
	plan->effect_count = kept + 1;
	return CX_OK;
}

static int compare_uuid_effect(const void *uuid, const void *element)
{
	const struct effect *effect = element;
	uint64_t prefix = prefix_of(uuid);

	if (prefix != effect->prefix) {
		return prefix < effect->prefix ? -1 : 1;
	}
	return memcmp(uuid, effect->change->uuid, 16);
}

const struct effect *plan_find(const struct plan *plan, const uint8_t uuid[16])
{
	return plan->effect_count ? bsearch(uuid, plan->effects, plan->effect_count,
					sizeof(*plan->effects), compare_uuid_effect)
				  : NULL;
}

static enum status add_removal(struct plan *plan, const uint8_t uuid[16],
    struct span stored, bool is_explicit)
{
	struct record record;
	struct removal *removal = spool_extend(&plan->removal_spool, sizeof(*removal));

	if (!removal) {
		return spool_failure(&plan->removal_spool, NULL);
	}
	plan->removals = (void *)plan->removal_spool.data;
	plan->removal_count++;
	*removal = (struct removal){ .is_explicit = is_explicit };
	memcpy(removal->uuid, uuid, sizeof(removal->uuid));
	/* What cannot be read was somebody, for all we know: the valve counts it. */
	removal->kind =
	    record_open(stored, &record) == CX_OK ? record.kind : RECORD_RECIPIENT;
	return CX_OK;
}

/* --- Comparing with what is stored --- */

static bool is_demotion(struct span old, struct span new)
{
	struct record before, after;

	return record_open(old, &before) == CX_OK &&
	       record_open(new, &after) == CX_OK && before.kind != RECORD_CONTAINER &&
	       after.kind == RECORD_CONTAINER;
}

static enum status compare_effect(struct plan *plan, struct store_writer *store,
    const struct batch *batch, struct effect *effect)
{
	const struct change *change = effect->change;
	struct record_id id = { .source = batch->source };
	struct span stored;

	memcpy(id.uuid, change->uuid, sizeof(id.uuid));
	enum status status = store_get(store, &id, &stored);
	if (status != CX_OK && status != CX_NOTFOUND) {
		return status;
	}
	bool is_stored = status == CX_OK;

	switch (change->kind) {
	case CHANGE_PUT:
		if (is_stored && is_demotion(stored, batch_record(batch, change))) {
			effect->is_demoted = true;
			return add_removal(plan, change->uuid, stored, false);
		}
		effect->is_changed =
		    !is_stored || !span_equal(stored, batch_record(batch, change));
		plan->put_count += effect->is_changed;
		return CX_OK;
	case CHANGE_SAME: return is_stored ? CX_OK : CX_NOTFOUND;
	case CHANGE_PRESENT: return CX_OK;
	case CHANGE_SPARED:
		if (is_stored && !batch->load) {
			status = add_removal(plan, change->uuid, stored, false);
			if (status == CX_OK) {
				plan->removals[plan->removal_count - 1].is_spared =
				    true;
			}
			return status;
		}
		return CX_OK;
	case CHANGE_REMOVE:
	case CHANGE_NOT_OURS:
	case CHANGE_UNUSABLE:
		return is_stored ? add_removal(plan, change->uuid, stored,
				       change->kind == CHANGE_REMOVE)
				 : CX_OK;
	}
	return CX_OK;
}

struct absent_visit {
	struct plan *plan;
	enum status status;
};

static bool visit_absent(void *context, const struct record_id *id, struct span record)
{
	struct absent_visit *visit = context;

	if (!plan_find(visit->plan, id->uuid)) {
		visit->status = add_removal(visit->plan, id->uuid, record, false);
	}
	return visit->status == CX_OK;
}

static int compare_uuid_removal(const void *a, const void *b)
{
	return memcmp(((const struct removal *)a)->uuid,
	    ((const struct removal *)b)->uuid, 16);
}

/* Ids kept back so far: marked where they are absent again, looked at where not spoken of. */
static enum status join_held(struct plan *plan, struct store_writer *store,
    const struct batch *batch, struct span held)
{
	struct record_id id = { .source = batch->source };
	size_t before = plan->removal_count;
	const uint8_t *uuid;
	struct span stored;
	enum status status = CX_OK;

	if (held.len) {
		status = sort_large(plan->removals, before, sizeof(*plan->removals),
		    compare_uuid_removal, plan->directory);
	}
	while (status == CX_OK && held_next(&held, &uuid)) {
		struct removal wanted, *found;
		const struct effect *effect = plan_find(plan, uuid);

		if (effect && !effect->is_demoted &&
		    (effect->change->kind == CHANGE_PUT ||
			effect->change->kind == CHANGE_SAME ||
			effect->change->kind == CHANGE_PRESENT)) {
			continue; /* it reappeared */
		}
		memcpy(wanted.uuid, uuid, sizeof(wanted.uuid));
		memcpy(id.uuid, uuid, sizeof(id.uuid));
		found = before ? bsearch(&wanted, plan->removals, before,
				     sizeof(*plan->removals), compare_uuid_removal)
			       : NULL;
		if (found) {
			found->was_held = !found->is_explicit;
			continue;
		}
		status = store_get(store, &id, &stored);
		if (status == CX_OK) {
			status = add_removal(plan, uuid, stored, false);
			if (status == CX_OK) {
				plan->removals[plan->removal_count - 1].was_held = true;
			}
		} else if (status == CX_NOTFOUND) {
			status = CX_OK;
		}
	}
	return status;
}

enum status plan_compare(struct plan *plan, struct store_writer *store,
    const struct batch *batch, struct span held)
{
	enum status status = CX_OK;

	plan->put_count = plan->removal_count = 0;
	spool_clear(&plan->removal_spool);
	plan->recipients = store_count(store, batch->source, RECORD_RECIPIENT);
	plan->stored = plan->recipients +
		       store_count(store, batch->source, RECORD_DOMAIN) +
		       store_count(store, batch->source, RECORD_CONNECTOR) +
		       store_count(store, batch->source, RECORD_CONTAINER);
	for (size_t i = 0; i < plan->effect_count && status == CX_OK; i++) {
		status = compare_effect(plan, store, batch, &plan->effects[i]);
	}
	/* With a load nothing is stored but what has just come. */
	if (status == CX_OK && batch->is_complete && !batch->load) {
		struct absent_visit visit = { plan, CX_OK };

		status = store_each(store, batch->source, visit_absent, &visit);
		status = status == CX_OK ? visit.status : status;
	}
	if (status == CX_OK) {
		status = join_held(plan, store, batch, held);
	}
	if (status == CX_OK && batch->load) {
		for (size_t i = 0; i < plan->removal_count; i++) {
			plan->removals[i].is_replaced = true; /* by what came later */
		}
	} else if (status == CX_OK) {
		status = plan_find_replaced(plan, store, batch);
	}
	return status;
}

enum status plan_judge(struct plan *plan, const struct batch *batch, struct valve *valve,
    unsigned max_percent, int64_t now)
{
	size_t explicit_count = 0;

	plan->counted = plan->held_recipients = plan->applied_count = 0;
	for (size_t i = 0; i < plan->removal_count; i++) {
		const struct removal *removal = &plan->removals[i];

		/* Who is replaced was there before and is there after. */
		if (removal->kind != RECORD_RECIPIENT || removal->is_replaced) {
			continue;
		}
		if (removal->was_held) {
			plan->held_recipients++;
		} else if (!removal->is_spared) {
			plan->counted++;
			explicit_count += removal->is_explicit;
		}
	}
	struct valve_question question = {
		.recipients = plan->recipients,
		.held = plan->held_recipients,
		.removals = plan->counted,
		.is_one_by_name =
		    plan->counted == 1 && explicit_count == 1 && !batch->is_refresh,
		.max_percent = max_percent,
		.now = now,
	};
	plan->has_tripped = valve_trips(valve, &question);
	valve_remember(valve, now, plan->counted,
	    plan->has_tripped ? 0 : plan->counted);

	for (size_t i = 0; i < plan->removal_count; i++) {
		struct removal *removal = &plan->removals[i];
		bool is_kept;

		switch (removal->kind) {
		case RECORD_RECIPIENT:
			is_kept = removal->was_held || plan->has_tripped;
			break;
		case RECORD_DOMAIN:
		case RECORD_CONNECTOR: is_kept = !removal->is_explicit; break;
		case RECORD_CONTAINER:
		default: is_kept = false; break;
		}
		if (removal->is_replaced) {
			removal->fate = REMOVAL_APPLY;
		} else if (removal->is_spared && !removal->was_held) {
			removal->fate = REMOVAL_SPARE;
		} else {
			removal->fate = is_kept || removal->is_spared ? REMOVAL_HOLD
								      : REMOVAL_APPLY;
		}
		plan->applied_count += removal->fate == REMOVAL_APPLY;
	}
	return sort_large(plan->removals, plan->removal_count, sizeof(*plan->removals),
	    compare_uuid_removal, plan->directory);
}
