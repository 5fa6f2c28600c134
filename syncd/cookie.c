#include "config.h"

#include "syncd/cookie.h"

#include <string.h>

/* YYYYmmddHHMMSS.ffffffZ#cccccc#sss#mmmmmm */
#define CSN_LENGTH     40
#define CSN_SID_OFFSET 30
#define CSN_SID_LENGTH 3

struct csn {
	unsigned sid;
	struct span text;
};

/* Sorted by sid, one for each. */
struct csns {
	struct csn list[COOKIE_SERVERS_MAX];
	size_t count;
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static int hex_value(char c)
{
	if (is_digit(c)) {
		return c - '0';
	}
	if (c >= 'a' && c <= 'f') {
		return c - 'a' + 10;
	}
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool csn_parse(struct span text, struct csn *out)
{
	static const char shape[] = "dddddddddddddd.ddddddZ#hhhhhh#hhh#hhhhhh";
	unsigned sid = 0;

	if (text.len != CSN_LENGTH) {
		return false;
	}
	for (size_t i = 0; i < CSN_LENGTH; i++) {
		char c = text.ptr[i];

		if (shape[i] == 'd'   ? !is_digit(c)
		    : shape[i] == 'h' ? hex_value(c) < 0
				      : c != shape[i]) {
			return false;
		}
	}
	for (size_t i = 0; i < CSN_SID_LENGTH; i++) {
		sid = sid * 16 + (unsigned)hex_value(text.ptr[CSN_SID_OFFSET + i]);
	}
	*out = (struct csn){ sid, text };
	return true;
}

static bool csns_set(struct csns *csns, struct csn csn)
{
	size_t at = 0;

	while (at < csns->count && csns->list[at].sid < csn.sid) {
		at++;
	}
	if (at < csns->count && csns->list[at].sid == csn.sid) {
		csns->list[at] = csn;
		return true;
	}
	if (csns->count == COOKIE_SERVERS_MAX) {
		return false;
	}
	memmove(csns->list + at + 1, csns->list + at,
	    (csns->count - at) * sizeof(csns->list[0]));
	csns->list[at] = csn;
	csns->count++;
	return true;
}

/* Takes the text up to the separator off the front; false: nothing is left. */
static bool next_part(struct span *rest, char separator, struct span *out)
{
	const char *end;

	if (rest->ptr == NULL) {
		return false;
	}
	end = rest->len ? memchr(rest->ptr, separator, rest->len) : NULL;
	*out = *rest;
	if (end == NULL) {
		*rest = (struct span){ NULL, 0 };
		return true;
	}
	out->len = (size_t)(end - rest->ptr);
	rest->len -= out->len + 1;
	rest->ptr = end + 1;
	return true;
}

static bool csns_parse(struct span text, struct csns *out)
{
	struct span part;
	struct csn csn;

	while (next_part(&text, ';', &part)) {
		if (!csn_parse(part, &csn) || !csns_set(out, csn)) {
			return false;
		}
	}
	return true;
}

static bool starts_with(struct span text, struct span prefix)
{
	return text.len >= prefix.len && memcmp(text.ptr, prefix.ptr, prefix.len) == 0;
}

static enum cookie_kind cookie_parse(struct span text, struct csns *out)
{
	static const struct span keys[] = { { "rid=", 4 }, { "sid=", 4 },
		{ "delcsn=", 7 } };
	static const struct span csn_key = { "csn=", 4 };
	struct span rest = text, part;
	bool has_csn = false;

	out->count = 0;
	if (text.len == 0) {
		return COOKIE_EMPTY;
	}
	if (text.len > COOKIE_MAX) {
		return COOKIE_BAD;
	}
	if (!starts_with(text, keys[0]) && !starts_with(text, keys[1]) &&
	    !starts_with(text, csn_key)) {
		return COOKIE_OPAQUE;
	}
	while (next_part(&rest, ',', &part)) {
		bool is_known = false;

		if (starts_with(part, csn_key)) {
			part.ptr += csn_key.len;
			part.len -= csn_key.len;
			if (!csns_parse(part, out)) {
				return COOKIE_BAD;
			}
			has_csn = true;
			continue;
		}
		for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
			is_known = is_known || starts_with(part, keys[i]);
		}
		if (!is_known) {
			return COOKIE_BAD;
		}
	}
	return has_csn ? COOKIE_CSN : COOKIE_NO_CSN;
}

static void cookie_print(struct buf *out, const struct csns *csns)
{
	buf_add_text(out, "rid=000,csn=");
	for (size_t i = 0; i < csns->count; i++) {
		if (i > 0) {
			buf_add_char(out, ';');
		}
		buf_add_span(out, csns->list[i].text);
	}
}

/* Lets `fresh` take the place of *ours; on lack of memory ours is marked as failed. */
static void cookie_swap(struct buf *ours, struct buf *fresh)
{
	buf_clear(ours);
	buf_add_span(ours, buf_span(fresh));
	ours->failed = ours->failed || fresh->failed;
	buf_release(fresh);
}

enum cookie_kind cookie_kind(struct span text)
{
	struct csns csns;

