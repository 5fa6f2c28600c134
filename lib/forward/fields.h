#ifndef CX_FIELDS_H
#define CX_FIELDS_H

#include "forward/secrets.h"
#include "value/status.h"

/*
 * What addresses of SRS and of the hop have in common: local parts of fields with "=" between
 * them, the first of which is a digest of the others. Case is no matter: systems on the way
 * change it, and maps are asked in lower case. Pure.
 */

/* What stands before the next "=" goes to `out`; false: there is none, or nothing before it. */
bool fields_take(struct span *rest, struct span *out);

/* How a digest is made, and how it is written. */
struct fields_digest {
	enum secret_digest digest;
	struct span purpose;  /* signed before the rest: what is signed for another is not valid */
	const char *alphabet; /* a character for each value of so many bits */
	unsigned bits;
	size_t least, most; /* characters: fewer prove nothing, more there are not */
};
#define FIELDS_DIGEST_MAX 64

/*
 * The first `len` characters of the digest of the parts, in lower case, one behind the other,
 * under the first secret. CX_OK; CX_ETEMP: there is no secret or no digest, or the parts are
 * longer than addresses are.
 */
enum status fields_sign(const struct secrets *, const struct fields_digest *,
    const struct span *parts, size_t part_count, char *out, size_t len);
/*
 * Whether `given` is such a digest, in all of its characters, under any of the secrets, in
 * a time that does not tell which character is wrong. CX_OK; CX_EINVAL; CX_ETEMP.
 */
enum status fields_verify(const struct secrets *, const struct fields_digest *,
    const struct span *parts, size_t part_count, struct span given);

#endif
