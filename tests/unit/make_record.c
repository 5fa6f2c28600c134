#include "config.h"

#include "make_record.h"

#include "unit.h"

struct span vmake_record(struct buf *buf, enum record_kind kind, uint32_t flags,
    va_list args)
{
	bool has_flags = false;
	int tag;

	record_begin(buf, kind);
	while ((tag = va_arg(args, int)) != 0) {
		const char *text = va_arg(args, const char *);

		if (tag > TAG_FLAGS && !has_flags) {
			record_put_flags(buf, flags);
			has_flags = true;
		}
		if (tag == TAG_DOMAIN_TYPE || tag == TAG_UNKNOWN) {
			record_put_byte(buf, (enum record_tag)tag,
			    (uint8_t)(text[0] - '0'));
		} else {
			record_put(buf, (enum record_tag)tag, span_of(text));
		}
	}
	ck_assert(!buf->failed);
	return buf_span(buf);
}

struct span make_record(struct buf *buf, enum record_kind kind, uint32_t flags, ...)
{
	struct span record;
	va_list args;

	va_start(args, flags);
	record = vmake_record(buf, kind, flags, args);
	va_end(args);
	return record;
}

struct record_id make_id(unsigned source, unsigned number)
{
	struct record_id id = { .source = (uint8_t)source };

	for (int i = 0; i < 4; i++) {
		id.uuid[i] = (uint8_t)(number >> (24 - 8 * i));
	}
	return id;
}
