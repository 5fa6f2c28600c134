#include "config.h"

#include "replica/sync_notes.h"

#include <stdio.h>
#include <string.h>

enum {
	UUID_SIZE = 16,
	SKIPPED_FIXED = UUID_SIZE + 8
};

void sync_notes_key(char out[SYNC_NOTES_KEY_MAX], uint8_t source, const char *what)
{
	snprintf(out, SYNC_NOTES_KEY_MAX, "src/%u/%s", (unsigned)source, what);
}

static uint32_t get_u32(const char *bytes)
{
	const uint8_t *p = (const uint8_t *)bytes;

	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
	       (uint32_t)p[3] << 24;
}

static void put_u32(struct buf *out, size_t value)
{
	for (int i = 0; i < 4; i++) {
		buf_add_char(out, (char)(value >> (8 * i)));
	}
}

bool skipped_next(struct span *rest, struct skipped *out)
{
	if (rest->len < SKIPPED_FIXED) {
		return false;
	}
	size_t dn_len = get_u32(rest->ptr + UUID_SIZE);
	size_t why_len = get_u32(rest->ptr + UUID_SIZE + 4);
	size_t left = rest->len - SKIPPED_FIXED;

	if (dn_len > left || why_len > left - dn_len) {
		return false;
	}
	out->uuid = (const uint8_t *)rest->ptr;
	out->dn = (struct span){ rest->ptr + SKIPPED_FIXED, dn_len };
	out->why = (struct span){ rest->ptr + SKIPPED_FIXED + dn_len, why_len };
	rest->ptr += SKIPPED_FIXED + dn_len + why_len;
	rest->len = left - dn_len - why_len;
	return true;
}

void skipped_add(struct buf *list, const struct skipped *item)
{
	buf_add(list, item->uuid, UUID_SIZE);
	put_u32(list, item->dn.len);
	put_u32(list, item->why.len);
	buf_add_span(list, item->dn);
	buf_add_span(list, item->why);
}

size_t skipped_count(struct span list)
{
	struct skipped item;
	size_t count = 0;

	while (skipped_next(&list, &item)) {
		count++;
	}
	return count;
}

bool held_next(struct span *rest, const uint8_t **uuid)
{
	if (rest->len < UUID_SIZE) {
		return false;
	}
	*uuid = (const uint8_t *)rest->ptr;
	rest->ptr += UUID_SIZE;
	rest->len -= UUID_SIZE;
	return true;
}

size_t held_count(struct span list)
{
	return list.len / UUID_SIZE;
}
