#include "config.h"

#include "syncd/apply_plan.h"

#include <openssl/evp.h>
#include <stdlib.h>

#include "replica/index.h"
#include "replica/sync_notes.h"

void plan_init(struct plan *plan)
{
	*plan = (struct plan){ .effects = NULL };
}

void plan_release(struct plan *plan)
{
	free(plan->effects);
	free(plan->removals);
	plan_init(plan);
}

/* By uuid, then as they arrived (the array of changes is in that order). */
static int compare_effects(const void *a, const void *b)
{
	const struct change *left = ((const struct effect *)a)->change;
	const struct change *right = ((const struct effect *)b)->change;
	int order = memcmp(left->uuid, right->uuid, sizeof(left->uuid));

	return order ? order : (left > right) - (left < right);
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
	plan->effects = calloc(batch->count, sizeof(*plan->effects));
	if (!plan->effects) {
		return CX_ENOMEM;
	}
	for (size_t i = 0; i < batch->count; i++) {
		plan->effects[i].change = &batch->changes[i];
	}
	qsort(plan->effects, batch->count, sizeof(*plan->effects), compare_effects);
	for (size_t i = 1; i < batch->count; i++) {
		const struct change *change = plan->effects[i].change;
		struct effect *last = &plan->effects[kept];

		if (memcmp(change->uuid, last->change->uuid, sizeof(change->uuid)) !=
		    0) {
			plan->effects[++kept].change = change;
		} else if (is_telling(change) || (change->kind == CHANGE_PRESENT &&
						     !is_telling(last->change))) {
			last->change = change;
		}
	}
	plan->effect_count = kept + 1;
	return CX_OK;
}

static int compare_uuid_effect(const void *uuid, const void *effect)
{
	return memcmp(uuid, ((const struct effect *)effect)->change->uuid, 16);
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

	if (plan->removal_count == plan->removal_room) {
		size_t room = plan->removal_room ? 2 * plan->removal_room : 64;
		struct removal *grown =
		    reallocarray(plan->removals, room, sizeof(*grown));

		if (!grown) {
			return CX_ENOMEM;
		}
		plan->removals = grown;
		plan->removal_room = room;
	}
	struct removal *removal = &plan->removals[plan->removal_count++];
	*removal = (struct removal){ .is_explicit = is_explicit };
	memcpy(removal->uuid, uuid, sizeof(removal->uuid));
	/* What cannot be read was somebody, for all we know: the valve counts it. */
	removal->kind =
	    record_open(stored, &record) == CX_OK ? record.kind : RECORD_RECIPIENT;
	return CX_OK;
}

/* --- What another entry has taken over --- */

enum {
	CLAIM_SIZE = 16
};

struct claims {
	uint8_t (*items)[CLAIM_SIZE];
	size_t count, room;
	struct index_set set;
	bool failed;
};

static bool is_claim(const struct index_entry *entry)
{
	return (entry->kind == INDEX_ADDR && entry->value[0] == RANK_OWN) ||
	       entry->kind == INDEX_DN || entry->kind == INDEX_DOMAIN ||
	       entry->kind == INDEX_CONNECTOR;
}

static bool claim_of(const struct index_set *set, const struct index_entry *entry,
    uint8_t out[CLAIM_SIZE])
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	struct span key = index_key(set, entry);
	unsigned char kind = (unsigned char)entry->kind;
	bool is_good = context && EVP_DigestInit_ex(context, EVP_sha256(), NULL) &&
		       EVP_DigestUpdate(context, &kind, 1) &&
		       EVP_DigestUpdate(context, key.ptr, key.len) &&
		       EVP_DigestFinal_ex(context, digest, NULL);

	EVP_MD_CTX_free(context);
	if (is_good) {
		memcpy(out, digest, CLAIM_SIZE);
	}
	return is_good;
}

static int compare_claims(const void *a, const void *b)
{
	return memcmp(a, b, CLAIM_SIZE);
}

static void claims_add(struct claims *claims, const struct record_id *id,
    struct span record)
{
	if (index_build(id, record, &claims->set) != CX_OK) {
		return; /* store_put() will say what is wrong with it */
	}
	for (size_t i = 0; i < claims->set.count; i++) {
		if (!is_claim(&claims->set.entries[i])) {
			continue;
		}
		if (claims->count == claims->room) {
			size_t room = claims->room ? 2 * claims->room : 256;
			void *grown = reallocarray(claims->items, room, CLAIM_SIZE);

			if (!grown) {
				claims->failed = true;
				return;
			}
			claims->items = grown;
			claims->room = room;
		}
		claims->failed |= !claim_of(&claims->set, &claims->set.entries[i],
		    claims->items[claims->count++]);
	}
}

