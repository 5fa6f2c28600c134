#include "config.h"

#include "decide/collect.h"

/* Below this, a list is searched from end to end: cheaper than a table. */
#define INDEX_FROM 8
#define ROOM_FIRST 4

void collection_init(struct collection *c, struct arena *arena, size_t max_deliveries,
    bool want_steps)
{
	memset(c, 0, sizeof(*c));
	c->arena = arena;
	c->max_deliveries = max_deliveries;
	c->want_steps = want_steps;
}

static uint32_t hash_bytes(struct span bytes)
{
	uint32_t hash = 2166136261U; /* FNV-1a */
	size_t i;

	for (i = 0; i < bytes.len; i++) {
		hash = (hash ^ (unsigned char)bytes.ptr[i]) * 16777619U;
	}
	return hash;
}

static uint32_t hash_id(const struct record_id *id)
{
	uint32_t hash;

	memcpy(&hash, id->uuid, sizeof(hash));
	return hash_bytes((struct span){ (const char *)id->uuid, sizeof(id->uuid) }) ^ hash;
}

/* Room for one more element; the old array stays behind in the arena. */
static void *grow(struct collection *c, void *array, size_t count, size_t *room,
    size_t element)
{
	size_t wanted = *room == 0 ? ROOM_FIRST : *room * 2;
	void *larger;

	if (count < *room) {
		return array;
	}
	larger = c->is_full ? NULL : arena_get(c->arena, wanted * element);
	if (larger == NULL) {
		c->is_full = true;
		return NULL;
	}
	if (count > 0) {
		memcpy(larger, array, count * element);
	}
	*room = wanted;
	return larger;
}

static void index_put(struct index *index, uint32_t hash, size_t position)
{
	size_t slot = hash & (index->size - 1);

	while (index->slots[slot] != 0) {
		slot = (slot + 1) & (index->size - 1);
	}
	index->slots[slot] = (uint32_t)position + 1;
}

/* A table for `count` elements and as many again. False: full. */
static bool index_make(struct collection *c, struct index *index, size_t count)
{
	size_t size = 4 * INDEX_FROM;

	while (size < count * 4) {
		size *= 2;
	}
	index->slots = arena_get(c->arena, size * sizeof(*index->slots));
	if (index->slots == NULL) {
		c->is_full = true;
		return false;
	}
	memset(index->slots, 0, size * sizeof(*index->slots));
	index->size = size;
	return true;
}

static bool index_wants_room(const struct index *index, size_t count)
{
	return count >= INDEX_FROM && count * 2 > index->size;
}

static struct delivery *find_delivery(const struct collection *c, struct span key)
{
	const struct index *index = &c->delivery_index;
	size_t i, slot;

	if (index->size == 0) {
		for (i = 0; i < c->delivery_count; i++) {
			if (span_equal(c->deliveries[i].key, key)) {
				return &c->deliveries[i];
			}
		}
		return NULL;
	}
	slot = hash_bytes(key) & (index->size - 1);
	for (; index->slots[slot] != 0; slot = (slot + 1) & (index->size - 1)) {
		i = index->slots[slot] - 1;
		if (span_equal(c->deliveries[i].key, key)) {
			return &c->deliveries[i];
		}
	}
	return NULL;
}

static bool index_delivery(struct collection *c)
{
	size_t i, from = c->delivery_count - 1;

	if (index_wants_room(&c->delivery_index, c->delivery_count)) {
		if (!index_make(c, &c->delivery_index, c->delivery_count)) {
			return false;
		}
		from = 0;
	}
	for (i = from; c->delivery_index.size > 0 && i < c->delivery_count; i++) {
		index_put(&c->delivery_index, hash_bytes(c->deliveries[i].key), i);
	}
	return true;
}

struct delivery *collection_deliver(struct collection *c, struct span key, bool *is_new)
{
	struct delivery *delivery = find_delivery(c, key);
	struct delivery *larger;

