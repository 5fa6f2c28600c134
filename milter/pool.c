#include "config.h"

#include "milter/pool.h"

#include <assert.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_SIZE 8192

struct pool_block {
	struct pool_block *next;
	size_t size;
	size_t used;
	alignas(max_align_t) char bytes[];
};

void pool_init(struct pool *pool)
{
	pool->blocks = NULL;
}

void pool_release(struct pool *pool)
{
	while (pool->blocks) {
		struct pool_block *next = pool->blocks->next;

		free(pool->blocks);
		pool->blocks = next;
	}
}

static struct pool_block *add_block(struct pool *pool, size_t size)
{
	struct pool_block *block = malloc(sizeof(*block) + size);

	if (block == NULL) {
		return NULL;
	}
	block->size = size;
	block->used = 0;
	block->next = pool->blocks;
	pool->blocks = block;
	return block;
}

void *pool_get(struct pool *pool, size_t size)
{
	struct pool_block *block = pool->blocks;
	void *memory;

	if (size > SIZE_MAX / 2) {
		return NULL;
	}
	size = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
	if (size == 0) {
		size = alignof(max_align_t);
	}
	if (block == NULL || block->size - block->used < size) {
		block = add_block(pool, size > BLOCK_SIZE ? size : BLOCK_SIZE);
		if (block == NULL) {
			return NULL;
		}
	}
	memory = block->bytes + block->used;
	block->used += size;
	return memory;
}

char *pool_text(struct pool *pool, struct span text)
{
	char *copy = pool_get(pool, text.len + 1);

	if (copy) {
		if (text.len > 0) {
			memcpy(copy, text.ptr, text.len);
		}
		copy[text.len] = '\0';
	}
	return copy;
}

struct span pool_copy(struct pool *pool, struct span text)
{
	const char *copy = pool_text(pool, text);

	return (struct span){ copy, copy ? text.len : 0 };
}

struct keytab_slot {
	struct span key;
	uint32_t hash;
	uint32_t value; /* KEYTAB_NONE: free */
};

/* FNV-1a: short keys, and a table is never larger than a message. */
static uint32_t hash_of(struct span key)
{
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < key.len; i++) {
		hash = (hash ^ (unsigned char)key.ptr[i]) * 16777619u;
	}
	return hash ^ hash >> 15;
}

void keytab_init(struct keytab *table)
{
	*table = (struct keytab){ 0 };
}

void keytab_release(struct keytab *table)
{
	free(table->slots);
	keytab_init(table);
}

/* The slot that holds the key, or the free one where it would go. */
static struct keytab_slot *slot_for(const struct keytab *table, struct span key,
    uint32_t hash)
{
	size_t at = hash & (table->size - 1);

	for (;; at = (at + 1) & (table->size - 1)) {
		struct keytab_slot *slot = &table->slots[at];

		if (slot->value == KEYTAB_NONE ||
		    (slot->hash == hash && span_equal(slot->key, key))) {
			return slot;
		}
	}
}

uint32_t keytab_find(const struct keytab *table, struct span key)
{
	return table->size ? slot_for(table, key, hash_of(key))->value : KEYTAB_NONE;
}

static enum status grow(struct keytab *table)
{
	struct keytab larger = { .size = table->size ? table->size * 2 : 32,
		.used = table->used };

	larger.slots = calloc(larger.size, sizeof(*larger.slots));
	if (larger.slots == NULL) {
		return CX_ENOMEM;
	}
	for (size_t i = 0; i < larger.size; i++) {
		larger.slots[i].value = KEYTAB_NONE;
	}
	for (size_t i = 0; i < table->size; i++) {
		const struct keytab_slot *slot = &table->slots[i];

		if (slot->value != KEYTAB_NONE) {
			*slot_for(&larger, slot->key, slot->hash) = *slot;
		}
	}
	free(table->slots);
	*table = larger;
	return CX_OK;
}

enum status keytab_add(struct keytab *table, struct span key, uint32_t value)
{
	struct keytab_slot *slot;
	uint32_t hash = hash_of(key);

	assert(value != KEYTAB_NONE);
	if (table->used * 4 >= table->size * 3) {
		enum status status = grow(table);

		if (status != CX_OK) {
			return status;
		}
	}
	slot = slot_for(table, key, hash);
	assert(slot->value == KEYTAB_NONE);
	*slot = (struct keytab_slot){ key, hash, value };
	table->used++;
	return CX_OK;
}
