#include "config.h"

#include <string.h>

#include "replica/store_lmdb.h"

/*
 * Generation (8), number of sources (1); for each source: id (1), flags (1), last
 * contact (8), length of the name (1), name. Little-endian.
 */
enum {
	SOURCE_RECIPIENTS = 1 << 0,
	SOURCE_DOMAINS = 1 << 1,
	SOURCE_CONNECTORS = 1 << 2,
	SOURCE_LOADED = 1 << 3,
};
enum {
	HEAD_FIXED = 9,
	SOURCE_FIXED = 11
};

static void put_u64(uint8_t *out, uint64_t value)
{
	for (int i = 0; i < 8; i++) {
		out[i] = (uint8_t)(value >> (8 * i));
	}
}

static uint64_t get_u64(const uint8_t *bytes)
{
	uint64_t value = 0;

	for (int i = 7; i >= 0; i--) {
		value = value << 8 | bytes[i];
	}
	return value;
}

size_t head_encode(const struct store_head *head, uint8_t out[HEAD_SIZE_MAX])
{
	uint8_t *p = out + HEAD_FIXED;

	put_u64(out, head->generation);
	out[8] = (uint8_t)head->source_count;
	for (size_t i = 0; i < head->source_count; i++) {
		const struct source_info *source = &head->sources[i];
		size_t name_len = strnlen(source->name, sizeof(source->name) - 1);

		p[0] = source->id;
		p[1] = (uint8_t)((source->provides_recipients ? SOURCE_RECIPIENTS : 0) |
				 (source->provides_domains ? SOURCE_DOMAINS : 0) |
				 (source->provides_connectors ? SOURCE_CONNECTORS : 0) |
				 (source->is_loaded ? SOURCE_LOADED : 0));
		put_u64(p + 2, (uint64_t)source->last_contact);
		p[10] = (uint8_t)name_len;
		memcpy(p + SOURCE_FIXED, source->name, name_len);
		p += SOURCE_FIXED + name_len;
	}
	return (size_t)(p - out);
}

enum status head_decode(struct span stored, struct store_head *out)
{
	const uint8_t *p = (const uint8_t *)stored.ptr;
	size_t left = stored.len;

	if (left < HEAD_FIXED || p[8] > STORE_SOURCES_MAX) {
		return CX_EFORMAT;
	}
	out->generation = get_u64(p);
	out->source_count = p[8];
	p += HEAD_FIXED;
	left -= HEAD_FIXED;
	for (size_t i = 0; i < out->source_count; i++) {
		struct source_info *source = &out->sources[i];

		if (left < SOURCE_FIXED || p[10] >= sizeof(source->name) ||
		    left - SOURCE_FIXED < p[10]) {
			return CX_EFORMAT;
		}
		size_t name_len = p[10];

		source->id = p[0];
		source->provides_recipients = p[1] & SOURCE_RECIPIENTS;
		source->provides_domains = p[1] & SOURCE_DOMAINS;
		source->provides_connectors = p[1] & SOURCE_CONNECTORS;
		source->is_loaded = p[1] & SOURCE_LOADED;
		source->last_contact = (int64_t)get_u64(p + 2);
		memcpy(source->name, p + SOURCE_FIXED, name_len);
		source->name[name_len] = '\0';
		p += SOURCE_FIXED + name_len;
		left -= SOURCE_FIXED + name_len;
	}
	return left == 0 ? CX_OK : CX_EFORMAT;
}

struct source_info *head_find(struct store_head *head, uint8_t source)
{
	for (size_t i = 0; i < head->source_count; i++) {
		if (head->sources[i].id == source) {
			return &head->sources[i];
		}
	}
	return NULL;
}