	*is_new = false;
	if (delivery != NULL) {
		return delivery;
	}
	if (c->delivery_count >= c->max_deliveries) {
		c->too_many = true;
		return NULL;
	}
	larger = grow(c, c->deliveries, c->delivery_count, &c->delivery_room,
	    sizeof(*c->deliveries));
	if (larger == NULL) {
		return NULL;
	}
	c->deliveries = larger;
	delivery = &c->deliveries[c->delivery_count];
	memset(delivery, 0, sizeof(*delivery));
	delivery->key = collection_copy(c, key);
	if (c->is_full) {
		return NULL;
	}
	c->delivery_count++;
	*is_new = true;
	return index_delivery(c) ? delivery : NULL;
}

static struct visit *find_visit(const struct collection *c, const struct record_id *id)
{
	const struct index *index = &c->visit_index;
	size_t i, slot;

	if (index->size == 0) {
		for (i = 0; i < c->visit_count; i++) {
			if (record_id_equal(&c->visits[i].id, id)) {
				return &c->visits[i];
			}
		}
		return NULL;
	}
	slot = hash_id(id) & (index->size - 1);
	for (; index->slots[slot] != 0; slot = (slot + 1) & (index->size - 1)) {
		i = index->slots[slot] - 1;
		if (record_id_equal(&c->visits[i].id, id)) {
			return &c->visits[i];
		}
	}
	return NULL;
}

static void index_visit(struct collection *c)
{
	size_t i, from = c->visit_count - 1;

	if (index_wants_room(&c->visit_index, c->visit_count)) {
		if (!index_make(c, &c->visit_index, c->visit_count)) {
			return;
		}
		from = 0;
	}
	for (i = from; c->visit_index.size > 0 && i < c->visit_count; i++) {
		index_put(&c->visit_index, hash_id(&c->visits[i].id), i);
	}
}

size_t collection_visit(struct collection *c, const struct record_id *id,
    enum delivery_kind kind, bool *was_visited)
{
	struct visit *visit = find_visit(c, id);
	struct visit *larger;

	*was_visited = true;
	if (visit != NULL) {
		if (visit->kind > kind) {
			visit->kind = kind;
			*was_visited = false;
		}
		return (size_t)(visit - c->visits);
	}
	larger = grow(c, c->visits, c->visit_count, &c->visit_room, sizeof(*c->visits));
	if (larger == NULL) {
		return 0;
	}
	c->visits = larger;
	c->visits[c->visit_count++] = (struct visit){ .id = *id, .kind = kind };
	index_visit(c);
	*was_visited = false;
	return c->visit_count - 1;
}

struct span collection_copy(struct collection *c, struct span text)
{
	struct span copy = { NULL, 0 };

	if (span_is_empty(text) || c->is_full) {
		return copy;
	}
	copy = arena_copy(c->arena, text);
	if (copy.ptr == NULL) {
		c->is_full = true;
	}
	return copy;
}

struct span collection_print(struct collection *c, const struct address *address)
{
	char memory[ADDRESS_PRINT_MAX];
	struct buf text;

	buf_init_fixed(&text, memory, sizeof(memory));
	address_print(address, &text);
	return collection_copy(c, buf_span(&text));
}

void collection_step(struct collection *c, unsigned depth, enum rule rule,
    struct span subject, struct span detail)
{
	struct step *larger;

	if (!c->want_steps) {
		return;
	}
	larger = grow(c, c->steps, c->step_count, &c->step_room, sizeof(*c->steps));
	if (larger == NULL) {
		return;
	}
	c->steps = larger;
	c->steps[c->step_count++] = (struct step){
		.depth = depth,
		.rule = rule,
		.subject = collection_copy(c, subject),
		.detail = collection_copy(c, detail),
	};
}

void collection_step_address(struct collection *c, unsigned depth, enum rule rule,
    const struct address *address, struct span detail)
{
	char memory[ADDRESS_PRINT_MAX];
	struct buf text;

	if (!c->want_steps) {
		return;
	}
	buf_init_fixed(&text, memory, sizeof(memory));
	address_print(address, &text);
	collection_step(c, depth, rule, buf_span(&text), detail);
}
