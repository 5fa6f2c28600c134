#include "config.h"

#include "syncd/sync_wire.h"

#include <lber.h>
#include <ldap.h>
#include <stdio.h>
#include <string.h>

/*
 * BER as LDAP restricts it (RFC 4511, section 5.1): lengths are definite. By hand, because
 * liblber writes NULs into what it reads, also one byte behind its end.
 */
#define TAG_SEQUENCE 0x30
#define TAG_SET      0x31
/* An element over 16 MB is none that we would have received. */
#define LENGTH_BYTES_MAX 3

struct reader {
	const uint8_t *at, *end;
};

static struct reader reader_of(struct span value)
{
	const uint8_t *start = (const uint8_t *)value.ptr;

	return (struct reader){ start, value.len ? start + value.len : start };
}

static bool is_at_end(const struct reader *r)
{
	return r->at == r->end;
}

static bool is_next(const struct reader *r, ber_tag_t tag)
{
	return !is_at_end(r) && *r->at == tag;
}

/* The contents of the next element, if it is of this tag and lies within. */
static bool take(struct reader *r, ber_tag_t tag, struct span *out)
{
	const uint8_t *at = r->at;
	size_t len, bytes;

	if (r->end - at < 2 || *at != tag) {
		return false;
	}
	len = at[1];
	at += 2;
	if (len > 0x7f) {
		bytes = len & 0x7f;
		if (bytes == 0 || bytes > LENGTH_BYTES_MAX ||
		    (size_t)(r->end - at) < bytes) {
			return false;
		}
		for (len = 0; bytes > 0; bytes--) {
			len = len << 8 | *at++;
		}
	}
	if ((size_t)(r->end - at) < len) {
		return false;
	}
	*out = (struct span){ (const char *)at, len };
	r->at = at + len;
	return true;
}

/* Goes into the one element that the value consists of. */
static bool enter(struct reader *r, ber_tag_t tag)
{
	struct span contents;

	if (!take(r, tag, &contents) || !is_at_end(r)) {
		return false;
	}
	*r = reader_of(contents);
	return true;
}

/* OPTIONAL cookie. False: damaged. */
static bool get_cookie(struct reader *r, bool *has, struct span *out)
{
	*out = (struct span){ NULL, 0 };
	*has = is_next(r, LBER_OCTETSTRING);
	return !*has || take(r, LBER_OCTETSTRING, out);
}

/* BOOLEAN with a DEFAULT. False: damaged. */
static bool get_flag(struct reader *r, bool *flag)
{
	struct span value;

	if (!is_next(r, LBER_BOOLEAN)) {
		return true;
	}
	if (!take(r, LBER_BOOLEAN, &value) || value.len != 1) {
		return false;
	}
	*flag = value.ptr[0] != 0;
	return true;
}

static bool get_state(struct reader *r, enum sync_entry_state *out)
{
	struct span value;

	if (!take(r, LBER_ENUMERATED, &value) || value.len != 1 ||
	    (uint8_t)value.ptr[0] > SYNC_ENTRY_DELETE) {
		return false;
	}
	*out = (enum sync_entry_state)value.ptr[0];
	return true;
}

static bool get_uuid(struct reader *r, const uint8_t **out)
{
	struct span value;

	if (!take(r, LBER_OCTETSTRING, &value) || value.len != SYNC_UUID_SIZE) {
		return false;
	}
	*out = (const uint8_t *)value.ptr;
	return true;
}

enum status sync_state_parse(struct span value, struct sync_state *out)
{
	struct reader r = reader_of(value);
	const uint8_t *uuid;

	if (!enter(&r, TAG_SEQUENCE) || !get_state(&r, &out->state) ||
	    !get_uuid(&r, &uuid) || !get_cookie(&r, &out->has_cookie, &out->cookie) ||
	    !is_at_end(&r)) {
		return CX_EINVAL;
	}
	memcpy(out->uuid, uuid, SYNC_UUID_SIZE);
	return CX_OK;
}

/* The body of a refreshDelete, a refreshPresent. */
static bool get_refresh(struct reader *r, enum sync_info_kind kind,
    struct sync_info *out)
{
	out->kind = kind;
	out->is_done = true;
	return get_cookie(r, &out->has_cookie, &out->cookie) &&
	       get_flag(r, &out->is_done) && is_at_end(r);
}

static bool uuids_are_good(struct span uuids)
{
	struct reader r = reader_of(uuids);
	const uint8_t *uuid;

	while (!is_at_end(&r)) {
		if (!get_uuid(&r, &uuid)) {
			return false;
		}
	}
	return true;
}

