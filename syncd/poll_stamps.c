#include "config.h"

#include "syncd/poll_stamps.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS_MIN 256

void poll_stamps_init(struct poll_stamps *set)
{
	memset(set, 0, sizeof(*set));
}

void poll_stamps_release(struct poll_stamps *set)
{
	free(set->slots);
	poll_stamps_init(set);
}

/* The slot that holds it, or the free one where it would go. Needs slots, and a free one. */
static size_t find_slot(const struct poll_stamps *set, uint64_t hash)
{
	size_t mask = set->slot_count - 1, at = (size_t)(hash ^ hash >> 32) & mask;

	while (set->slots[at] != 0 && set->slots[at] != hash) {
		at = (at + 1) & mask;
	}
	return at;
}

static enum status grow(struct poll_stamps *set)
{
	struct poll_stamps larger = { .slot_count = set->slot_count * 2 };

	if (larger.slot_count == 0) {
		larger.slot_count = SLOTS_MIN;
	}
	larger.slots = calloc(larger.slot_count, sizeof(larger.slots[0]));
	if (larger.slots == NULL) {
		return CX_ENOMEM;
	}
	for (size_t i = 0; i < set->slot_count; i++) {
		if (set->slots[i] != 0) {
			larger.slots[find_slot(&larger, set->slots[i])] = set->slots[i];
			larger.count++;
		}
	}
	poll_stamps_move(set, &larger);
	return CX_OK;
}

enum status poll_stamps_add(struct poll_stamps *set, uint64_t hash)
{
	size_t at;

	/* A quarter of the slots stays free. */
	if (set->count >= set->slot_count / 4 * 3 && grow(set) != CX_OK) {
		return CX_ENOMEM;
	}
	at = find_slot(set, hash);
	set->count += set->slots[at] == 0;
	set->slots[at] = hash;
	return CX_OK;
}

bool poll_stamps_has(const struct poll_stamps *set, uint64_t hash)
{
	return set->count > 0 && set->slots[find_slot(set, hash)] != 0;
}

void poll_stamps_move(struct poll_stamps *to, struct poll_stamps *from)
{
	free(to->slots);
	*to = *from;
	poll_stamps_init(from);
}
