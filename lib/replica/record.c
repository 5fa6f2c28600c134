#include "config.h"

#include "replica/record.h"

#include <assert.h>
#include <string.h>

/*
 * The header: version, kind, tag of the last field. The last makes the order checkable
 * while a record grows, and tells a record that lost its tail.
 */
enum {
	AT_VERSION,
	AT_KIND,
	AT_LAST_TAG,
	HEADER_SIZE
};
enum {
	FIELD_HEADER_SIZE = 5
};

static uint32_t get_u32(const char *p)
{
	const unsigned char *b = (const unsigned char *)p;

	return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 |
	       (uint32_t)b[3] << 24;
}

static void put_u32(char out[4], uint32_t value)
{
	for (int i = 0; i < 4; i++) {
		out[i] = (char)(unsigned char)(value >> (8 * i));
	}
}

/* Takes one field off the front. False: there is none, or it is damaged. */
static bool field_next(struct span *rest, uint8_t *tag, struct span *value)
{
	if (rest->len < FIELD_HEADER_SIZE) {
		return false;
	}
	uint32_t len = get_u32(rest->ptr + 1);

	if (len > RECORD_VALUE_MAX || len > rest->len - FIELD_HEADER_SIZE) {
		return false;
	}
	*tag = (uint8_t)rest->ptr[0];
	*value = (struct span){ rest->ptr + FIELD_HEADER_SIZE, len };
	rest->ptr += FIELD_HEADER_SIZE + len;
	rest->len -= FIELD_HEADER_SIZE + len;
	return true;
}

/* Fields of a fixed size have it. */
static bool field_is_sound(uint8_t tag, struct span value)
{
	switch (tag) {
	case TAG_FLAGS: return value.len == 4;
	case TAG_DOMAIN_TYPE:
	case TAG_UNKNOWN: return value.len == 1;
	default: return true;
	}
}

enum status record_open(struct span stored, struct record *out)
{
	if (stored.len < HEADER_SIZE || stored.ptr[AT_VERSION] != RECORD_VERSION ||
	    stored.ptr[AT_KIND] < RECORD_RECIPIENT ||
	    stored.ptr[AT_KIND] > RECORD_CONTAINER) {
		return CX_EFORMAT;
	}
	struct span rest = { stored.ptr + HEADER_SIZE, stored.len - HEADER_SIZE };
	uint8_t last = 0;

	out->kind = (enum record_kind)stored.ptr[AT_KIND];
	out->fields = rest;
	while (rest.len > 0) {
		struct span value;
		uint8_t tag;

		if (!field_next(&rest, &tag, &value) || tag < last || tag < 1 ||
		    tag > TAG_MAX || !field_is_sound(tag, value)) {
			return CX_EFORMAT;
		}
		last = tag;
	}
	return last == (uint8_t)stored.ptr[AT_LAST_TAG] ? CX_OK : CX_EFORMAT;
}

bool values_next(struct values *values, struct span *out)
{
	struct span rest = values->rest;
	uint8_t tag;

	if (!field_next(&rest, &tag, out) || tag != values->tag) {
		*out = (struct span){ NULL, 0 };
		return false;
	}
	values->rest = rest;
	return true;
}

size_t values_count(struct values values)
{
	struct span value;
	size_t count = 0;

	while (values_next(&values, &value)) {
		count++;
	}
	return count;
}

struct values record_values(const struct record *record, enum record_tag wanted)
{
	struct span rest = record->fields;
	struct span at = rest;
	struct span value;
	uint8_t tag;

	while (field_next(&rest, &tag, &value) && tag < wanted) {
		at = rest;
	}
	return (struct values){ at, (uint8_t)wanted };
}

struct span record_first(const struct record *record, enum record_tag tag)
{
	struct values values = record_values(record, tag);
	struct span value;

	values_next(&values, &value);
	return value;
}

uint32_t record_flags(const struct record *record)
{
	struct span value = record_first(record, TAG_FLAGS);

	return value.len == 4 ? get_u32(value.ptr) : 0;
}

void record_begin(struct buf *buf, enum record_kind kind)
{
	buf_clear(buf);
	buf_add_char(buf, RECORD_VERSION);
	buf_add_char(buf, (char)kind);
	buf_add_char(buf, 0);
}

void record_put(struct buf *buf, enum record_tag tag, struct span value)
{
	char header[FIELD_HEADER_SIZE];

	if (buf->failed) {
		return;
	}
	assert(buf->len >= HEADER_SIZE && tag <= TAG_MAX);
	assert((uint8_t)buf->data[AT_LAST_TAG] <= tag);
	if (value.len > RECORD_VALUE_MAX) {
		buf->failed = true;
		return;
	}
	header[0] = (char)tag;
	put_u32(header + 1, (uint32_t)value.len);
	buf_add(buf, header, sizeof(header));
	buf_add_span(buf, value);
	if (!buf->failed) {
		buf->data[AT_LAST_TAG] = (char)tag;
	}
}

void record_put_flags(struct buf *buf, uint32_t flags)
{
	char bytes[4];

	put_u32(bytes, flags);
	record_put(buf, TAG_FLAGS, (struct span){ bytes, sizeof(bytes) });
}

void record_put_byte(struct buf *buf, enum record_tag tag, uint8_t value)
{
	char byte = (char)value;

	record_put(buf, tag, (struct span){ &byte, 1 });
}

bool record_id_equal(const struct record_id *a, const struct record_id *b)
{
	return a->source == b->source && memcmp(a->uuid, b->uuid, sizeof(a->uuid)) == 0;
}
