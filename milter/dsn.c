#include "config.h"

#include "milter/dsn.h"

#include <string.h>

#include "value/status.h"
#include "value/utf8.h"

static const struct {
	const char *text;
	unsigned bit;
} notify_words[] = {
	{ "NEVER", DSN_NOTIFY_NEVER },
	{ "SUCCESS", DSN_NOTIFY_SUCCESS },
	{ "FAILURE", DSN_NOTIFY_FAILURE },
	{ "DELAY", DSN_NOTIFY_DELAY },
};
#define NOTIFY_WORDS (sizeof(notify_words) / sizeof(notify_words[0]))

static const char hex_digits[] = "0123456789ABCDEF";

struct span dsn_strip_brackets(struct span typed)
{
	if (typed.len >= 2 && typed.ptr[0] == '<' && typed.ptr[typed.len - 1] == '>') {
		return (struct span){ typed.ptr + 1, typed.len - 2 };
	}
	return typed;
}

/* 0: malformed. NEVER stands alone. */
static unsigned parse_notify(struct span text)
{
	unsigned mask = 0;

	for (;;) {
		const char *comma = text.len ? memchr(text.ptr, ',', text.len) : NULL;
		struct span word = { text.ptr,
			comma ? (size_t)(comma - text.ptr) : text.len };
		unsigned bit = 0;

		for (size_t i = 0; i < NOTIFY_WORDS; i++) {
			if (span_equal_case(word, span_of(notify_words[i].text))) {
				bit = notify_words[i].bit;
			}
		}
		if (bit == 0) {
			return 0;
		}
		mask |= bit;
		if (comma == NULL) {
			break;
		}
		text.len -= word.len + 1;
		text.ptr = comma + 1;
	}
	if ((mask & DSN_NOTIFY_NEVER) && mask != DSN_NOTIFY_NEVER) {
		return 0;
	}
	return mask;
}

static bool is_type(struct span text)
{
	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			(c >= '0' && c <= '9') || c == '-')) {
			return false;
		}
	}
	return text.len > 0;
}

/* CX_EINVAL: no type, or nothing behind it. */
static enum status split_orcpt(struct span orcpt, struct span *type, struct span *value)
{
	const char *semicolon = orcpt.len ? memchr(orcpt.ptr, ';', orcpt.len) : NULL;

	if (semicolon == NULL) {
		return CX_EINVAL;
	}
	*type = (struct span){ orcpt.ptr, (size_t)(semicolon - orcpt.ptr) };
	*value = (struct span){ semicolon + 1, orcpt.len - type->len - 1 };
	return is_type(*type) && value->len > 0 ? CX_OK : CX_EINVAL;
}

static bool is_orcpt(struct span text)
{
	struct span type;
	struct span value;

	if (split_orcpt(text, &type, &value) != CX_OK) {
		return false;
	}
	for (size_t i = 0; i < value.len; i++) {
		unsigned char c = (unsigned char)value.ptr[i];

		if (c <= ' ' || c == 0x7f) {
			return false;
		}
	}
	if (span_equal_case(type, SPAN("utf-8"))) {
		struct buf none;
		enum status status;

		buf_init(&none);
		status = dsn_decode_uxtext(value, &none);
		buf_release(&none);
		return status == CX_OK;
	}
	return dsn_is_xtext(value);
}

void dsn_parse(const char *const *arguments, struct dsn *out)
{
	*out = (struct dsn){ 0 };
	for (; arguments && *arguments; arguments++) {
		struct span argument = span_of(*arguments);

		if (span_starts_with_case(argument, SPAN("NOTIFY="))) {
			out->notify = parse_notify((struct span){
			    argument.ptr + 7, argument.len - 7 });
			out->has_odd = out->has_odd || out->notify == 0;
		} else if (span_starts_with_case(argument, SPAN("ORCPT="))) {
			struct span value = { argument.ptr + 6, argument.len - 6 };

			out->orcpt = is_orcpt(value) ? value : (struct span){ NULL, 0 };
			out->has_odd = out->has_odd || out->orcpt.len == 0;
		}
	}
}

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