	return cookie_parse(text, &csns);
}

void cookie_replace(struct buf *ours, struct span theirs)
{
	struct csns csns;
	enum cookie_kind kind = cookie_parse(theirs, &csns);
	struct buf fresh;

	buf_init(&fresh);
	if (kind == COOKIE_CSN) {
		cookie_print(&fresh, &csns);
		cookie_swap(ours, &fresh);
	} else if (kind == COOKIE_OPAQUE) {
		buf_add_span(&fresh, theirs);
		cookie_swap(ours, &fresh);
	}
}

void cookie_merge(struct buf *ours, struct span theirs)
{
	struct csns old, new;
	struct buf fresh;

	if (cookie_parse(theirs, &new) != COOKIE_CSN ||
	    cookie_parse(buf_span(ours), &old) != COOKIE_CSN) {
		cookie_replace(ours, theirs);
		return;
	}
	for (size_t i = 0; i < new.count; i++) {
		if (!csns_set(&old, new.list[i])) {
			return;
		}
	}
	buf_init(&fresh);
	cookie_print(&fresh, &old);
	cookie_swap(ours, &fresh);
}

bool cookie_for_request(struct span stored, struct buf *out)
{
	struct csns csns;

	switch (cookie_parse(stored, &csns)) {
	case COOKIE_CSN: cookie_print(out, &csns); return !out->failed;
	case COOKIE_OPAQUE: buf_add_span(out, stored); return !out->failed;
	case COOKIE_EMPTY:
	case COOKIE_NO_CSN:
	case COOKIE_BAD: break;
	}
	return false;
}

bool cookie_add_csn(struct buf *cookie, struct span text)
{
	struct csn csn;
	struct buf one;

	if (!csn_parse(text, &csn)) {
		return false;
	}
	buf_init(&one);
	buf_add_text(&one, "csn=");
	buf_add_span(&one, text);
	cookie_merge(cookie, buf_span(&one));
	buf_release(&one);
	return !cookie->failed;
}

static bool csns_cover(const struct csns *csns, const struct csn *csn)
{
	for (size_t i = 0; i < csns->count; i++) {
		if (csns->list[i].sid == csn->sid) {
			/* The time decides, then the count in it: the text sorts so. */
			return memcmp(csns->list[i].text.ptr, csn->text.ptr,
				   CSN_LENGTH) >= 0;
		}
	}
	return false;
}

bool cookie_covers(struct span ours, struct span text)
{
	struct csns csns;
	struct csn csn;

	return csn_parse(text, &csn) && cookie_parse(ours, &csns) == COOKIE_CSN &&
	       csns_cover(&csns, &csn);
}

bool cookie_newest(struct span ours, struct span *out)
{
	struct csns csns;

	if (cookie_parse(ours, &csns) != COOKIE_CSN || csns.count == 0) {
		return false;
	}
	*out = csns.list[0].text;
	for (size_t i = 1; i < csns.count; i++) {
		if (span_compare(csns.list[i].text, *out) > 0) {
			*out = csns.list[i].text;
		}
	}
	return true;
}

bool cookie_covers_all(struct span ours, struct span theirs)
{
	struct csns mine, others;

	if (cookie_parse(ours, &mine) != COOKIE_CSN ||
	    cookie_parse(theirs, &others) != COOKIE_CSN) {
		return false;
	}
	for (size_t i = 0; i < others.count; i++) {
		if (!csns_cover(&mine, &others.list[i])) {
			return false;
		}
	}
	return true;
}
