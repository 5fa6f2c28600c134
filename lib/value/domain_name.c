#include "config.h"

#include "value/address.h"

#include <idn2.h>
#include <string.h>

#include "value/utf8.h"

#define LABEL_MAX 63 /* RFC 1035 */
/* Each octet of an A-label may have been a code point of up to 4 octets. */
#define DOMAIN_TEXT_MAX (4 * (ADDRESS_DOMAIN_MAX + 1))

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static enum status check_label(const char *label, size_t len)
{
	if (len == 0 || label[0] == '-' || label[len - 1] == '-') {
		return CX_EINVAL;
	}
	for (size_t i = 0; i < len; i++) {
		if (!is_alnum(label[i]) && label[i] != '-' && label[i] != '_') {
			return CX_EINVAL;
		}
	}
	return len <= LABEL_MAX ? CX_OK : CX_ETOOLONG;
}

/* As Postfix's valid_hostname: what is all digits would be an IP address. */
static enum status check_domain(const char *domain)
{
	if (domain[strspn(domain, "0123456789.")] == '\0') {
		return CX_EINVAL;
	}
	for (;;) {
		size_t len = strcspn(domain, ".");
		enum status status = check_label(domain, len);

		if (status != CX_OK || domain[len] == '\0') {
			return status;
		}
		domain += len + 1;
	}
}

static enum status finish(struct span text, char out[ADDRESS_DOMAIN_MAX + 1])
{
	if (text.len > 0 && text.ptr[text.len - 1] == '.') {
		text.len--;
	}
	if (text.len > ADDRESS_DOMAIN_MAX) {
		return CX_ETOOLONG;
	}
	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];

		if (c == '\0') {
			return CX_EINVAL;
		}
		out[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
	}
	out[text.len] = '\0';
	return check_domain(out);
}

static enum status idn_status(int code)
{
	switch (code) {
	case IDN2_OK: return CX_OK;
	case IDN2_MALLOC: return CX_ENOMEM;
	case IDN2_PUNYCODE_BIG_OUTPUT:
	case IDN2_TOO_BIG_DOMAIN:
	case IDN2_TOO_BIG_LABEL: return CX_ETOOLONG;
	default: return CX_EINVAL;
	}
}

static enum status to_a_labels(struct span text, char out[ADDRESS_DOMAIN_MAX + 1])
{
	char copy[DOMAIN_TEXT_MAX + 1];
	char *ascii = NULL;
	enum status status;

	if (text.len > DOMAIN_TEXT_MAX) {
		return CX_ETOOLONG;
	}
	if (memchr(text.ptr, '\0', text.len) != NULL || !utf8_is_valid(text)) {
		return CX_EINVAL;
	}
	memcpy(copy, text.ptr, text.len);
	copy[text.len] = '\0';
	status = idn_status(
	    idn2_to_ascii_8z(copy, &ascii, IDN2_NONTRANSITIONAL | IDN2_NFC_INPUT));
	if (status == CX_OK) {
		status = finish(span_of(ascii), out);
	}
	idn2_free(ascii);
	return status;
}

enum status domain_canonical(struct span text, char out[ADDRESS_DOMAIN_MAX + 1])
{
	return span_is_ascii(text) ? finish(text, out) : to_a_labels(text, out);
}
