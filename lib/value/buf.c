#include "config.h"

#include "value/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistr.h>

/* What an empty heap buffer points to: read only, as size is 0. */
static char empty_text[1];

void buf_init(struct buf *buf)
{
	*buf = (struct buf){ .data = empty_text };
}

void buf_init_fixed(struct buf *buf, char *memory, size_t size)
{
	*buf = (struct buf){ .data = empty_text, .is_fixed = true };
	if (size > 0) {
		buf->data = memory;
		buf->size = size;
		memory[0] = '\0';
	}
}

void buf_release(struct buf *buf)
{
	if (buf == NULL || buf->is_fixed) {
		return;
	}
	if (buf->size > 0) {
		free(buf->data);
	}
	buf_init(buf);
}

void buf_clear(struct buf *buf)
{
	buf->len = 0;
	buf->failed = false;
	if (buf->size > 0) {
		buf->data[0] = '\0';
	}
}

/* Room for `more` bytes and the NUL; false (and failed) if there is none. */
static bool reserve(struct buf *buf, size_t more)
{
	size_t wanted, size;
	char *data;

	if (buf->failed) {
		return false;
	}
	if (more < buf->size - buf->len) {
		return true;
	}
	if (buf->is_fixed || more >= SIZE_MAX / 2 - buf->len) {
		buf->failed = true;
		return false;
	}
	wanted = buf->len + more + 1;
	size = buf->size < 32 ? 64 : buf->size * 2;
	if (size < wanted) {
		size = wanted;
	}
	data = realloc(buf->size > 0 ? buf->data : NULL, size);
	if (data == NULL) {
		buf->failed = true;
		return false;
	}
	buf->data = data;
	buf->size = size;
	return true;
}

void buf_add(struct buf *buf, const void *bytes, size_t len)
{
	if (len == 0 || !reserve(buf, len)) {
		return;
	}
	memcpy(buf->data + buf->len, bytes, len);
	buf->len += len;
	buf->data[buf->len] = '\0';
}

void buf_add_span(struct buf *buf, struct span span)
{
	buf_add(buf, span.ptr, span.len);
}

void buf_add_text(struct buf *buf, const char *text)
{
	buf_add(buf, text, strlen(text));
}

void buf_add_char(struct buf *buf, char c)
{
	if (reserve(buf, 1)) {
		buf->data[buf->len++] = c;
		buf->data[buf->len] = '\0';
	}
}

void buf_printf(struct buf *buf, const char *fmt, ...)
{
	va_list args;
	int len;

	if (buf->failed) {
		return;
	}
	va_start(args, fmt);
	len = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	if (len < 0) {
		buf->failed = true;
		return;
	}
	if (len == 0 || !reserve(buf, (size_t)len)) {
		return;
	}
	va_start(args, fmt);
	vsnprintf(buf->data + buf->len, (size_t)len + 1, fmt, args);
	va_end(args);
	buf->len += (size_t)len;
}

/* Ends a line, or turns the direction of what follows: a line of a log could be forged by it. */
static bool is_layout(ucs4_t uc)
{
	return (uc >= 0x2028 && uc <= 0x202e) || (uc >= 0x2066 && uc <= 0x2069);
}

/*
 * Length of the printable character at `s`, 0 when its first byte is escaped. A backslash is
 * one only where it could be taken for the beginning of an escape: most stand in
 * distinguished names (cn=Barr\, Adam), which people copy from here into other tools.
 */
static size_t printable_length(const uint8_t *s, size_t len)
{
	ucs4_t uc;
	int units;

	if (s[0] < 0x80) {
		bool is_escape = s[0] == '\\' && (len == 1 || s[1] == 'x');

		return s[0] >= 0x20 && s[0] != 0x7f && !is_escape;
	}
	units = u8_mbtoucr(&uc, s, len);
	return units <= 0 || uc < 0xa0 || is_layout(uc) ? 0 : (size_t)units;
}

void buf_add_escaped(struct buf *buf, struct span text)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *s = (const uint8_t *)text.ptr;

	for (size_t i = 0; i < text.len && !buf->failed;) {
		size_t len = printable_length(s + i, text.len - i);

		if (len > 0) {
			buf_add(buf, s + i, len);
			i += len;
		} else {
			char hex[4] = { '\\', 'x', digits[s[i] >> 4], digits[s[i] & 15] };

			buf_add(buf, hex, sizeof(hex));
			i++;
		}
	}
}

struct span buf_span(const struct buf *buf)
{
	return (struct span){ buf->data, buf->len };
}