/* The length of "\x{HEX}" at the start of `text`, 0 if it is not one. */
static size_t read_escape(struct span text, uint32_t *code)
{
	size_t at = 3;

	*code = 0;
	if (text.len < 5 || memcmp(text.ptr, "\\x{", 3) != 0) {
		return 0;
	}
	for (; at < text.len && at < 3 + 6 && hex_value(text.ptr[at]) >= 0; at++) {
		*code = *code << 4 | (uint32_t)hex_value(text.ptr[at]);
	}
	if (at == 3 || at >= text.len || text.ptr[at] != '}' || *code > 0x10ffff ||
	    *code == 0) {
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

		if (rest.ptr[0] == '\\') {
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

/*
 * Postfix takes "+XX" as encoding for every type, and anything else as it stands: a value
 * of type utf-8 reaches it as raw UTF-8 (postfix-facts 1.4). Sendmail wants printable
 * ASCII and refuses the rest.
 */
static enum status add_utf8_value(struct buf *out, enum mta mta, struct span raw)
{
	if (mta == MTA_SENDMAIL) {
		return dsn_add_uxtext(out, raw);
	}
	for (size_t i = 0; i < raw.len; i++) {
		unsigned char c = (unsigned char)raw.ptr[i];

		if (c >= 0x80) {
			buf_add_char(out, (char)c);
		} else {
			dsn_add_xtext(out, (struct span){ raw.ptr + i, 1 });
		}
	}
	return CX_OK;
}

/* The sender's own ORCPT. */
static enum status add_given_orcpt(struct buf *out, enum mta mta, struct span orcpt)
{
	struct span type;
	struct span value;
	struct buf raw;
	enum status status;

	if (split_orcpt(orcpt, &type, &value) != CX_OK) {
		return CX_EINVAL;
	}
	buf_add_span(out, type);
	buf_add_char(out, ';');
	if (!span_equal_case(type, SPAN("utf-8"))) {
		buf_add_span(out, value);
		return CX_OK;
	}
	buf_init(&raw);
	status = dsn_decode_uxtext(value, &raw);
	if (status == CX_OK) {
		status = add_utf8_value(out, mta, buf_span(&raw));
	}
	buf_release(&raw);
	return status;
}

/* The address as given, where the sender gave no ORCPT. */
static enum status make_orcpt(struct buf *out, enum dsn_role role, enum mta mta,
    struct span typed)
{
	struct span address = dsn_strip_brackets(typed);

	/* Postfix itself says rfc822 for an own recipient, whatever is in it. */
	if (span_is_ascii(address) || (role == DSN_OWN && mta == MTA_POSTFIX)) {
		buf_add_text(out, "rfc822;");
		dsn_add_xtext(out, address);
		return CX_OK;
	}
	if (!utf8_is_valid(address)) {
		return CX_EINVAL;
	}
	buf_add_text(out, "utf-8;");
	return add_utf8_value(out, mta, address);
}

static unsigned notify_for(const struct dsn *dsn, enum dsn_role role)
{
	unsigned without_success = dsn->notify & ~(unsigned)DSN_NOTIFY_SUCCESS;

	switch (role) {
	case DSN_OWN:
	case DSN_REDIRECT: return dsn->notify;
	case DSN_GROUP:
		return dsn->notify != 0 && without_success == 0
			   ? (unsigned)DSN_NOTIFY_NEVER
			   : without_success;
	case DSN_COPY: break;
	}
	return DSN_NOTIFY_NEVER;
}

static void add_notify(struct buf *out, unsigned notify)
{
	const char *between = "NOTIFY=";

	for (size_t i = 0; i < NOTIFY_WORDS; i++) {
		if (notify & notify_words[i].bit) {
			buf_add_text(out, between);
			buf_add_text(out, notify_words[i].text);
			between = ",";
		}
	}
}

void dsn_build(const struct dsn *dsn, enum dsn_role role, enum mta mta,
    struct span typed, struct buf *out)
{
	unsigned notify = notify_for(dsn, role);
	struct buf orcpt;
	enum status status = CX_EINVAL;

	buf_init(&orcpt);
	if (dsn->orcpt.len > 0) {
		status = add_given_orcpt(&orcpt, mta, dsn->orcpt);
	}
	if (status != CX_OK) {
		buf_clear(&orcpt);
		status = make_orcpt(&orcpt, role, mta, typed);
	}
	if (mta == MTA_SENDMAIL && orcpt.len > DSN_ORCPT_MAX) {
		status = CX_ETOOLONG;
	}
	add_notify(out, notify);
	if (orcpt.failed) {
		out->failed = true;
	} else if (status == CX_OK) {
		buf_add_text(out, notify ? " ORCPT=" : "ORCPT=");
		buf_add_span(out, buf_span(&orcpt));
	}
	buf_release(&orcpt);
}
