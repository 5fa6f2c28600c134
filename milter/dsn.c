#include "config.h"

#include "milter/dsn.h"

#include <string.h>

#include "milter/dsn_text.h"
#include "value/utf8.h"
#include "value/xtext.h"

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

struct span dsn_strip_brackets(struct span typed)
{
	if (typed.len >= 2 && typed.ptr[0] == '<' && typed.ptr[typed.len - 1] == '>') {
		return (struct span){ typed.ptr + 1, typed.len - 2 };
	}
	return typed;
}

static bool is_utf8_type(struct span type)
{
	return span_equal_case(type, SPAN("utf-8"));
}

/* 0: malformed. NEVER stands alone; Postfix lets empty words through. */
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
		if (bit == 0 && word.len > 0) {
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

/* RFC 3461 says atom; Postfix lets all through, and what is printable comes out again. */
static bool is_type(struct span text)
{
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] <= ' ' || text.ptr[i] >= 0x7f) {
			return false;
		}
	}
	return text.len > 0;
}

/* An ORCPT taken apart. */
struct orcpt {
	struct span type;
	struct span value; /* as sent */
	struct span raw;   /* what it stands for, in `room` */
	char room[DSN_VALUE_MAX + 1];
};

/*
 * CX_EINVAL: no type; nothing behind it; or not what its type makes of it. Postfix lets
 * more through than RFC 3461 has, and sends it on in due form: so do we.
 */
static enum status read_orcpt(struct span text, struct orcpt *out)
{
	const char *semicolon = text.len ? memchr(text.ptr, ';', text.len) : NULL;
	struct buf raw;
	enum status status;

	if (semicolon == NULL) {
		return CX_EINVAL;
	}
	out->type = (struct span){ text.ptr, (size_t)(semicolon - text.ptr) };
	out->value = (struct span){ semicolon + 1, text.len - out->type.len - 1 };
	if (!is_type(out->type)) {
		return CX_EINVAL;
	}
	buf_init_fixed(&raw, out->room, sizeof(out->room));
	status = is_utf8_type(out->type) ? dsn_decode_uxtext(out->value, &raw)
					 : xtext_decode(out->value, &raw);
	out->raw = buf_span(&raw);
	if (status != CX_OK || raw.failed || raw.len == 0 ||
	    memchr(out->raw.ptr, '\0', out->raw.len)) {
		return CX_EINVAL;
	}
	return CX_OK;
}

/* What isspace() says in the C locale. */
static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static void parse_orcpt(struct span text, struct dsn *out)
{
	struct orcpt orcpt;

	if (read_orcpt(text, &orcpt) != CX_OK) {
		out->orcpt = (struct span){ NULL, 0 };
		out->has_odd = true;
		return;
	}
	out->orcpt = text;
	/* Postfix cuts that off, but not from what a milter gives. */
	if (is_space(orcpt.raw.ptr[orcpt.raw.len - 1])) {
		out->has_odd = true;
	}
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
			parse_orcpt((struct span){ argument.ptr + 6, argument.len - 6 },
			    out);
		}
	}
}

/*
 * Postfix takes "+XX" as encoding for every type, and anything else as it stands: a value
 * of type utf-8 reaches it as raw UTF-8 (postfix-facts 1.4). Sendmail wants printable
 * ASCII and refuses the rest.
 */
static void add_utf8_value(struct buf *out, enum mta mta, struct span raw)
{
	if (mta == MTA_SENDMAIL) {
		(void)dsn_add_uxtext(out, raw); /* it is UTF-8 */
		return;
	}
	for (size_t i = 0; i < raw.len; i++) {
		unsigned char c = (unsigned char)raw.ptr[i];

		if (c >= 0x80) {
			buf_add_char(out, (char)c);
		} else {
			dsn_add_xtext(out, (struct span){ raw.ptr + i, 1 });
		}
	}
}

/* The sender's own ORCPT; none: the MTA would not take it. */
static void add_given_orcpt(struct buf *out, enum mta mta, struct span text)
{
	struct orcpt orcpt;

	if (read_orcpt(text, &orcpt) != CX_OK ||
	    (mta == MTA_SENDMAIL && !dsn_is_xtext(orcpt.type))) {
		return;
	}
	buf_add_span(out, orcpt.type);
	buf_add_char(out, ';');
	if (is_utf8_type(orcpt.type)) {
		add_utf8_value(out, mta, orcpt.raw);
	} else if (dsn_is_xtext(orcpt.value)) {
		buf_add_span(out, orcpt.value);
	} else {
		dsn_add_xtext(out, orcpt.raw);
	}
}

/* The address as given, where the sender gave no ORCPT. */
static void make_orcpt(struct buf *out, enum dsn_role role, enum mta mta,
    struct span typed)
{
	struct span address = dsn_strip_brackets(typed);

	/* Postfix itself says rfc822 for an own recipient, whatever is in it. */
	if (span_is_ascii(address) || (role == DSN_OWN && mta == MTA_POSTFIX) ||
	    !utf8_is_valid(address)) {
		buf_add_text(out, "rfc822;");
		dsn_add_xtext(out, address);
		return;
	}
	buf_add_text(out, "utf-8;");
	add_utf8_value(out, mta, address);
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

static bool is_usable(const struct buf *orcpt, enum mta mta)
{
	return orcpt->len > 0 && (mta == MTA_POSTFIX || orcpt->len <= DSN_ORCPT_MAX);
}

void dsn_build(const struct dsn *dsn, enum dsn_role role, enum mta mta,
    struct span typed, struct buf *out)
{
	unsigned notify = notify_for(dsn, role);
	struct buf orcpt;

	buf_init(&orcpt);
	add_given_orcpt(&orcpt, mta, dsn->orcpt);
	if (!is_usable(&orcpt, mta) && !orcpt.failed) {
		buf_clear(&orcpt);
		make_orcpt(&orcpt, role, mta, typed);
	}
	add_notify(out, notify);
	if (orcpt.failed) {
		out->failed = true;
	} else if (is_usable(&orcpt, mta)) {
		buf_add_text(out, notify ? " ORCPT=" : "ORCPT=");
		buf_add_span(out, buf_span(&orcpt));
	}
	buf_release(&orcpt);
}

bool dsn_wants_failures(const struct dsn *dsn)
{
	return dsn->notify == 0 || (dsn->notify & DSN_NOTIFY_FAILURE);
}
