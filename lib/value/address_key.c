#include "config.h"

/*
 * Only the plain functions of SHA-256 neither allocate nor fail, and a key must
 * do neither in the middle of a decision. OpenSSL 3 prefers EVP, which may; so may SHA256().
 */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "value/address_key.h"

#include <openssl/sha.h>
#include <string.h>

#include "value/utf8.h"

void key_of_parts(const char *type, const struct span *parts, size_t count, struct key *out)
{
	static const char digits[] = "0123456789abcdef";
	unsigned char digest[SHA256_DIGEST_LENGTH];
	SHA256_CTX context;
	struct buf text;

	buf_init_fixed(&text, out->bytes, sizeof(out->bytes));
	buf_add_text(&text, type);
	buf_add_char(&text, ':');
	for (size_t i = 0; i < count; i++) {
		buf_add_span(&text, parts[i]);
	}
	if (text.failed) {
		SHA256_Init(&context);
		SHA256_Update(&context, type, strlen(type));
		SHA256_Update(&context, ":", 1);
		for (size_t i = 0; i < count; i++) {
			SHA256_Update(&context, parts[i].ptr, parts[i].len);
		}
		SHA256_Final(digest, &context);
		buf_clear(&text);
		buf_add_text(&text, type);
		buf_add_char(&text, '#');
		for (size_t i = 0; i < sizeof(digest); i++) {
			buf_add_char(&text, digits[digest[i] >> 4]);
			buf_add_char(&text, digits[digest[i] & 15]);
		}
	}
	out->len = text.len;
}

void address_key_base(const struct address *address, size_t len, struct key *out)
{
	struct span parts[3] = {
		{ address->folded, len },
		SPAN("@"),
		{ address->domain, address->domain_len },
	};

	key_of_parts(address->type, parts, address->domain_len > 0 ? 3 : 1, out);
}

void address_key(const struct address *address, struct key *out)
{
	address_key_base(address, address->folded_len, out);
}

bool key_equal(const struct key *a, const struct key *b)
{
	return span_equal(key_span(a), key_span(b));
}

struct span key_span(const struct key *key)
{
	return (struct span){ key->bytes, key->len };
}

void digest_of(struct span text, uint8_t out[KEY_DIGEST_SIZE])
{
	unsigned char digest[SHA256_DIGEST_LENGTH];
	SHA256_CTX context;

	SHA256_Init(&context);
	SHA256_Update(&context, text.ptr, text.len);
	SHA256_Final(digest, &context);
	memcpy(out, digest, KEY_DIGEST_SIZE);
}

static bool is_delimiter(char c, const char *delimiters)
{
	return c != '\0' && (unsigned char)c < 0x80 && strchr(delimiters, c) != NULL;
}

/* What Postfix's split_addr leaves alone, by its local part. */
static bool is_never_split(struct span folded, const char *delimiters)
{
	static const char request[] = "-request";
	size_t tail = sizeof(request) - 1;

	if (span_equal(folded, SPAN("postmaster")) ||
	    span_equal(folded, SPAN("mailer-daemon")) ||
	    span_equal(folded, SPAN("double-bounce"))) {
		return true;
	}
	if (strchr(delimiters, '-') == NULL) {
		return false;
	}
	return span_starts_with_case(folded, SPAN("owner-")) ||
	    (folded.len > tail &&
	     memcmp(folded.ptr + folded.len - tail, request, tail) == 0);
}

bool address_next_base(const struct address *address, const char *delimiters, size_t *len)
{
	struct span folded = { address->folded, address->folded_len };

	if (!address_is_smtp(address) || is_never_split(folded, delimiters)) {
		return false;
	}
	for (size_t at = *len; at-- > 1;) {
		if (is_delimiter(folded.ptr[at], delimiters)) {
			*len = at;
			return true;
		}
	}
	return false;
}

/* CX_OK: the first `end` bytes as written fold to the first `len` folded ones. CX_ENOMEM. */
static enum status folds_to(const struct address *address, size_t end, size_t len)
{
	char memory[3 * ADDRESS_VALUE_MAX + 1];
	struct buf folded;
	enum status status;

	buf_init_fixed(&folded, memory, sizeof(memory));
	status = utf8_fold((struct span){ address->local, end }, &folded);
	if (status == CX_OK &&
	    !span_equal(buf_span(&folded), (struct span){ address->folded, len })) {
		status = CX_NOTFOUND;
	}
	return status;
}

enum status address_extension(const struct address *address, size_t len, struct span *out)
{
	struct span local = { address->local, address->local_len };
	enum status status = CX_OK;
	size_t at = len;

	*out = (struct span){ NULL, 0 };
	if (len >= address->folded_len) {
		return CX_OK;
	}
	/*
	 * Folding may change lengths, so the place is searched for. It is a character
	 * that folds to the delimiter; few can: itself, or one beyond ASCII.
	 */
	if (!span_is_ascii(local)) {
		for (at = 1; at < local.len; at++) {
			char c = local.ptr[at];
			bool may_be_it = c == address->folded[len] || (unsigned char)c >= 0xc0;

			status = may_be_it ? folds_to(address, at, len) : CX_NOTFOUND;
			if (status == CX_OK || status == CX_ENOMEM) {
				break;
			}
		}
	}
	if (status == CX_ENOMEM) {
		return status;
	}
	*out = (struct span){ local.ptr + at, local.len - at };
	return CX_OK;
}
