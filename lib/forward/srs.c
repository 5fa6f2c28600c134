#include "config.h"

#include "forward/srs.h"

#include <string.h>

#include "forward/fields.h"

enum {
	TAG_SIZE = 4,
	HASH_SIZE = 4,
	DAY_SIZE = 2,
	DAY_SLOTS = 1024,
	DAY_S = 24 * 60 * 60,
	PARTS_MAX = 3,
};

static const char base32[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/* Others may be told to write longer ones (postsrsd -n). */
static const struct fields_digest hash_kind = {
	.digest = SECRET_SHA1,
	.alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
	.bits = 6,
	.least = HASH_SIZE,
	.most = 27,
};

static bool is_separator(char c)
{
	return c == '=' || c == '-' || c == '+';
}

static bool has_tag(struct span local, const char *tag)
{
	return local.len > TAG_SIZE &&
	       span_starts_with_case(local, (struct span){ tag, TAG_SIZE }) &&
	       is_separator(local.ptr[TAG_SIZE]);
}

bool srs_is_tagged(const struct address *address)
{
	return address_is_smtp(address) && (has_tag(address_local(address), "SRS0") ||
					       has_tag(address_local(address), "SRS1"));
}

/* --- The day --- */

static void make_day(int64_t now_s, char out[DAY_SIZE])
{
	uint64_t day = (uint64_t)(now_s / DAY_S);

	out[0] = base32[day >> 5 & 31];
	out[1] = base32[day & 31];
}

static char upper(char c)
{
	return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

static bool is_young(struct span text, int64_t now_s, int64_t max_age_s)
{
	int64_t then = 0;

	if (text.len != DAY_SIZE) {
		return false;
	}
	for (size_t i = 0; i < DAY_SIZE; i++) {
		const char *at = memchr(base32, upper(text.ptr[i]), sizeof(base32) - 1);

		if (!at) {
			return false;
		}
		then = then << 5 | (at - base32);
	}
	int64_t age = (now_s / DAY_S % DAY_SLOTS - then + DAY_SLOTS) % DAY_SLOTS;

	/* Of a clock that is ahead of ours at midnight it is tomorrow. */
	return age == DAY_SLOTS - 1 || age <= max_age_s / DAY_S;
}

/* --- Both ways --- */

static void add_hash(struct buf *out, const char *tag, const char hash[HASH_SIZE])
{
	buf_add_text(out, tag);
	buf_add_char(out, '=');
	buf_add(out, hash, HASH_SIZE);
	buf_add_char(out, '=');
}

static enum status finish(const struct buf *local, struct span domain,
    struct address *out)
{
	return local->failed ? CX_ETOOLONG
			     : address_make("smtp", buf_span(local), domain, out);
}

/* "SRS1=hash=first=rest": `rest` is what the first one made, from its separator on. */
static enum status forward_later(const struct secrets *secrets, struct span first,
    struct span rest, struct span domain, struct address *out)
{
	const struct span parts[] = { first, rest };
	char memory[ADDRESS_LOCAL_MAX + 1], hash[HASH_SIZE];
	struct buf local;

	enum status status =
	    fields_sign(secrets, &hash_kind, parts, 2, hash, HASH_SIZE);

	if (status != CX_OK) {
		return status;
	}
	buf_init_fixed(&local, memory, sizeof(memory));
	add_hash(&local, "SRS1", hash);
	buf_add_span(&local, first);
	buf_add_char(&local, '=');
	buf_add_span(&local, rest);
	return finish(&local, domain, out);
}

static enum status forward_first(const struct secrets *secrets,
    const struct address *sender, struct span domain, int64_t now_s,
    struct address *out)
{
	char memory[ADDRESS_LOCAL_MAX + 1], hash[HASH_SIZE], day[DAY_SIZE];
	const struct span parts[PARTS_MAX] = {
		{ day, DAY_SIZE },
		{ sender->domain, sender->domain_len },
		address_local(sender),
	};
	struct buf local;

	make_day(now_s, day);
	enum status status =
	    fields_sign(secrets, &hash_kind, parts, PARTS_MAX, hash, HASH_SIZE);

	if (status != CX_OK) {
		return status;
	}
	buf_init_fixed(&local, memory, sizeof(memory));
	add_hash(&local, "SRS0", hash);
	for (size_t i = 0; i < PARTS_MAX; i++) {
		buf_add_text(&local, i ? "=" : "");
		buf_add_span(&local, parts[i]);
	}
	return finish(&local, domain, out);
}

/* The first forwarder and what it made, of an address of a later one. */
static bool split_later(struct span local, struct span *hash, struct span *first,
    struct span *rest)
{
	*rest = (struct span){ local.ptr + TAG_SIZE + 1, local.len - TAG_SIZE - 1 };
	return fields_take(rest, hash) && fields_take(rest, first) && rest->len > 1 &&
	       is_separator(rest->ptr[0]);
}

enum status srs_forward(const struct secrets *secrets, const struct address *sender,
    struct span domain, int64_t now_s, struct address *out)
{
	struct span local = address_local(sender), hash, first, rest;

	if (!address_is_smtp(sender) || sender->domain_len == 0) {
		return CX_EINVAL;
	}
	if (has_tag(local, "SRS1") && split_later(local, &hash, &first, &rest)) {
		return forward_later(secrets, first, rest, domain, out);
	}
	if (has_tag(local, "SRS0") && local.len > TAG_SIZE + 1) {
		rest = (struct span){ local.ptr + TAG_SIZE, local.len - TAG_SIZE };
		first = (struct span){ sender->domain, sender->domain_len };
		return forward_later(secrets, first, rest, domain, out);
	}
	return forward_first(secrets, sender, domain, now_s, out);
}

static enum status reverse_later(const struct secrets *secrets, struct span local,
    struct address *out)
{
	struct span hash, parts[2];
	char memory[ADDRESS_LOCAL_MAX + 1];
	struct buf first_local;

	if (!split_later(local, &hash, &parts[0], &parts[1])) {
		return CX_EINVAL;
	}
	enum status status = fields_verify(secrets, &hash_kind, parts, 2, hash);
	if (status != CX_OK) {
		return status;
	}
	buf_init_fixed(&first_local, memory, sizeof(memory));
	buf_add_text(&first_local, "SRS0");
	buf_add_span(&first_local, parts[1]);
	return finish(&first_local, parts[0], out);
}

enum status srs_reverse(const struct secrets *secrets, const struct address *address,
    int64_t now_s, int64_t max_age_s, struct address *out)
{
	struct span local = address_local(address), hash, parts[PARTS_MAX];

	if (!srs_is_tagged(address)) {
		return CX_NOTFOUND;
	}
	if (has_tag(local, "SRS1")) {
		return reverse_later(secrets, local, out);
	}
	parts[2] = (struct span){ local.ptr + TAG_SIZE + 1, local.len - TAG_SIZE - 1 };
	if (!fields_take(&parts[2], &hash) || !fields_take(&parts[2], &parts[0]) ||
	    !fields_take(&parts[2], &parts[1]) || parts[2].len == 0) {
		return CX_EINVAL;
	}
	enum status status = fields_verify(secrets, &hash_kind, parts, PARTS_MAX, hash);
	if (status != CX_OK) {
		return status;
	}
	if (!is_young(parts[0], now_s, max_age_s)) {
		return CX_EINVAL;
	}
	return address_make("smtp", parts[2], parts[1], out);
}
