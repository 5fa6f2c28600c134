#include "config.h"

#include "syncd/uuid_set.h"

#include <stdlib.h>
#include <string.h>

/* At most three quarters of the slots are taken, so a free one is always found. */
#define SLOTS_MIN 64

void uuid_set_init(struct uuid_set *set)
{
	memset(set, 0, sizeof(*set));
}

void uuid_set_release(struct uuid_set *set)
{
	if (set != NULL) {
		free(set->list);
		free(set->slots);
		uuid_set_init(set);
	}
}

void uuid_set_clear(struct uuid_set *set)
{
	set->count = 0;
	if (set->slots != NULL) {
		memset(set->slots, 0, set->slot_count * sizeof(set->slots[0]));
	}
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

static enum status grow(struct uuid_set *set)
{
	size_t slot_count = set->slot_count ? set->slot_count * 2 : SLOTS_MIN;
	size_t room = slot_count / 4 * 3;
	uint32_t *slots = calloc(slot_count, sizeof(slots[0]));
	void *list = reallocarray(set->list, room, sizeof(set->list[0]));

	if (list != NULL) {
		set->list = list;
	}
	if (slots == NULL || list == NULL || room >= UINT32_MAX) {
		free(slots);
		return CX_ENOMEM;
	}
	free(set->slots);
	set->slots = slots;
	set->slot_count = slot_count;
	set->room = room;
	for (size_t i = 0; i < set->count; i++) {
		set->slots[find_slot(set, set->list[i])] = (uint32_t)i + 1;
	}
	return CX_OK;
}

enum status uuid_set_add(struct uuid_set *set, const uint8_t uuid[16])
{
	size_t at;

	if (uuid_set_has(set, uuid)) {
		return CX_OK;
	}
	if (set->count == set->room && grow(set) != CX_OK) {
		return CX_ENOMEM;
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
