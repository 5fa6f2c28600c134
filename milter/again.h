#ifndef CX_MILTER_AGAIN_H
#define CX_MILTER_AGAIN_H

#include "milter/envelope.h"
#include "milter/judge.h"

/*
 * A message that was here before and came back (SPEC section 6, trace): its recipients are
 * decided once more, with what was expanded then counting as visited. A recipient with nothing left is
 * bounced alone: it becomes an address in TRACE_BOUNCE_DOMAIN, which the transport map gives to error(8), and its
 * ORCPT makes the bounce name the address that the sender wrote.
 */

/*
 * Decides an address with the trace in mind, for a recipient with these notifications; the result is
 * valid until the next call.
 */
typedef const struct resolution *again_judge(void *context, const struct address *,
    const struct dsn *);

/*
 * `out` is begun and becomes the envelope to go by. CX_OK. CX_NOTFOUND: nobody is left, or this
 * MTA cannot bounce one recipient alone: the message is refused, and `*lost` is the first recipient
 * of which nothing is left, as typed (borrowed from `before`). CX_ETEMP: one of them cannot be
 * decided now; CX_ENOMEM.
 */
enum status again_decide(const struct envelope *before, unsigned max_deliveries,
    again_judge *judge, void *context, struct envelope *out, struct span *lost);

#endif
