#include "config.h"

#include "syncd/sync_wire.h"

#include <lber.h>
#include <ldap.h>
#include <stdio.h>
#include <string.h>

/* Reads from `value` without a copy; NULL: no memory. ber_free(ber, 0) when done. */
static BerElement *open_value(struct span value)
{
	BerElement *ber = ber_alloc_t(LBER_USE_DER);
	struct berval bv = { value.len, (char *)(uintptr_t)value.ptr };

	if (ber != NULL) {
		ber_init2(ber, &bv, LBER_USE_DER);
	}
	return ber;
}

/* The next element is of this tag. Nothing is taken. */
static bool is_next(BerElement *ber, ber_tag_t tag)
{
	ber_len_t len;

	return ber_peek_tag(ber, &len) == tag;
}

static bool is_at_end(BerElement *ber)
{
	ber_len_t left = 0;

	return ber_get_option(ber, LBER_OPT_BER_REMAINING_BYTES, &left) ==
		   LBER_OPT_SUCCESS &&
	       left == 0;
}

/* OPTIONAL cookie. False: damaged. */
static bool get_cookie(BerElement *ber, bool *has, struct span *out)
{
	struct berval bv;

	*has = false;
	*out = (struct span){ NULL, 0 };
	if (!is_next(ber, LBER_OCTETSTRING)) {
		return true;
	}
	if (ber_scanf(ber, "m", &bv) == LBER_ERROR) {
		return false;
	}
	*has = true;
	*out = (struct span){ bv.bv_val, bv.bv_len };
	return true;
}

/* BOOLEAN with a DEFAULT. False: damaged. (TRUE is read as -1.) */
static bool get_flag(BerElement *ber, bool *flag)
{
	ber_int_t number;

	if (!is_next(ber, LBER_BOOLEAN)) {
		return true;
	}
	if (ber_scanf(ber, "b", &number) == LBER_ERROR) {
		return false;
	}
	*flag = number != 0;
	return true;
}

static bool state_get(BerElement *ber, struct sync_state *out)
{
	ber_int_t state;
	struct berval uuid;

	if (ber_scanf(ber, "{em", &state, &uuid) == LBER_ERROR ||
	    state < SYNC_ENTRY_PRESENT || state > SYNC_ENTRY_DELETE ||
	    uuid.bv_len != SYNC_UUID_SIZE ||
	    !get_cookie(ber, &out->has_cookie, &out->cookie)) {
		return false;
	}
	out->state = (enum sync_entry_state)state;
	memcpy(out->uuid, uuid.bv_val, SYNC_UUID_SIZE);
	return is_at_end(ber);
}

enum status sync_state_parse(struct span value, struct sync_state *out)
{
	BerElement *ber = open_value(value);
	bool is_good;

	if (ber == NULL) {
		return CX_ENOMEM;
	}
	is_good = state_get(ber, out);
	ber_free(ber, 0);
	return is_good ? CX_OK : CX_EINVAL;
}

/* The body of a refreshDelete, a refreshPresent. */
static bool info_get_refresh(BerElement *ber, struct sync_info *out)
{
	out->is_done = true;
	return ber_scanf(ber, "{") != LBER_ERROR &&
	       get_cookie(ber, &out->has_cookie, &out->cookie) &&
	       get_flag(ber, &out->is_done) && is_at_end(ber);
}

static bool uuids_are_good(struct span uuids)
{
	while (uuids.len > 0) {
		if (uuids.len < 2 + SYNC_UUID_SIZE ||
		    uuids.ptr[0] != LBER_OCTETSTRING ||
		    uuids.ptr[1] != SYNC_UUID_SIZE) {
			return false;
		}
		uuids.ptr += 2 + SYNC_UUID_SIZE;
		uuids.len -= 2 + SYNC_UUID_SIZE;
	}
	return true;
}

static bool info_get_set(BerElement *ber, struct sync_info *out)
{
	struct berval set;

	if (ber_scanf(ber, "{") == LBER_ERROR ||
	    !get_cookie(ber, &out->has_cookie, &out->cookie) ||
	    !get_flag(ber, &out->are_deleted) || !is_next(ber, LBER_SET) ||
	    ber_skip_element(ber, &set) == LBER_ERROR || !is_at_end(ber)) {
		return false;
	}
	out->uuids = (struct span){ set.bv_val, set.bv_len };
	return uuids_are_good(out->uuids);
}

static bool info_get(BerElement *ber, struct sync_info *out)
{
	struct berval bv;
	ber_len_t len;

	switch (ber_peek_tag(ber, &len)) {
	case LDAP_TAG_SYNC_NEW_COOKIE:
		out->kind = SYNC_INFO_NEW_COOKIE;
		out->has_cookie = true;
		if (ber_scanf(ber, "m", &bv) == LBER_ERROR) {
			return false;
		}
		out->cookie = (struct span){ bv.bv_val, bv.bv_len };
		return is_at_end(ber);
	case LDAP_TAG_SYNC_REFRESH_DELETE:
		out->kind = SYNC_INFO_REFRESH_DELETE;
		return info_get_refresh(ber, out);
	case LDAP_TAG_SYNC_REFRESH_PRESENT:
		out->kind = SYNC_INFO_REFRESH_PRESENT;
		return info_get_refresh(ber, out);
	case LDAP_TAG_SYNC_ID_SET:
		out->kind = SYNC_INFO_ID_SET;
		return info_get_set(ber, out);
	default: return false;
	}
}

enum status sync_info_parse(struct span value, struct sync_info *out)
{
	BerElement *ber = open_value(value);
	bool is_good;

	if (ber == NULL) {
		return CX_ENOMEM;
	}
	memset(out, 0, sizeof(*out));
	is_good = info_get(ber, out);
	ber_free(ber, 0);
	return is_good ? CX_OK : CX_EINVAL;
}

bool sync_info_next(struct sync_info *info, const uint8_t **uuid)
{
	if (info->uuids.len < 2 + SYNC_UUID_SIZE) {
		return false;
	}
	*uuid = (const uint8_t *)info->uuids.ptr + 2;
	info->uuids.ptr += 2 + SYNC_UUID_SIZE;
	info->uuids.len -= 2 + SYNC_UUID_SIZE;
	return true;
}

enum status sync_done_parse(struct span value, struct sync_done *out)
{
	BerElement *ber = open_value(value);
	bool is_good;

	if (ber == NULL) {
		return CX_ENOMEM;
	}
	out->is_delete_phase = false;
	is_good = ber_scanf(ber, "{") != LBER_ERROR &&
		  get_cookie(ber, &out->has_cookie, &out->cookie) &&
		  get_flag(ber, &out->is_delete_phase) && is_at_end(ber);
	ber_free(ber, 0);
	return is_good ? CX_OK : CX_EINVAL;
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
