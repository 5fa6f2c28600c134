#include "config.h"

#include "replica/index.h"
#include "syncd/apply_plan.h"
#include "syncd/sort.h"

/* Which removals are none: another entry has the DN or an address of what goes. */

/* Of a record that goes. */
struct claim {
	uint64_t hash;
	size_t removal;
};

struct claims {
	struct claim *items;
	size_t count;
	struct spool spool;
	struct index_set set;
};

static bool is_claim(const struct index_entry *entry)
{
	return (entry->kind == INDEX_ADDR && entry->value[0] == RANK_OWN) ||
	       entry->kind == INDEX_DN || entry->kind == INDEX_DOMAIN ||
	       entry->kind == INDEX_CONNECTOR;
}

/* FNV-1a. Who makes two keys collide lets a removal of his own directory pass the valve. */
static uint64_t hash_claim(const struct index_set *set, const struct index_entry *entry)
{
	struct span key = index_key(set, entry);
	uint64_t hash = (0xcbf29ce484222325u ^ (uint64_t)entry->kind) * 0x100000001b3u;

	for (size_t i = 0; i < key.len; i++) {
		hash = (hash ^ (uint8_t)key.ptr[i]) * 0x100000001b3u;
	}
	return hash;
}

static int compare_claims(const void *a, const void *b)
{
	uint64_t left = ((const struct claim *)a)->hash;
	uint64_t right = ((const struct claim *)b)->hash;

	return (left > right) - (left < right);
}

/* What the record that goes claims. What is wrong with it decides nothing. */
static enum status claims_add(struct claims *claims, const struct record_id *id,
    struct span record, size_t removal)
{
	enum status status = index_build(id, record, &claims->set);

	for (size_t i = 0; status == CX_OK && i < claims->set.count; i++) {
		const struct index_entry *entry = &claims->set.entries[i];
		struct claim claim = { hash_claim(&claims->set, entry), removal };

		if (is_claim(entry)) {
			status = spool_add(&claims->spool, &claim, sizeof(claim));
			claims->count += status == CX_OK;
		}
	}
	return status == CX_EINVAL ? CX_OK : status;
}

/* The first claim with this hash, or where it would be. */
static size_t find_claim(const struct claims *claims, uint64_t hash)
{
	size_t low = 0, high = claims->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (claims->items[middle].hash < hash) {
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	return low;
}

/* The removals whose claims this record has taken over. */
static enum status claims_take(struct claims *claims, struct plan *plan,
    const struct record_id *id, struct span record)
{
	enum status status = index_build(id, record, &claims->set);

	for (size_t i = 0; status == CX_OK && i < claims->set.count; i++) {
		const struct index_entry *entry = &claims->set.entries[i];
		uint64_t hash = hash_claim(&claims->set, entry);

		if (!is_claim(entry)) {
			continue;
		}
		for (size_t at = find_claim(claims, hash);
		     at < claims->count && claims->items[at].hash == hash; at++) {
			plan->removals[claims->items[at].removal].is_replaced = true;
		}
	}
	return status == CX_EINVAL ? CX_OK : status;
}

static enum status gather_claims(struct claims *claims, const struct plan *plan,
    struct store_writer *store, uint8_t source)
{
	struct record_id id = { .source = source };
	enum status status = CX_OK;
	struct span stored;

	for (size_t i = 0; i < plan->removal_count && status == CX_OK; i++) {
		memcpy(id.uuid, plan->removals[i].uuid, sizeof(id.uuid));
		status = store_get(store, &id, &stored);
		if (status == CX_OK) {
			status = claims_add(claims, &id, stored, i);
		}
	}
	claims->items = (void *)claims->spool.data;
	return status == CX_OK && claims->count
		   ? sort_large(claims->items, claims->count, sizeof(struct claim),
			 compare_claims, plan->directory)
		   : status;
}

enum status plan_find_replaced(struct plan *plan, struct store_writer *store,
    const struct batch *batch)
{
	struct claims claims = { .items = NULL };
	struct record_id id = { .source = batch->source };
	struct span record;
	enum status status;

	if (plan->removal_count == 0) {
		return CX_OK;
	}
	index_init(&claims.set);
	spool_init(&claims.spool, plan->directory);
	status = gather_claims(&claims, plan, store, batch->source);
	for (size_t i = 0;
	     claims.count && i < plan->effect_count && status == CX_OK; i++) {
		const struct change *change = plan->effects[i].change;

		store_works(store);
		/* An unchanged one too: it may have come when the other was spared. */
		if (change->kind == CHANGE_PUT) {
			record = batch_record(batch, change);
		} else if (change->kind != CHANGE_SAME) {
			continue;
		}
		memcpy(id.uuid, change->uuid, sizeof(id.uuid));
		if (change->kind == CHANGE_SAME) {
			status = store_get(store, &id, &record);
		}
		if (status == CX_OK) {
			status = claims_take(&claims, plan, &id, record);
		}
	}
	spool_release(&claims.spool);
	index_release(&claims.set);
	return status;
}
