#include "config.h"

#include "syncd/ldap_entry.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "syncd/ldap_range.h"
#include "value/dn.h"

void ldap_entry_init(struct ldap_entry *le)
{
	memset(le, 0, sizeof(*le));
}

void ldap_entry_release(struct ldap_entry *le)
{
	if (le != NULL) {
		free(le->attributes);
		free(le->values);
		ldap_entry_init(le);
	}
}

/* Room for `more` further elements; the array may move. */
static void *reserve(void *array, size_t *room, size_t used, size_t more, size_t size)
{
	size_t wanted = *room ? *room : 32;
	void *grown;

	if (used + more <= *room) {
		return array;
	}
	while (wanted < used + more) {
		wanted *= 2;
	}
	grown = reallocarray(array, wanted, size);
	if (grown != NULL) {
		*room = wanted;
	}
	return grown;
}

/* Notes which part this is. False: no attribute of ours, or nonsense. */
static bool take_options(struct ldap_entry *le, struct span *name)
{
	struct range_part part;

	enum status status = range_parse(*name, &part);

	if (status == CX_NOTFOUND) {
		return memchr(name->ptr, ';', name->len) == NULL;
	}
	if (status != CX_OK) {
		/* Known to be incomplete, whatever it is. */
		le->is_partial = le->has_bad_range = true;
		return false;
	}
	*name = part.name;
	if (part.from == 0 && part.is_last) {
		return true;
	}
	le->is_partial = true;
	if (le->part_count == LDAP_ENTRY_PARTS_MAX) {
		le->has_bad_range = true;
		return false;
	}
	le->parts[le->part_count++] =
	    (struct ldap_part){ le->entry.count, part.from, part.to, part.is_last };
	return true;
}

static enum status make_room(struct ldap_entry *le, size_t count)
{
	void *grown = reserve(le->attributes, &le->attribute_room, le->entry.count, 1,
	    sizeof(le->attributes[0]));

	if (grown == NULL) {
		return CX_ENOMEM;
	}
	le->attributes = grown;
	grown = reserve(le->values, &le->value_room, le->value_count, count,
	    sizeof(le->values[0]));
	if (grown == NULL) {
		return CX_ENOMEM;
	}
	le->values = grown;
	return CX_OK;
}

static enum status add_attribute(struct ldap_entry *le, struct span name,
    const struct berval *values)
{
	size_t count = 0;

	while (values != NULL && values[count].bv_val != NULL) {
		le->bytes += values[count++].bv_len;
	}
	if (count == 0 || name.len == 0) {
		/* With a range of the same attribute Active Directory sends an empty one. */
		return CX_OK;
	}
	if (count > LDAP_ENTRY_VALUES_MAX - le->value_count ||
	    le->bytes > LDAP_ENTRY_BYTES_MAX) {
		le->is_too_large = true;
		return CX_OK;
	}
	if (!take_options(le, &name)) {
		return CX_OK;
	}
	if (make_room(le, count) != CX_OK) {
		return CX_ENOMEM;
	}
	for (size_t i = 0; i < count; i++) {
		le->values[le->value_count++] =
		    (struct span){ values[i].bv_val, values[i].bv_len };
	}
	/* `values` is set when the array no longer moves. */
	le->attributes[le->entry.count++] = (struct attribute){ name, NULL, count };
	return CX_OK;
}

static enum status load_attributes(struct ldap_entry *le, LDAP *ld,
    LDAPMessage *message, BerElement *ber)
{
	for (;;) {
		struct berval name, *values = NULL;
		enum status status;

		if (ldap_get_attribute_ber(ld, message, ber, &name, &values) !=
		    LDAP_SUCCESS) {
			ber_memfree(values);
			return CX_EINVAL;
		}
		if (name.bv_val == NULL) {
			return CX_OK;
		}
		status = add_attribute(le, (struct span){ name.bv_val, name.bv_len },
		    values);
		ber_memfree(values);
		if (status != CX_OK || le->is_too_large) {
			return status;
		}
	}
}

enum status ldap_entry_load(struct ldap_entry *le, LDAP *ld, LDAPMessage *message)
{
	BerElement *ber = NULL;
	struct berval dn;
	enum status status;
	size_t at = 0;

	le->entry = (struct entry){ { NULL, 0 }, NULL, 0 };
	le->value_count = le->bytes = le->part_count = 0;
	le->is_partial = le->is_too_large = le->has_bad_range = false;
	if (ldap_get_dn_ber(ld, message, &ber, &dn) != LDAP_SUCCESS) {
		ber_free(ber, 0);
		return CX_EINVAL;
	}
	le->entry.dn = (struct span){ dn.bv_val, dn.bv_len };
	status = load_attributes(le, ld, message, ber);
	ber_free(ber, 0);
	for (size_t i = 0; i < le->entry.count; i++) {
		le->attributes[i].values = le->values + at;
		at += le->attributes[i].count;
	}
	le->entry.attributes = le->attributes;
	return status;
}

