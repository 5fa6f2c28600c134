#include "config.h"

#include "value/dn.h"

#include <errno.h>
#include <ldap.h>
#include <stdlib.h>
#include <string.h>

#include "value/address_key.h"
#include "value/dn_plain.h"
#include "value/utf8.h"

/* In lower case. */
static const struct {
	struct span name;
	const char *canonical;
} type_names[] = {
	{ { "2.5.4.3", sizeof("2.5.4.3") - 1 }, "cn" },
	{ { "commonname", sizeof("commonname") - 1 }, "cn" },
	{ { "2.5.4.4", sizeof("2.5.4.4") - 1 }, "sn" },
	{ { "surname", sizeof("surname") - 1 }, "sn" },
	{ { "2.5.4.5", sizeof("2.5.4.5") - 1 }, "serialnumber" },
	{ { "2.5.4.6", sizeof("2.5.4.6") - 1 }, "c" },
	{ { "countryname", sizeof("countryname") - 1 }, "c" },
	{ { "2.5.4.7", sizeof("2.5.4.7") - 1 }, "l" },
	{ { "localityname", sizeof("localityname") - 1 }, "l" },
	{ { "2.5.4.8", sizeof("2.5.4.8") - 1 }, "st" },
	{ { "stateorprovincename", sizeof("stateorprovincename") - 1 }, "st" },
	{ { "2.5.4.9", sizeof("2.5.4.9") - 1 }, "street" },
	{ { "streetaddress", sizeof("streetaddress") - 1 }, "street" },
	{ { "2.5.4.10", sizeof("2.5.4.10") - 1 }, "o" },
	{ { "organizationname", sizeof("organizationname") - 1 }, "o" },
	{ { "2.5.4.11", sizeof("2.5.4.11") - 1 }, "ou" },
	{ { "organizationalunitname", sizeof("organizationalunitname") - 1 }, "ou" },
	{ { "2.5.4.12", sizeof("2.5.4.12") - 1 }, "title" },
	{ { "2.5.4.42", sizeof("2.5.4.42") - 1 }, "givenname" },
	{ { "gn", sizeof("gn") - 1 }, "givenname" },
	{ { "2.5.4.46", sizeof("2.5.4.46") - 1 }, "dnqualifier" },
	{ { "0.9.2342.19200300.100.1.1", sizeof("0.9.2342.19200300.100.1.1") - 1 }, "uid" },
	{ { "userid", sizeof("userid") - 1 }, "uid" },
	{ { "0.9.2342.19200300.100.1.3", sizeof("0.9.2342.19200300.100.1.3") - 1 }, "mail" },
	{ { "rfc822mailbox", sizeof("rfc822mailbox") - 1 }, "mail" },
	{ { "0.9.2342.19200300.100.1.25", sizeof("0.9.2342.19200300.100.1.25") - 1 }, "dc" },
	{ { "domaincomponent", sizeof("domaincomponent") - 1 }, "dc" },
	{ { "0.9.2342.19200300.100.1.37", sizeof("0.9.2342.19200300.100.1.37") - 1 }, "associateddomain" },
};

/* The parsed name; *out is to be freed by ldap_dnfree(). */
static enum status parse(struct span text, LDAPDN *out)
{
	struct berval value;
	char *copy;
	int result;
	bool is_short;

	if (text.len > DN_LEN_MAX) {
		return CX_ETOOLONG;
	}
	if (text.len == 0 || memchr(text.ptr, '\0', text.len) != NULL) {
		return CX_EINVAL;
	}
	copy = malloc(text.len + 1);
	if (copy == NULL) {
		return CX_ENOMEM;
	}
	memcpy(copy, text.ptr, text.len);
	copy[text.len] = '\0';
	value = (struct berval){ text.len, copy };
	*out = NULL;
	errno = 0;
	result = ldap_bv2dn(&value, out, LDAP_DN_FORMAT_LDAP);
	/* libldap says in places that the name is wrong where memory was wanting. */
	is_short = result == LDAP_NO_MEMORY || (result != LDAP_SUCCESS && errno == ENOMEM);
	free(copy);
	if (is_short) {
		ldap_dnfree(*out);
		return CX_ENOMEM;
	}
	/* Blanks alone are the empty name, which is that of no entry. */
	if (result == LDAP_SUCCESS && *out != NULL && (*out)[0] != NULL) {
		return CX_OK;
	}
	ldap_dnfree(*out);
	return CX_EINVAL;
}

const char *dn_type_canonical(struct span type)
{
	for (size_t i = 0; i < sizeof(type_names) / sizeof(type_names[0]); i++) {
		if (span_equal(type, type_names[i].name)) {
			return type_names[i].canonical;
		}
	}
	return NULL;
}

