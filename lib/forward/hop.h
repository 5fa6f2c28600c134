#ifndef CX_HOP_H
#define CX_HOP_H

#include "forward/secrets.h"
#include "value/address.h"

/*
 * Addresses of the re-injection hop: a milter changes the sender of a whole message, so a
 * recipient that needs another one than the rest is sent through the MTA once more, alone
 * with its like. On the way its address is wrapped into one in the SRS domain:
 *
 *   HOP0=mac=day=domain=local@ours
 *
 * The mac is the first 24 hexadecimal digits of an HMAC-SHA256 over what follows, in lower
 * case (maps are asked in lower case), so that nobody else can make one. The day, since the
 * epoch, is that of the message.
 *
 * Pure; SMTP addresses only.
 */

/* No MTA keeps mail longer (Postfix's largest maximal_queue_lifetime). */
#define HOP_MAX_AGE_S ((int64_t)100 * 24 * 60 * 60)

/* CX_OK; CX_ETOOLONG, CX_EINVAL: the result would be no address; CX_ETEMP: no digest. */
enum status hop_wrap(const struct secrets *, const struct address *target,
    struct span domain, int64_t now_s, struct address *out);
/*
 * CX_OK. CX_NOTFOUND: it is not written as one. CX_EINVAL: it is, and is forged, damaged or
 * too old. CX_ETEMP: the digest could not be had.
 */
enum status hop_unwrap(const struct secrets *, const struct address *, int64_t now_s,
    struct address *out);

/* Written as one of these. */
bool hop_is_tagged(const struct address *);

#endif
