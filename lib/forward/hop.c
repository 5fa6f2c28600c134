#include "config.h"

#include "forward/hop.h"

#include <inttypes.h>
#include <string.h>

#include "forward/fields.h"

#define TAG "HOP0="

enum {
	MAC_SIZE = 24,
	DAY_S = 24 * 60 * 60,
	DAY_DIGITS_MAX = 9,
};

static const struct fields_digest mac_kind = {
	.digest = SECRET_SHA256,
	.purpose = { "coexist hop\n", 12 },
	.alphabet = "0123456789abcdef",
	.bits = 4,
	.least = MAC_SIZE,
	.most = MAC_SIZE,
};

bool hop_is_tagged(const struct address *address)
{
	return address_is_smtp(address) &&
	       span_starts_with_case(address_local(address), SPAN(TAG));
}

enum status hop_wrap(const struct secrets *secrets, const struct address *target,
    struct span domain, int64_t now_s, struct address *out)
{
	char memory[ADDRESS_LOCAL_MAX + 1], whole[ADDRESS_LOCAL_MAX + 1], mac[MAC_SIZE];
	struct buf text, local;

	if (!address_is_smtp(target) || target->domain_len == 0) {
		return CX_EINVAL;
	}
	buf_init_fixed(&text, memory, sizeof(memory));
	buf_printf(&text, "%" PRId64 "=", now_s / DAY_S);
	buf_add(&text, target->domain, target->domain_len);
	buf_add_char(&text, '=');
	buf_add_span(&text, address_local(target));
	if (text.failed) {
		return CX_ETOOLONG;
	}
	const struct span signed_text = buf_span(&text);
	enum status status =
	    fields_sign(secrets, &mac_kind, &signed_text, 1, mac, sizeof(mac));

	if (status != CX_OK) {
		return status;
	}
	buf_init_fixed(&local, whole, sizeof(whole));
	buf_add_text(&local, TAG);
	buf_add(&local, mac, MAC_SIZE);
	buf_add_char(&local, '=');
	buf_add_span(&local, buf_span(&text));
	return local.failed ? CX_ETOOLONG
			    : address_make("smtp", buf_span(&local), domain, out);
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
	struct span rest = address_local(address), text, mac, day, domain;
	enum status status;

	if (!hop_is_tagged(address)) {
		return CX_NOTFOUND;
	}
	rest.ptr += strlen(TAG);
	rest.len -= strlen(TAG);
	if (!fields_take(&rest, &mac)) {
		return CX_EINVAL;
	}
	text = rest;
	if (!fields_take(&rest, &day) || !fields_take(&rest, &domain) ||
	    rest.len == 0) {
		return CX_EINVAL;
	}
	status = fields_verify(secrets, &mac_kind, &text, 1, mac);
	if (status != CX_OK) {
		return status;
	}
	return is_young(day, now_s) ? address_make("smtp", rest, domain, out)
				    : CX_EINVAL;
}