static void add_type(struct buf *out, struct berval type)
{
	const char *canonical;

	buf_add(out, type.bv_val, type.bv_len);
	for (size_t i = 0; i < out->len; i++) {
		char c = out->data[i];

		out->data[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
	}
	canonical = dn_type_canonical(buf_span(out));
	if (canonical) {
		buf_clear(out);
		buf_add_text(out, canonical);
	}
}

/* Without blanks at the ends, one for each run of them within. */
static void add_collapsed(struct buf *out, struct span text)
{
	for (size_t i = 0; i < text.len; i++) {
		bool is_repeated = text.ptr[i] == ' ' && (i == 0 || text.ptr[i - 1] == ' ');

		if (!is_repeated) {
			buf_add_char(out, text.ptr[i]);
		}
	}
	if (text.len > 0 && text.ptr[text.len - 1] == ' ' && out->len > 0 &&
	    out->data[out->len - 1] == ' ') {
		out->data[--out->len] = '\0';
	}
}

/* A binary value ("#0402...") is compared byte by byte. */
static enum status add_value(struct buf *out, const LDAPAVA *ava)
{
	struct span value = { ava->la_value.bv_val, ava->la_value.bv_len };
	struct buf folded;
	enum status status;

	if ((ava->la_flags & LDAP_AVA_BINARY) != 0) {
		buf_add_span(out, value);
		return CX_OK;
	}
	buf_init(&folded);
	status = utf8_fold_compatible(value, &folded);
	if (status == CX_OK && folded.failed) {
		status = CX_ENOMEM;
	}
	if (status == CX_OK) {
		add_collapsed(out, buf_span(&folded));
	}
	buf_release(&folded);
	return status;
}

/* One attribute and value in canonical form, printed by libldap for its escapes. */
static enum status print_ava(const LDAPAVA *ava, char **out)
{
	struct buf type, value;
	enum status status;

	buf_init(&type);
	buf_init(&value);
	add_type(&type, ava->la_attr);
	status = add_value(&value, ava);
	if (type.failed || value.failed) {
		status = CX_ENOMEM;
	}
	if (status == CX_OK) {
		LDAPAVA canonical = { .la_attr = { type.len, type.data },
			.la_value = { value.len, value.data },
			.la_flags = ava->la_flags };
		LDAPAVA *avas[] = { &canonical, NULL };

		errno = 0;
		switch (ldap_rdn2str(avas, out, LDAP_DN_FORMAT_LDAPV3)) {
		case LDAP_SUCCESS: break;
		case LDAP_NO_MEMORY: status = CX_ENOMEM; break;
		default: status = errno == ENOMEM ? CX_ENOMEM : CX_EINVAL; break;
		}
	}
	buf_release(&value);
	buf_release(&type);
	return status;
}

static int compare_texts(const void *a, const void *b)
{
	char *const *first = a, *const *second = b;

	return strcmp(*first, *second);
}

static enum status add_rdn(struct buf *out, LDAPRDN rdn)
{
	size_t count = 0, done = 0;
	char **texts;
	enum status status = CX_OK;

	while (rdn[count] != NULL) {
		count++;
	}
	texts = calloc(count, sizeof(*texts));
	if (texts == NULL) {
		return CX_ENOMEM;
	}
	while (status == CX_OK && done < count) {
		status = print_ava(rdn[done], &texts[done]);
		done += status == CX_OK;
	}
	if (status == CX_OK) {
		qsort(texts, count, sizeof(*texts), compare_texts);
	}
	for (size_t i = 0; i < done; i++) {
		if (i > 0) {
			buf_add_char(out, '+');
		}
		buf_add_text(out, texts[i]);
		ldap_memfree(texts[i]);
	}
	free(texts);
	return status;
}

enum status dn_parsed_key(struct span dn, struct key *out)
{
	LDAPDN parsed;
	struct buf text;
	enum status status = parse(dn, &parsed);

	if (status != CX_OK) {
		return status;
	}
	buf_init(&text);
	for (size_t i = 0; status == CX_OK && parsed[i] != NULL; i++) {
		if (i > 0) {
			buf_add_char(&text, ',');
		}
		status = add_rdn(&text, parsed[i]);
	}
	if (status == CX_OK && text.failed) {
		status = CX_ENOMEM;
	}
	if (status == CX_OK) {
		struct span part = buf_span(&text);

		key_of_parts("dn", &part, 1, out);
	}
	buf_release(&text);
	ldap_dnfree(parsed);
	return status;
}

enum status dn_key(struct span dn, struct key *out)
{
	return dn_plain_key(dn, out) ? CX_OK : dn_parsed_key(dn, out);
}

enum status dn_parsed_rdn_value(struct span dn, struct buf *out)
{
	LDAPDN parsed;
	enum status status = parse(dn, &parsed);

	if (status != CX_OK) {
		return status;
	}
	buf_add(out, parsed[0][0]->la_value.bv_val, parsed[0][0]->la_value.bv_len);
	ldap_dnfree(parsed);
	return CX_OK;
}

enum status dn_rdn_value(struct span dn, struct buf *out)
{
	struct span value;

	if (dn_plain_rdn_value(dn, &value)) {
		buf_add_span(out, value);
		return CX_OK;
	}
	return dn_parsed_rdn_value(dn, out);
}
