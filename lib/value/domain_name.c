#include "config.h"

#include "value/address.h"

#include <idn2.h>
#include <stdlib.h>
#include <string.h>
#include <unicase.h>

#include "value/utf8.h"

#define LABEL_MAX 63 /* RFC 1035 */
/* Each octet of an A-label may have been a code point of up to 4 octets, and that two of them. */
#define LABEL_TEXT_MAX (8 * LABEL_MAX)

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

/* One label beyond ASCII, appended to `out`. */
static enum status add_a_label(struct span label, struct buf *out)
{
	char copy[LABEL_TEXT_MAX + 1];
	char *ascii = NULL;
	enum status status;

	if (label.len > LABEL_TEXT_MAX) {
		return CX_ETOOLONG;
	}
	memcpy(copy, label.ptr, label.len);
	copy[label.len] = '\0';
	status = idn_status(
	    idn2_to_ascii_8z(copy, &ascii, IDN2_NONTRANSITIONAL | IDN2_NFC_INPUT));
	/* Compatibility mapping makes dots of U+3002 and the like: no label has any. */
	if (status == CX_OK && strchr(ascii, '.') != NULL) {
		status = CX_EINVAL;
	}
	if (status == CX_OK) {
		buf_add_text(out, ascii);
	}
	idn2_free(ascii);
	return status;
}

/*
 * Label by label: a dot is U+002E only, and a label in ASCII stays what it is, whatever stands
 * beside it ("xn--" and junk too: a name in DNS may have it).
 */
static enum status to_a_labels(struct span text, char out[ADDRESS_DOMAIN_MAX + 1])
{
	char memory[ADDRESS_DOMAIN_MAX + 2]; /* a trailing dot is not counted */
	struct buf ascii;
	enum status status = CX_OK;

	if (memchr(text.ptr, '\0', text.len) != NULL || !utf8_is_valid(text)) {
		return CX_EINVAL;
	}
	buf_init_fixed(&ascii, memory, sizeof(memory));
	while (status == CX_OK && !ascii.failed) {
		const char *dot = memchr(text.ptr, '.', text.len);
		struct span label = { text.ptr,
			dot != NULL ? (size_t)(dot - text.ptr) : text.len };

		if (span_is_ascii(label)) {
			buf_add_span(&ascii, label);
		} else {
			status = add_a_label(label, &ascii);
		}
		if (dot == NULL) {
			break;
		}
		buf_add_char(&ascii, '.');
		text = (struct span){ dot + 1, text.len - label.len - 1 };
	}
	if (status == CX_OK && ascii.failed) {
		status = CX_ETOOLONG;
	}
	return status == CX_OK ? finish(buf_span(&ascii), out) : status;
}

enum status domain_canonical(struct span text, char out[ADDRESS_DOMAIN_MAX + 1])
{
	return span_is_ascii(text) ? finish(text, out) : to_a_labels(text, out);
}

/* Unicode's default folding, which is ICU's and so Postfix's. */
static enum status fold_in_full(const char *unicode, char out[ADDRESS_DOMAIN_MAX + 1])
{
	size_t len;
	uint8_t *folded = u8_casefold((const uint8_t *)unicode, strlen(unicode), NULL, NULL,
	    NULL, &len);
	enum status status = CX_ENOMEM;

	if (folded != NULL) {
		status = domain_canonical((struct span){ (const char *)folded, len }, out);
	}
	free(folded);
	return status;
}

enum status domain_folded_in_full(struct span domain, char out[ADDRESS_DOMAIN_MAX + 1])
{
	char copy[ADDRESS_DOMAIN_MAX + 1];
	char *unicode = NULL;
	enum status status;

	if (domain.len >= sizeof(copy)) {
		return CX_ETOOLONG;
	}
	memcpy(copy, domain.ptr, domain.len);
	copy[domain.len] = '\0';
	status = idn_status(idn2_to_unicode_8z8z(copy, &unicode, 0));
	if (status == CX_OK) {
		status = fold_in_full(unicode, out);
	}
	idn2_free(unicode);
	if (status == CX_OK) {
		return span_equal(span_of(out), domain) ? CX_NOTFOUND : CX_OK;
	}
	return status == CX_ENOMEM ? status : CX_NOTFOUND;
}
