#include "config.h"

#include "forward/hop.h"

#include <inttypes.h>
#include <string.h>

#define TAG "HOP0="

enum {
	MAC_BYTES = 12,
	MAC_SIZE = 2 * MAC_BYTES,
	DAY_S = 24 * 60 * 60,
	DAY_DIGITS_MAX = 9,
	/* The part that is signed: what an address holds behind the tag. */
	SIGNED_MAX = ADDRESS_LOCAL_MAX,
};

static struct span local_of(const struct address *address)
{
	return (struct span){ address->local, address->local_len };
}

bool hop_is_tagged(const struct address *address)
{
	return address_is_smtp(address) &&
	       span_starts_with_case(local_of(address), SPAN(TAG));
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* False: longer than addresses are, or there is no digest. */
static bool make_mac(const struct secrets *secrets, size_t index, struct span text,
    char out[MAC_SIZE])
{
	static const char hex[] = "0123456789abcdef";
	unsigned char mac[SECRET_MAC_SIZE];
	char folded[SIGNED_MAX];
	/* What is signed for another purpose is not valid here. */
	struct span parts[] = { SPAN("coexist hop\n"), { folded, text.len } };

	if (text.len > sizeof(folded)) {
		return false;
	}
	for (size_t i = 0; i < text.len; i++) {
		folded[i] = lower(text.ptr[i]);
	}
	if (secrets_mac(secrets, index, SECRET_SHA256, parts, 2, mac) < MAC_BYTES) {
		return false;
	}
	for (size_t i = 0; i < MAC_BYTES; i++) {
		out[2 * i] = hex[mac[i] >> 4];
		out[2 * i + 1] = hex[mac[i] & 15];
	}
	return true;
}

static enum status check_mac(const struct secrets *secrets, struct span mac,
    struct span text)
{
	char expected[MAC_SIZE];

	if (mac.len != MAC_SIZE) {
		return CX_EINVAL;
	}
	for (size_t i = 0; i < secrets->count; i++) {
		unsigned difference = 0;

		if (!make_mac(secrets, i, text, expected)) {
			return CX_ETEMP;
		}
		for (size_t j = 0; j < MAC_SIZE; j++) {
			difference |= (unsigned char)(expected[j] ^ lower(mac.ptr[j]));
		}
		if (difference == 0) {
			return CX_OK;
		}
	}
	return secrets->count ? CX_EINVAL : CX_ETEMP;
}

enum status hop_wrap(const struct secrets *secrets, const struct address *target,
    struct span domain, int64_t now_s, struct address *out)
{
	char memory[SIGNED_MAX + 1], whole[ADDRESS_LOCAL_MAX + 1], mac[MAC_SIZE];
	struct buf text, local;

	if (!address_is_smtp(target) || target->domain_len == 0) {
		return CX_EINVAL;
	}
	buf_init_fixed(&text, memory, sizeof(memory));
	buf_printf(&text, "%" PRId64 "=", now_s / DAY_S);
	buf_add(&text, target->domain, target->domain_len);
	buf_add_char(&text, '=');
	buf_add_span(&text, local_of(target));
	if (text.failed) {
		return CX_ETOOLONG;
	}
	if (!make_mac(secrets, 0, buf_span(&text), mac)) {
		return CX_ETEMP;
	}
	buf_init_fixed(&local, whole, sizeof(whole));
	buf_add_text(&local, TAG);
	buf_add(&local, mac, MAC_SIZE);
	buf_add_char(&local, '=');
	buf_add_span(&local, buf_span(&text));
	return local.failed ? CX_ETOOLONG
			    : address_make("smtp", buf_span(&local), domain, out);
}

/* What stands before the next "=" goes to `out`; false: there is none, or nothing before it. */
static bool take(struct span *rest, struct span *out)
{
	const char *end = rest->len ? memchr(rest->ptr, '=', rest->len) : NULL;

	if (!end || end == rest->ptr) {
		return false;
	}
	*out = (struct span){ rest->ptr, (size_t)(end - rest->ptr) };
	rest->len -= out->len + 1;
	rest->ptr = end + 1;
	return true;
}

static bool is_young(struct span text, int64_t now_s)
{
	int64_t day = 0;

	if (text.len > DAY_DIGITS_MAX) {
		return false;
	}
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] < '0' || text.ptr[i] > '9') {
			return false;
		}
		day = day * 10 + (text.ptr[i] - '0');
	}
	/* Of a clock that is ahead of ours at midnight it is tomorrow. */
	return day <= now_s / DAY_S + 1 && now_s / DAY_S - day <= HOP_MAX_AGE_S / DAY_S;
}

enum status hop_unwrap(const struct secrets *secrets, const struct address *address,
    int64_t now_s, struct address *out)
{
	struct span rest = local_of(address), text, mac, day, domain;
	enum status status;

	if (!hop_is_tagged(address)) {
		return CX_NOTFOUND;
	}
	rest.ptr += strlen(TAG);
	rest.len -= strlen(TAG);
	if (!take(&rest, &mac)) {
		return CX_EINVAL;
	}
	text = rest;
	if (!take(&rest, &day) || !take(&rest, &domain) || rest.len == 0) {
		return CX_EINVAL;
	}
	status = check_mac(secrets, mac, text);
	if (status != CX_OK) {
		return status;
	}
	return is_young(day, now_s) ? address_make("smtp", rest, domain, out)
				    : CX_EINVAL;
}
