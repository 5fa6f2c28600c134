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
/*
 * A field: the tag (1), the length of the value (seven bits a byte, the least first; 128:
 * there are more), the value. FIELD_SAME alone: a TAG_MAIL with the first value of
 * TAG_PRIMARY, which is the rule. There is one form of everything: what is equal is equal
 * byte by byte.
 */
enum {
	FIELD_SAME = 0x80 | TAG_MAIL,
	LENGTH_SIZE_MAX = 3,
	FLAGS_SIZE = 4,
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

static size_t put_length(char out[LENGTH_SIZE_MAX], size_t len)
{
	size_t size = 0;

	while (len >= 0x80) {
		out[size++] = (char)(len | 0x80);
		len >>= 7;
	}
	out[size++] = (char)len;
	return size;
}

/* The length at `p` and how many bytes it takes; 0: it is damaged, or could be shorter. */
static size_t get_length(const char *p, size_t room, size_t *len)
{
	*len = 0;
	for (size_t i = 0; i < LENGTH_SIZE_MAX && i < room; i++) {
		unsigned char byte = (unsigned char)p[i];

		*len |= (size_t)(byte & 0x7f) << (7 * i);
		if (byte < 0x80) {
			return byte > 0 || i == 0 ? i + 1 : 0;
		}
	}
	return 0;
}

/* Takes one field that has its value off the front. False: it is none, or is damaged. */
static inline bool plain_field_next(struct span *rest, uint8_t *tag, struct span *value)
{
	size_t size = 1;
	size_t len;

	if (rest->len < 2 || (uint8_t)rest->ptr[0] > TAG_MAX) {
		return false;
	}
	len = (unsigned char)rest->ptr[1];
	if (len >= 0x80) {
		size = get_length(rest->ptr + 1, rest->len - 1, &len);
	}
	if (size == 0 || len > RECORD_VALUE_MAX || len > rest->len - 1 - size) {
		return false;
	}
	*tag = (uint8_t)rest->ptr[0];
	*value = (struct span){ rest->ptr + 1 + size, len };
	rest->ptr = value->ptr + len;
	rest->len -= 1 + size + len;
	return true;
}

/* The first TAG_PRIMARY of the fields that start at `start`, looked for up to `end`. */
static bool first_primary(const char *start, const char *end, struct span *value)
{
	struct span fields = { start, (size_t)(end - start) };
	uint8_t tag = 0;

	while (tag < TAG_PRIMARY && plain_field_next(&fields, &tag, value)) {
	}
	return tag == TAG_PRIMARY;
}

/*
 * Takes one field off the front of what is left of the fields that start at `start`. False:
 * there is none, or it is damaged.
 */
static inline bool field_next(struct span *rest, const char *start, uint8_t *tag,
    struct span *value)
{
	if (rest->len == 0 || (uint8_t)*rest->ptr != FIELD_SAME) {
		return plain_field_next(rest, tag, value);
	}
	if (!first_primary(start, rest->ptr, value)) {
		return false;
	}
	*tag = TAG_MAIL;
	rest->ptr++;
	rest->len--;
	return true;
}

/* The tag of the field at `p`. */
static uint8_t tag_at(const char *p)
{
	return (uint8_t)*p == FIELD_SAME ? TAG_MAIL : (uint8_t)*p;
}

/* Fields of a fixed size have it; what is the rule is not written. */
static bool field_is_sound(uint8_t tag, struct span value)
{
	switch (tag) {
	case TAG_FLAGS: return value.len == FLAGS_SIZE && get_u32(value.ptr) != 0;
	case TAG_DOMAIN_TYPE:
	case TAG_UNKNOWN: return value.len == 1;
	default: return true;
	}
}

/* Whether a TAG_MAIL has to be written as FIELD_SAME. */
static bool is_same(const char *start, const char *end, struct span mail)
{
	struct span primary;

	return first_primary(start, end, &primary) && span_equal(primary, mail);
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
	out->start = rest.ptr;
	while (rest.len > 0) {
		const char *at = rest.ptr;
		struct span value;
		uint8_t tag;

		if (!field_next(&rest, out->start, &tag, &value) || tag < last ||
		    tag < 1 || !field_is_sound(tag, value)) {
			return CX_EFORMAT;
		}
		if (tag == TAG_MAIL && (uint8_t)*at != FIELD_SAME &&
		    is_same(out->start, at, value)) {
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

	if (rest.len == 0 || tag_at(rest.ptr) != values->tag ||
	    !field_next(&rest, values->start, &tag, out)) {
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
	struct span value;
	uint8_t tag;

	while (rest.len > 0 && tag_at(rest.ptr) < wanted &&
	       field_next(&rest, record->start, &tag, &value)) {
	}
	return (struct values){ rest, record->start, (uint8_t)wanted };
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

	return value.len == FLAGS_SIZE ? get_u32(value.ptr) : 0;
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
	char header[1 + LENGTH_SIZE_MAX] = { (char)tag };

	if (buf->failed) {
		return;
	}
	assert(buf->len >= HEADER_SIZE && tag <= TAG_MAX);
	assert((uint8_t)buf->data[AT_LAST_TAG] <= tag);
	if (value.len > RECORD_VALUE_MAX) {
		buf->failed = true;
		return;
	}
	if (tag == TAG_MAIL &&
	    is_same(buf->data + HEADER_SIZE, buf->data + buf->len, value)) {
		buf_add_char(buf, (char)FIELD_SAME);
	} else {
		buf_add(buf, header, 1 + put_length(header + 1, value.len));
		buf_add_span(buf, value);
	}
	if (!buf->failed) {
		buf->data[AT_LAST_TAG] = (char)tag;
	}
}

void record_put_flags(struct buf *buf, uint32_t flags)
{
	char bytes[FLAGS_SIZE];

	if (flags != 0) {
		put_u32(bytes, flags);
		record_put(buf, TAG_FLAGS, (struct span){ bytes, sizeof(bytes) });
	}
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
