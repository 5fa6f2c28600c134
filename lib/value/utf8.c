#include "config.h"

#include "value/utf8.h"

#include <errno.h>
#include <stdlib.h>
#include <unicase.h>
#include <uninorm.h>
#include <unistr.h>

bool span_is_ascii(struct span text)
{
	unsigned char all = 0;

	/* No early end: most text is ASCII, and this is done many bytes at a time. */
	for (size_t i = 0; i < text.len; i++) {
		all |= (unsigned char)text.ptr[i];
	}
	return all < 0x80;
}

bool utf8_is_valid(struct span text)
{
	return span_is_ascii(text) || u8_check((const uint8_t *)text.ptr, text.len) == NULL;
}

size_t utf8_cut(const char *text, size_t len)
{
	size_t end = len;

	while (end > 0 && len - end < 3 && ((unsigned char)text[end] & 0xc0) == 0x80) {
		end--;
	}
	return ((unsigned char)text[end] & 0xc0) == 0x80 ? len : end;
}

static void add_ascii_lower(struct buf *out, struct span text)
{
	size_t start = out->len;

	buf_add_span(out, text);
	for (size_t i = start; i < out->len; i++) {
		out->data[i] = ascii_lower(out->data[i]);
	}
}

static enum status add_lower(struct buf *out, const uint8_t *s, size_t len)
{
	uint8_t bytes[6];
	ucs4_t uc;

	for (size_t i = 0; i < len;) {
		int units = u8_mbtoucr(&uc, s + i, len - i);

		if (units <= 0) {
			return CX_EINVAL;
		}
		i += (size_t)units;
		units = u8_uctomb(bytes, uc_tolower(uc), sizeof(bytes));
		if (units <= 0) {
			return CX_EINVAL;
		}
		buf_add(out, bytes, (size_t)units);
	}
	return CX_OK;
}

/* Normalises a run that is not empty; *out is the caller's to free. */
static enum status normalize(uninorm_t form, struct span text, uint8_t **out, size_t *len)
{
	*out = u8_normalize(form, (const uint8_t *)text.ptr, text.len, NULL, len);
	if (*out != NULL) {
		return CX_OK;
	}
	return errno == ENOMEM ? CX_ENOMEM : CX_EINVAL;
}

/* Normal form, lower case, normal form. */
static enum status fold(uninorm_t form, struct span text, struct buf *out)
{
	uint8_t *normal = NULL, *again = NULL;
	struct buf lower;
	size_t len;
	enum status status;

	if (span_is_ascii(text)) {
		add_ascii_lower(out, text);
		return CX_OK;
	}
	if (!utf8_is_valid(text)) {
		return CX_EINVAL;
	}
	buf_init(&lower);
	status = normalize(form, text, &normal, &len);
	if (status == CX_OK) {
		status = add_lower(&lower, normal, len);
	}
	if (status == CX_OK && lower.failed) {
		status = CX_ENOMEM;
	}
	if (status == CX_OK) {
		status = normalize(form, buf_span(&lower), &again, &len);
	}
	if (status == CX_OK) {
		buf_add(out, again, len);
	}
	free(again);
	buf_release(&lower);
	free(normal);
	return status;
}

enum status utf8_fold(struct span text, struct buf *out)
{
	return fold(UNINORM_NFC, text, out);
}

enum status utf8_fold_compatible(struct span text, struct buf *out)
{
	return fold(UNINORM_NFKD, text, out);
}
