#include "config.h"

#include "milter/dsn_text.h"

#include <stdint.h>
#include <string.h>

#include "value/utf8.h"

static const char hex_digits[] = "0123456789ABCDEF";

static bool is_plain(unsigned char c)
{
	return c > ' ' && c < 0x7f && c != '+' && c != '=';
}

void dsn_add_xtext(struct buf *out, struct span text)
{
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.ptr[i];

		if (is_plain(c)) {
			buf_add_char(out, (char)c);
		} else {
			buf_add_char(out, '+');
			buf_add_char(out, hex_digits[c >> 4]);
			buf_add_char(out, hex_digits[c & 15]);
		}
	}
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9') {
		return c - '0';
	}
	if (c >= 'A' && c <= 'F') {
		return c - 'A' + 10;
	}
	if (c >= 'a' && c <= 'f') {
		return c - 'a' + 10;
	}
	return -1;
}

bool dsn_is_xtext(struct span text)
{
	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];

		if (c == '+') {
			if (text.len - i < 3 || hex_value(text.ptr[i + 1]) < 0 ||
			    hex_value(text.ptr[i + 2]) < 0) {
				return false;
			}
			i += 2;
		} else if (!is_plain((unsigned char)c)) {
			return false;
		}
	}
	return true;
}

/* The code point at *at of text that is known to be UTF-8; moves *at behind it. */
static uint32_t next_code_point(struct span text, size_t *at)
{
	unsigned char lead = (unsigned char)text.ptr[*at];
	unsigned more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : lead >= 0xc0 ? 1 : 0;
	uint32_t code = more ? lead & (0x3fu >> more) : lead;

	for ((*at)++; more > 0 && *at < text.len; more--, (*at)++) {
		code = code << 6 | ((unsigned char)text.ptr[*at] & 0x3f);
	}
	return code;
}

enum status dsn_add_uxtext(struct buf *out, struct span utf8)
{
	if (!utf8_is_valid(utf8)) {
		return CX_EINVAL;
	}
	for (size_t at = 0; at < utf8.len;) {
		uint32_t code = next_code_point(utf8, &at);

		if (code < 0x80 && is_plain((unsigned char)code) && code != '\\') {
			buf_add_char(out, (char)code);
		} else {
			buf_printf(out, "\\x{%02X}", (unsigned)code);
		}
	}
	return CX_OK;
}

static void add_code_point(struct buf *out, uint32_t code)
{
	if (code < 0x80) {
		buf_add_char(out, (char)code);
	} else if (code < 0x800) {
		buf_add_char(out, (char)(0xc0 | code >> 6));
		buf_add_char(out, (char)(0x80 | (code & 0x3f)));
	} else if (code < 0x10000) {
		buf_add_char(out, (char)(0xe0 | code >> 12));
		buf_add_char(out, (char)(0x80 | (code >> 6 & 0x3f)));
		buf_add_char(out, (char)(0x80 | (code & 0x3f)));
	} else {
		buf_add_char(out, (char)(0xf0 | code >> 18));
		buf_add_char(out, (char)(0x80 | (code >> 12 & 0x3f)));
		buf_add_char(out, (char)(0x80 | (code >> 6 & 0x3f)));
		buf_add_char(out, (char)(0x80 | (code & 0x3f)));
	}
}

/* The length of "\x{HEX}" at the start of `text`, 0 if it is malformed. */
static size_t read_escape(struct span text, uint32_t *code)
{
	size_t at = 3;

	*code = 0;
	for (; at < text.len && hex_value(text.ptr[at]) >= 0; at++) {
		*code = *code << 4 | (uint32_t)hex_value(text.ptr[at]);
		if (*code > 0x10ffff) {
			return 0;
		}
	}
	if (at >= text.len || text.ptr[at] != '}' || *code == 0) {
		return 0;
	}
	return at + 1;
}

enum status dsn_decode_uxtext(struct span text, struct buf *out)
{
	size_t start = out->len;

	for (size_t at = 0; at < text.len;) {
		struct span rest = { text.ptr + at, text.len - at };
		uint32_t code;

		if (rest.len >= 3 && memcmp(rest.ptr, "\\x{", 3) == 0) {
			size_t len = read_escape(rest, &code);

			if (len == 0) {
				return CX_EINVAL;
			}
			add_code_point(out, code);
			at += len;
		} else {
			buf_add_char(out, rest.ptr[0]);
			at++;
		}
	}
	if (out->failed) {
		return CX_ENOMEM;
	}
	/* Surrogates are refused here. */
	return utf8_is_valid((struct span){ out->data + start, out->len - start })
		   ? CX_OK
		   : CX_EINVAL;
}