static bool get_set(struct reader *r, struct sync_info *out)
{
	out->kind = SYNC_INFO_ID_SET;
	return get_cookie(r, &out->has_cookie, &out->cookie) &&
	       get_flag(r, &out->are_deleted) && take(r, TAG_SET, &out->uuids) &&
	       is_at_end(r) && uuids_are_good(out->uuids);
}

static bool get_info(struct reader *r, struct sync_info *out)
{
	if (is_next(r, LDAP_TAG_SYNC_NEW_COOKIE)) {
		out->kind = SYNC_INFO_NEW_COOKIE;
		out->has_cookie = true;
		return take(r, LDAP_TAG_SYNC_NEW_COOKIE, &out->cookie) && is_at_end(r);
	}
	if (is_next(r, LDAP_TAG_SYNC_REFRESH_DELETE)) {
		return enter(r, LDAP_TAG_SYNC_REFRESH_DELETE) &&
		       get_refresh(r, SYNC_INFO_REFRESH_DELETE, out);
	}
	if (is_next(r, LDAP_TAG_SYNC_REFRESH_PRESENT)) {
		return enter(r, LDAP_TAG_SYNC_REFRESH_PRESENT) &&
		       get_refresh(r, SYNC_INFO_REFRESH_PRESENT, out);
	}
	return enter(r, LDAP_TAG_SYNC_ID_SET) && get_set(r, out);
}

enum status sync_info_parse(struct span value, struct sync_info *out)
{
	struct reader r = reader_of(value);

	memset(out, 0, sizeof(*out));
	return get_info(&r, out) ? CX_OK : CX_EINVAL;
}

bool sync_info_next(struct sync_info *info, const uint8_t **uuid)
{
	struct reader r = reader_of(info->uuids);

	if (!get_uuid(&r, uuid)) {
		return false;
	}
	info->uuids = (struct span){ (const char *)r.at, (size_t)(r.end - r.at) };
	return true;
}

enum status sync_done_parse(struct span value, struct sync_done *out)
{
	struct reader r = reader_of(value);

	out->is_delete_phase = false;
	return enter(&r, TAG_SEQUENCE) &&
		       get_cookie(&r, &out->has_cookie, &out->cookie) &&
		       get_flag(&r, &out->is_delete_phase) && is_at_end(&r)
		   ? CX_OK
		   : CX_EINVAL;
}

enum status sync_request_print(struct span cookie, struct buf *out)
{
	BerElement *ber = ber_alloc_t(LBER_USE_DER);
	struct berval bv = { cookie.len, (char *)(uintptr_t)cookie.ptr };
	struct berval value;
	bool is_good;

	if (ber == NULL) {
		return CX_ENOMEM;
	}
	/* mode, cookie, reloadHint FALSE (left out: it is the default). */
	is_good =
	    (cookie.len > 0
		    ? ber_printf(ber, "{eO}", LDAP_SYNC_REFRESH_AND_PERSIST, &bv)
		    : ber_printf(ber, "{e}", LDAP_SYNC_REFRESH_AND_PERSIST)) >= 0 &&
	    ber_flatten2(ber, &value, 0) == 0;
	if (is_good) {
		buf_add(out, value.bv_val, value.bv_len);
	}
	ber_free(ber, 1);
	return is_good && !out->failed ? CX_OK : CX_ENOMEM;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9') {
		return c - '0';
	}
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A dash stands before these bytes. */
static bool has_dash(size_t byte)
{
	return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

bool sync_uuid_parse(struct span text, uint8_t out[SYNC_UUID_SIZE])
{
	size_t at = 0;

	if (text.len != SYNC_UUID_TEXT - 1) {
		return false;
	}
	for (size_t i = 0; i < SYNC_UUID_SIZE; i++) {
		int high, low;

		if (has_dash(i) && text.ptr[at++] != '-') {
			return false;
		}
		high = hex_value(text.ptr[at++]);
		low = hex_value(text.ptr[at++]);
		if (high < 0 || low < 0) {
			return false;
		}
		out[i] = (uint8_t)(high * 16 + low);
	}
	return true;
}

void sync_uuid_print(const uint8_t uuid[SYNC_UUID_SIZE], char out[SYNC_UUID_TEXT])
{
	size_t at = 0;

	for (size_t i = 0; i < SYNC_UUID_SIZE; i++) {
		at += (size_t)snprintf(out + at, SYNC_UUID_TEXT - at,
		    has_dash(i) ? "-%02x" : "%02x", uuid[i]);
	}
}