static bool claims_any(struct claims *claims, const struct record_id *id,
    struct span record)
{
	uint8_t claim[CLAIM_SIZE];

	if (index_build(id, record, &claims->set) != CX_OK) {
		return false;
	}
	for (size_t i = 0; i < claims->set.count; i++) {
		if (is_claim(&claims->set.entries[i]) &&
		    claim_of(&claims->set, &claims->set.entries[i], claim) &&
		    bsearch(claim, claims->items, claims->count, CLAIM_SIZE,
			compare_claims)) {
			return true;
		}
	}
	return false;
}

/*
 * An entry that was deleted and made anew (a directory that was reloaded, a move without
 * an entryUUID) comes with another id and the same DN or addresses: the old record must
 * go at once, for two owners of an address would make it ambiguous.
 */
static enum status find_replaced(struct plan *plan, struct store_writer *store,
    const struct batch *batch)
{
	struct claims claims = { .items = NULL };
	struct record_id id = { .source = batch->source };
	struct span stored;
	enum status status = CX_OK;

	if (plan->removal_count == 0) {
		return CX_OK;
	}
	index_init(&claims.set);
	for (size_t i = 0; i < plan->effect_count && !claims.failed; i++) {
		/* An unchanged one too: it may have come when the other was spared. */
		if (plan->effects[i].change->kind == CHANGE_PUT) {
			memcpy(id.uuid, plan->effects[i].change->uuid, sizeof(id.uuid));
			claims_add(&claims, &id,
			    batch_record(batch, plan->effects[i].change));
		}
	}
	if (claims.failed) {
		status = CX_ENOMEM;
	} else if (claims.count) {
		qsort(claims.items, claims.count, CLAIM_SIZE, compare_claims);
		for (size_t i = 0; i < plan->removal_count && status == CX_OK; i++) {
			memcpy(id.uuid, plan->removals[i].uuid, sizeof(id.uuid));
			status = store_get(store, &id, &stored);
			if (status == CX_OK) {
				plan->removals[i].is_replaced =
				    claims_any(&claims, &id, stored);
			}
		}
	}
	free(claims.items);
	index_release(&claims.set);
	return status;
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
	case CHANGE_PRESENT: return CX_OK;
	case CHANGE_SPARED:
		if (is_stored) {
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

	if (before) {
		qsort(plan->removals, before, sizeof(*plan->removals),
		    compare_uuid_removal);
	}
	while (status == CX_OK && held_next(&held, &uuid)) {
		struct removal wanted, *found;
		const struct effect *effect = plan_find(plan, uuid);

		if (effect && !effect->is_demoted &&
		    (effect->change->kind == CHANGE_PUT ||
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
	plan->recipients = store_count(store, batch->source, RECORD_RECIPIENT);
	for (size_t i = 0; i < plan->effect_count && status == CX_OK; i++) {
		status = compare_effect(plan, store, batch, &plan->effects[i]);
	}
	if (status == CX_OK && batch->is_complete) {
		struct absent_visit visit = { plan, CX_OK };

		status = store_each(store, batch->source, visit_absent, &visit);
		status = status == CX_OK ? visit.status : status;
	}
	if (status == CX_OK) {
		status = join_held(plan, store, batch, held);
	}
	if (status == CX_OK) {
		status = find_replaced(plan, store, batch);
	}
	return status;
}

void plan_judge(struct plan *plan, const struct batch *batch, struct valve *valve,
    unsigned max_percent, int64_t now)
{
	size_t explicit_count = 0, replaced = 0;

	plan->counted = plan->held_recipients = 0;
	for (size_t i = 0; i < plan->removal_count; i++) {
		const struct removal *removal = &plan->removals[i];

		if (removal->kind != RECORD_RECIPIENT) {
			continue;
		}
		if (removal->is_replaced) {
			replaced++;
		} else if (removal->was_held) {
			plan->held_recipients++;
		} else if (!removal->is_spared) {
			plan->counted++;
			explicit_count += removal->is_explicit;
		}
	}
	struct valve_question question = {
		.recipients = plan->recipients - replaced,
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
	}
}
