#include "config.h"

#include "forward/secrets.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <string.h>

void secrets_init(struct secrets *secrets)
{
	secrets->count = 0;
}

void secrets_wipe(struct secrets *secrets)
{
	explicit_bzero(secrets, sizeof(*secrets));
}

bool secrets_add(struct secrets *secrets, struct span text)
{
	if (text.len == 0 || text.len > SECRET_LENGTH_MAX ||
	    secrets->count == SECRETS_MAX) {
		return false;
	}
	struct secret *secret = &secrets->items[secrets->count++];

	memcpy(secret->bytes, text.ptr, text.len);
	secret->len = text.len;
	return true;
}

static const char *const digest_names[] = {
	[SECRET_SHA1] = "SHA1",
	[SECRET_SHA256] = "SHA256",
};

size_t secrets_mac(const struct secrets *secrets, size_t index,
    enum secret_digest digest, const struct span *parts, size_t part_count,
    unsigned char out[SECRET_MAC_SIZE])
{
	OSSL_PARAM params[] = {
		/* The parameter is not written to, though the library's type says so. */
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST,
		    (char *)(uintptr_t)digest_names[digest], 0),
		OSSL_PARAM_construct_end(),
	};
	size_t len = 0;

	if (index >= secrets->count) {
		return 0;
	}
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	EVP_MAC_CTX *context = mac ? EVP_MAC_CTX_new(mac) : NULL;
	bool is_good = context && EVP_MAC_init(context, secrets->items[index].bytes,
				      secrets->items[index].len, params) == 1;

	for (size_t i = 0; i < part_count && is_good; i++) {
		is_good = parts[i].len == 0 ||
			  EVP_MAC_update(context, (const unsigned char *)parts[i].ptr,
			      parts[i].len) == 1;
	}
	if (!is_good || EVP_MAC_final(context, out, &len, SECRET_MAC_SIZE) != 1) {
		len = 0;
	}
	EVP_MAC_CTX_free(context);
	EVP_MAC_free(mac);
	return len;
}