static enum status identity_of_dn(struct span dn, uint8_t uuid[SYNC_UUID_SIZE])
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	struct key key;
	enum status status = dn_key(dn, &key);

	if (status != CX_OK) {
		return status;
	}
	if (EVP_Digest(key.bytes, key.len, digest, NULL, EVP_sha256(), NULL) != 1) {
		return CX_ENOMEM;
	}
	memcpy(uuid, digest, SYNC_UUID_SIZE);
	return CX_OK;
}

/* "9e6b5a81-1dd211b2-80c9ed52-d4a90000" */
static bool parse_unique_id(struct span text, uint8_t uuid[SYNC_UUID_SIZE])
{
	size_t digits = 0;

	if (text.len != 2 * SYNC_UUID_SIZE + 3) {
		return false;
	}
	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];
		int digit = c >= '0' && c <= '9'   ? c - '0'
			    : c >= 'a' && c <= 'f' ? c - 'a' + 10
			    : c >= 'A' && c <= 'F' ? c - 'A' + 10
						   : -1;

		if (i % 9 == 8) {
			if (c != '-') {
				return false;
			}
			continue;
		}
		if (digit < 0) {
			return false;
		}
		uuid[digits / 2] =
		    (uint8_t)(digits % 2 ? uuid[digits / 2] << 4 | digit : digit);
		digits++;
	}
	return true;
}

static enum status identify(const struct ldap_entry *le, uint8_t uuid[SYNC_UUID_SIZE],
    enum ldap_identity *kind)
{
	const struct attribute *a = entry_find(&le->entry, "entryUUID");

	*kind = LDAP_IDENTITY_ENTRY_UUID;
	if (a != NULL && a->count == 1 && sync_uuid_parse(a->values[0], uuid)) {
		return CX_OK;
	}
	*kind = LDAP_IDENTITY_OBJECT_GUID;
	a = entry_find(&le->entry, "objectGUID");
	if (a != NULL && a->count == 1 && a->values[0].len == SYNC_UUID_SIZE) {
		memcpy(uuid, a->values[0].ptr, SYNC_UUID_SIZE);
		return CX_OK;
	}
	*kind = LDAP_IDENTITY_NS_UNIQUE_ID;
	a = entry_find(&le->entry, "nsUniqueId");
	if (a != NULL && a->count == 1 && parse_unique_id(a->values[0], uuid)) {
		return CX_OK;
	}
	*kind = LDAP_IDENTITY_DN;
	return identity_of_dn(le->entry.dn, uuid);
}

enum status ldap_entry_identity(const struct ldap_entry *le,
    uint8_t uuid[SYNC_UUID_SIZE], enum ldap_identity *kind)
{
	enum ldap_identity found;

	return identify(le, uuid, kind != NULL ? kind : &found);
}

void ldap_identity_terms(struct buf *out, unsigned kinds,
    const uint8_t uuid[SYNC_UUID_SIZE])
{
	char text[SYNC_UUID_TEXT];

	if (kinds & LDAP_IDENTITY_ENTRY_UUID) {
		sync_uuid_print(uuid, text);
		buf_printf(out, "(entryUUID=%s)", text);
	}
	if (kinds & LDAP_IDENTITY_OBJECT_GUID) {
		buf_add_text(out, "(objectGUID=");
		for (size_t i = 0; i < SYNC_UUID_SIZE; i++) {
			buf_printf(out, "\\%02x", uuid[i]);
		}
		buf_add_char(out, ')');
	}
	if (kinds & LDAP_IDENTITY_NS_UNIQUE_ID) {
		buf_add_text(out, "(nsUniqueId=");
		for (size_t i = 0; i < SYNC_UUID_SIZE; i++) {
			buf_printf(out, "%s%02x", i > 0 && i % 4 == 0 ? "-" : "",
			    uuid[i]);
		}
		buf_add_char(out, ')');
	}
}

#define TEXT_OF(number)  TEXT_OF_(number)
#define TEXT_OF_(number) #number

const char *ldap_entry_too_large(void)
{
	_Static_assert(LDAP_ENTRY_BYTES_MAX == 32 * 1024 * 1024, "the text says 32 MB");
	return "more than " TEXT_OF(LDAP_ENTRY_VALUES_MAX) " values, or 32 MB of them";
}
