#include "config.h"

#include "value/arena.h"

#include <stdalign.h>
#include <stdint.h>

static void *take(struct arena *arena, size_t size, size_t alignment)
{
	size_t gap = -(uintptr_t)(arena->memory + arena->used) & (alignment - 1);
	size_t left = arena->size - arena->used;
	char *start;

	if (gap > left || size > left - gap) {
		return NULL;
	}
	start = arena->memory + arena->used + gap;
	arena->used += gap + size;
	return start;
}

void *arena_get(struct arena *arena, size_t size)
{
	return take(arena, size, alignof(max_align_t));
}

struct span arena_copy(struct arena *arena, struct span text)
{
	char *copy = text.len < SIZE_MAX ? take(arena, text.len + 1, 1) : NULL;

	if (copy == NULL) {
		return (struct span){ NULL, 0 };
	}
	if (text.len > 0) {
		memcpy(copy, text.ptr, text.len);
	}
	copy[text.len] = '\0';
	return (struct span){ copy, text.len };
}
