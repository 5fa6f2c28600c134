#include "config.h"

#include "syncd/uuid_set.h"

#include <string.h>

/* At most three quarters of the slots are taken, so a free one is always found. */
#define SLOTS_MIN 64

void uuid_set_init(struct uuid_set *set, const char *directory)
{
	memset(set, 0, sizeof(*set));
	spool_init(&set->list_spool, directory);
	spool_init(&set->slot_spool, directory);
}

static void forget(struct uuid_set *set)
{
	set->list = NULL;
	set->slots = NULL;
	set->count = set->room = set->slot_count = 0;
}

void uuid_set_release(struct uuid_set *set)
{
	if (set != NULL) {
		spool_release(&set->list_spool);
		spool_release(&set->slot_spool);
		forget(set);
	}
}

void uuid_set_clear(struct uuid_set *set)
{
	spool_clear(&set->list_spool);
	spool_clear(&set->slot_spool);
	forget(set);
}

/* FNV-1a; UUIDs of one server differ little in most of their bytes. */
static size_t hash(const uint8_t uuid[16])
{
	uint64_t value = 14695981039346656037u;

	for (size_t i = 0; i < 16; i++) {
		value = (value ^ uuid[i]) * 1099511628211u;
	}
	return (size_t)(value ^ value >> 32);
}

/* The slot that holds it, or the free one where it would go. Needs slots. */
static size_t find_slot(const struct uuid_set *set, const uint8_t uuid[16])
{
	size_t mask = set->slot_count - 1, at = hash(uuid) & mask;

	while (set->slots[at] != 0 &&
	       memcmp(set->list[set->slots[at] - 1], uuid, sizeof(set->list[0])) != 0) {
		at = (at + 1) & mask;
	}
	return at;
}

/* Twice as many slots, and room in the list for as many as they may hold. */
static enum status grow(struct uuid_set *set)
{
	size_t slot_count = set->slot_count ? set->slot_count * 2 : SLOTS_MIN;
	size_t room = slot_count / 4 * 3;

	if (room >= UINT32_MAX) {
		return CX_ENOMEM;
	}
	if (spool_extend(&set->list_spool,
		(room - set->room) * sizeof(set->list[0])) == NULL) {
		return spool_failure(&set->list_spool, NULL);
	}
	set->list = (void *)set->list_spool.data;
	set->room = room;
	if (spool_extend(&set->slot_spool,
		(slot_count - set->slot_count) * sizeof(set->slots[0])) == NULL) {
		/* The list alone is larger: nobody minds, but once is enough. */
		return spool_failure(&set->slot_spool, NULL);
	}
	set->slots = (void *)set->slot_spool.data;
	set->slot_count = slot_count;
	memset(set->slots, 0, slot_count * sizeof(set->slots[0]));
	for (size_t i = 0; i < set->count; i++) {
		set->slots[find_slot(set, set->list[i])] = (uint32_t)i + 1;
	}
	return CX_OK;
}

enum status uuid_set_add(struct uuid_set *set, const uint8_t uuid[16])
{
	enum status status;
	size_t at;

	if (uuid_set_has(set, uuid)) {
		return CX_OK;
	}
	if (set->count == set->slot_count / 4 * 3 && (status = grow(set)) != CX_OK) {
		return status;
	}
	at = find_slot(set, uuid);
	memcpy(set->list[set->count++], uuid, sizeof(set->list[0]));
	set->slots[at] = (uint32_t)set->count;
	return CX_OK;
}

bool uuid_set_has(const struct uuid_set *set, const uint8_t uuid[16])
{
	return set->count > 0 && set->slots[find_slot(set, uuid)] != 0;
}

bool uuid_set_find(const struct uuid_set *set, const uint8_t uuid[16], size_t *at)
{
	if (!uuid_set_has(set, uuid)) {
		return false;
	}
	*at = set->slots[find_slot(set, uuid)] - 1;
	return true;
}

/* Frees a slot and moves up those behind it that would not be found any more. */
static void free_slot(struct uuid_set *set, size_t gap)
{
	size_t mask = set->slot_count - 1, at = gap;

	set->slots[gap] = 0;
	for (;;) {
		size_t home;

		at = (at + 1) & mask;
		if (set->slots[at] == 0) {
			return;
		}
		home = hash(set->list[set->slots[at] - 1]) & mask;
		if (((at - home) & mask) >= ((at - gap) & mask)) {
			set->slots[gap] = set->slots[at];
			set->slots[at] = 0;
			gap = at;
		}
	}
}

void uuid_set_remove(struct uuid_set *set, const uint8_t uuid[16])
{
	size_t at, position, last;

	if (!uuid_set_has(set, uuid)) {
		return;
	}
	at = find_slot(set, uuid);
	position = set->slots[at] - 1;
	free_slot(set, at);
	last = set->count - 1;
	if (position != last) {
		set->slots[find_slot(set, set->list[last])] = (uint32_t)position + 1;
		memcpy(set->list[position], set->list[last], sizeof(set->list[0]));
	}
	set->count--;
}
