/*
 * What an LDAP server says of a synchronisation: control values and cookies. The first byte
 * says which. No length is believed, what is read lies within the input, and a cookie that
 * we would store is one that we would read again just so.
 */
#include "config.h"

#include "fuzz.h"
#include "syncd/cookie.h"
#include "syncd/sync_wire.h"

static void check_within(struct span outer, struct span inner)
{
	FUZZ_CHECK(inner.len == 0 ||
		   (inner.ptr >= outer.ptr &&
		       inner.ptr + inner.len <= outer.ptr + outer.len));
}

static void try_info(struct span value)
{
	struct sync_info info;
	const uint8_t *uuid;

	if (sync_info_parse(value, &info) != CX_OK) {
		return;
	}
	check_within(value, info.cookie);
	while (sync_info_next(&info, &uuid)) {
		check_within(value, (struct span){ (const char *)uuid, SYNC_UUID_SIZE });
	}
}

static void try_cookie(struct span text)
{
	struct buf stored, sent, again;

	buf_init(&stored);
	buf_init(&sent);
	buf_init(&again);
	cookie_merge(&stored, text);
	if (cookie_for_request(buf_span(&stored), &sent)) {
		FUZZ_CHECK(cookie_for_request(buf_span(&sent), &again));
		FUZZ_CHECK(span_equal(buf_span(&sent), buf_span(&again)));
		cookie_merge(&stored, buf_span(&sent));
		FUZZ_CHECK(span_equal(buf_span(&sent), buf_span(&stored)));
	}
	if (cookie_kind(text) == COOKIE_CSN) {
		FUZZ_CHECK(cookie_covers_all(buf_span(&stored), text));
	}
	buf_release(&stored);
	buf_release(&sent);
	buf_release(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span value;
	struct sync_state state;
	struct sync_done done;
	uint8_t uuid[SYNC_UUID_SIZE];

	if (size == 0) {
		return 0;
	}
	value = (struct span){ (const char *)data + 1, size - 1 };
	switch (data[0]) {
	case 's':
		if (sync_state_parse(value, &state) == CX_OK) {
			check_within(value, state.cookie);
		}
		break;
	case 'd':
		if (sync_done_parse(value, &done) == CX_OK) {
			check_within(value, done.cookie);
		}
		break;
	case 'i': try_info(value); break;
	case 'c': try_cookie(value); break;
	case 'u': sync_uuid_parse(value, uuid); break;
	default: break;
	}
	return 0;
}
