#include "config.h"

#include "syncd/ldap_entry.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

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

static enum status add_attribute(struct ldap_entry *le, struct span name,
    const struct berval *values)
{
	const char *option = name.len ? memchr(name.ptr, ';', name.len) : NULL;
	size_t count = 0;
	void *grown;

	if (option != NULL) {
		struct span rest = { option, name.len - (size_t)(option - name.ptr) };

		le->is_partial =
		    le->is_partial || span_starts_with_case(rest, SPAN(";range="));
		return CX_OK;
	}
	while (values != NULL && values[count].bv_val != NULL) {
		count++;
	}
	grown = reserve(le->attributes, &le->attribute_room, le->entry.count, 1,
	    sizeof(le->attributes[0]));
	if (grown == NULL) {
		return CX_ENOMEM;
	}
	le->attributes = grown;
	grown = reserve(le->values, &le->value_room, le->value_count, count + 1,
	    sizeof(le->values[0]));
	if (grown == NULL) {
		return CX_ENOMEM;
	}
	le->values = grown;
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
		if (status != CX_OK) {
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
	le->value_count = 0;
	le->is_partial = false;
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

enum status ldap_entry_identity(const struct ldap_entry *le,
    uint8_t uuid[SYNC_UUID_SIZE])
{
	const struct attribute *a = entry_find(&le->entry, "entryUUID");

	if (a != NULL && a->count == 1 && sync_uuid_parse(a->values[0], uuid)) {
		return CX_OK;
	}
	a = entry_find(&le->entry, "objectGUID");
	if (a != NULL && a->count == 1 && a->values[0].len == SYNC_UUID_SIZE) {
		memcpy(uuid, a->values[0].ptr, SYNC_UUID_SIZE);
		return CX_OK;
	}
	return identity_of_dn(le->entry.dn, uuid);
}
