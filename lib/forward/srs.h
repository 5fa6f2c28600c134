#ifndef CX_SRS_H
#define CX_SRS_H

#include <stdint.h>

#include "forward/secrets.h"
#include "value/address.h"

/*
 * The Sender Rewriting Scheme (Meng Weng Wong and others, 2003; SPEC section 9): an
 * envelope sender of another domain becomes one of ours, from which the bounce finds its
 * way back.
 *
 *   SRS0=hash=day=domain=local@ours      the first forwarder's
 *   SRS1=hash=first==...@ours            a later one's: what the first made, and where it is
 *
 * The hash is the first 4 characters of base64 of an HMAC-SHA1 over what follows, in lower
 * case, without the separators; the day is the number of days since the epoch modulo 1024
 * in two characters of base32. postsrsd and libsrs2 do the same, so that either
 * reverses what the other made under one secret. Of a longer hash all characters must be right.
 *
 * Pure; nothing here knows which senders or domains are to be rewritten. SMTP addresses only.
 */

/*
 * `domain`: the one that rewritten senders are in, canonical (address.h). CX_OK;
 * CX_ETOOLONG, CX_EINVAL: the result would be no address; CX_ETEMP: no digest could be had.
 */
enum status srs_forward(const struct secrets *, const struct address *sender,
    struct span domain, int64_t now_s, struct address *out);
/*
 * What an address stands for, whatever its domain (the caller knows which is that of SRS).
 * CX_OK. CX_NOTFOUND: it is not written as one of SRS. CX_EINVAL: it is, and is forged,
 * damaged or older than `max_age_s`. CX_ETEMP: the digest could not be had.
 */
enum status srs_reverse(const struct secrets *, const struct address *, int64_t now_s,
    int64_t max_age_s, struct address *out);

/* Written as one of SRS: "SRS0" or "SRS1" and a separator. */
bool srs_is_tagged(const struct address *);

#endif
