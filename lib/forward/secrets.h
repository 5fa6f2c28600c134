#ifndef CX_SECRETS_H
#define CX_SECRETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "value/span.h"

/*
 * The keys of a site: the first signs, all verify, so that a new one is put in front and the
 * old one taken away when what it signed has expired. Owns copies.
 */
#define SECRETS_MAX       8
#define SECRET_LENGTH_MAX 1024
#define SECRET_MAC_SIZE   32 /* room for any digest below */

struct secrets {
	size_t count;
	struct secret {
		size_t len;
		unsigned char bytes[SECRET_LENGTH_MAX];
	} items[SECRETS_MAX];
};

void secrets_init(struct secrets *);
void secrets_wipe(struct secrets *); /* no byte of them is left in this memory */
/* False: empty, too long, or one too many. */
bool secrets_add(struct secrets *, struct span);

enum secret_digest {
	SECRET_SHA1, /* 20 bytes; for SRS, where others must agree */
	SECRET_SHA256,
};
/*
 * HMAC (RFC 2104) of the parts, one after the other, under the secret number `index`. The
 * number of bytes written; 0: no such secret, or the library failed.
 */
size_t secrets_mac(const struct secrets *, size_t index, enum secret_digest,
    const struct span *parts, size_t part_count, unsigned char out[SECRET_MAC_SIZE]);

#endif
