#include "config.h"

#include "forward/fields.h"

#include <string.h>

#include "value/address.h"

enum {
	/* A local part, a domain and a day. */
	SIGNED_MAX = ADDRESS_VALUE_MAX + ADDRESS_DOMAIN_MAX + 16,
};

bool fields_take(struct span *rest, struct span *out)
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

/* The value of so many bits, the most significant first, as base64 has them. */
static unsigned take_bits(const unsigned char *bytes, size_t first, unsigned count)
{
	unsigned pair = (unsigned)bytes[first / 8] << 8 | bytes[first / 8 + 1];

	return pair >> (16 - first % 8 - count) & ((1U << count) - 1);
}

static bool make(const struct secrets *secrets, size_t index,
    const struct fields_digest *kind, const struct span *parts, size_t part_count,
    char *out, size_t len)
{
	unsigned char mac[SECRET_MAC_SIZE + 1] = { 0 };
	char text[SIGNED_MAX];
	struct span all[] = { kind->purpose, { text, 0 } };

	for (size_t i = 0; i < part_count; i++) {
		if (parts[i].len > sizeof(text) - all[1].len) {
			return false;
		}
		for (size_t j = 0; j < parts[i].len; j++) {
			text[all[1].len++] = ascii_lower(parts[i].ptr[j]);
		}
	}
	if (secrets_mac(secrets, index, kind->digest, all, 2, mac) == 0) {
		return false;
	}
	for (size_t i = 0; i < len; i++) {
		out[i] = kind->alphabet[take_bits(mac, i * kind->bits, kind->bits)];
	}
	return true;
}

enum status fields_sign(const struct secrets *secrets, const struct fields_digest *kind,
    const struct span *parts, size_t part_count, char *out, size_t len)
{
	return make(secrets, 0, kind, parts, part_count, out, len) ? CX_OK : CX_ETEMP;
}

enum status fields_verify(const struct secrets *secrets,
    const struct fields_digest *kind, const struct span *parts, size_t part_count,
    struct span given)
{
	char expected[FIELDS_DIGEST_MAX];

	if (given.len < kind->least || given.len > kind->most) {
		return CX_EINVAL;
	}
	for (size_t i = 0; i < secrets->count; i++) {
		unsigned difference = 0;

		if (!make(secrets, i, kind, parts, part_count, expected, given.len)) {
			return CX_ETEMP;
		}
		for (size_t j = 0; j < given.len; j++) {
			difference |= (unsigned char)(ascii_lower(expected[j]) ^
						      ascii_lower(given.ptr[j]));
		}
		if (difference == 0) {
			return CX_OK;
		}
	}
	return secrets->count ? CX_EINVAL : CX_ETEMP;
}
