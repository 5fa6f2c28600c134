#include "config.h"

#include "value/imcea.h"

#include <string.h>

static int hex_value(char c)
{
	if (c >= '0' && c <= '9') {
		return c - '0';
	}
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/*
 * The type and the encoded value of "IMCEA<type>-<value>". CX_NOTFOUND where the
 * local part does not have this form at all: imceasmith is a name like others.
 */
static enum status split(struct span local, char type[ADDRESS_TYPE_MAX + 1],
    struct span *value)
{
	size_t prefix = strlen("IMCEA"), len = 0;
	struct span rest;

	if (!span_starts_with_case(local, SPAN("IMCEA"))) {
		return CX_NOTFOUND;
	}
	rest = (struct span){ local.ptr + prefix, local.len - prefix };
	while (len < rest.len && is_alnum(rest.ptr[len])) {
		len++;
	}
	if (len == rest.len || rest.ptr[len] != '-') {
		return CX_NOTFOUND;
	}
	if (len == 0 || len > ADDRESS_TYPE_MAX) {
		return CX_EINVAL;
	}
	memcpy(type, rest.ptr, len);
	type[len] = '\0';
	*value = (struct span){ rest.ptr + len + 1, rest.len - len - 1 };
	return CX_OK;
}

static enum status decode(struct span value, struct buf *out)
{
	for (size_t i = 0; i < value.len; i++) {
		char c = value.ptr[i];

		if (c == '_') {
			c = '/';
		} else if (c == '+') {
			int high, low;

			if (value.len - i < 3) {
				return CX_EINVAL;
			}
			high = hex_value(value.ptr[i + 1]);
			low = hex_value(value.ptr[i + 2]);
			if (high < 0 || low < 0) {
				return CX_EINVAL;
			}
			c = (char)(high * 16 + low);
			i += 2;
		}
		buf_add_char(out, c);
	}
	return CX_OK;
}

enum status imcea_decode(const struct address *outer, struct address *inner)
{
	char type[ADDRESS_TYPE_MAX + 1];
	char memory[ADDRESS_LOCAL_MAX + 1];
	struct span value;
	struct buf text;
	enum status status;

	if (!address_is_smtp(outer)) {
		return CX_NOTFOUND;
	}
	status = split((struct span){ outer->local, outer->local_len }, type, &value);
	if (status != CX_OK) {
		return status;
	}
	buf_init_fixed(&text, memory, sizeof(memory));
	status = decode(value, &text);
	if (status != CX_OK) {
		return status;
	}
	if (text.failed) {
		return CX_ETOOLONG;
	}
	/* address_make() refuses an empty value, NUL, CR and LF. */
	if (span_equal_case(span_of(type), SPAN("smtp"))) {
		return address_parse_internal(buf_span(&text), inner);
	}
	return address_make(type, buf_span(&text), (struct span){ NULL, 0 }, inner);
}

static void encode(struct span value, struct buf *out)
{
	static const char digits[] = "0123456789ABCDEF";

	for (size_t i = 0; i < value.len; i++) {
		unsigned char c = (unsigned char)value.ptr[i];

		if (is_alnum((char)c) || c == '-' || c == '=') {
			buf_add_char(out, (char)c);
		} else if (c == '/') {
			buf_add_char(out, '_');
		} else {
			char hex[3] = { '+', digits[c >> 4], digits[c & 15] };

			buf_add(out, hex, sizeof(hex));
		}
	}
}

enum status imcea_encode(const struct address *inner, struct span domain,
    struct address *outer)
{
	char memory[ADDRESS_LOCAL_MAX + 1];
	struct buf local;

	if (address_is_smtp(inner) || domain.len == 0 || strchr(inner->type, '-') != NULL) {
		return CX_EINVAL;
	}
	buf_init_fixed(&local, memory, sizeof(memory));
	buf_add_text(&local, "IMCEA");
	for (const char *p = inner->type; *p != '\0'; p++) {
		buf_add_char(&local, *p >= 'a' && *p <= 'z' ? (char)(*p - 'a' + 'A') : *p);
	}
	buf_add_char(&local, '-');
	encode((struct span){ inner->local, inner->local_len }, &local);
	if (local.failed) {
		return CX_ETOOLONG;
	}
	return address_make("smtp", buf_span(&local), domain, outer);
}
