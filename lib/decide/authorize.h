#ifndef CX_AUTHORIZE_H
#define CX_AUTHORIZE_H

#include "decide/view.h"
#include "value/address.h"
#include "value/cidr.h"

/*
 * Whether a client may relay (SPEC section 7), on grounds of the client alone.
 * Pure; no memory needed.
 */
struct relay_facts {
	bool has_ip;
	struct ip ip;
	struct span login; /* as SMTP AUTH gave it; empty: not authenticated */
	struct span certificate_fingerprint; /* SHA-256, hexadecimal, colons allowed; or empty */
	struct span key_fingerprint;
};

enum relay_verdict {
	RELAY_NOT_PERMITTED, /* nothing speaks for it: the MTA's own rules decide (DUNNO) */
	RELAY_PERMITTED,
	RELAY_FORBIDDEN,     /* named by "!" or coexistRelayAllowed FALSE: 554 5.7.1 */
	RELAY_UNAVAILABLE,   /* don't know: 451 4.3.0 */
};

#define RELAY_VERDICT_COUNT (RELAY_UNAVAILABLE + 1)

enum relay_reason {
	RELAY_BY_NOTHING,
	RELAY_BY_LOGIN,
	RELAY_BY_CERTIFICATE,
	RELAY_BY_NETWORK,
	RELAY_BY_AGE,
	RELAY_BY_REPLICA,
};

struct authorization {
	enum relay_verdict verdict;
	enum relay_reason reason;
	struct span object; /* DN of the connector or account behind it; lent by the snapshot */
};

void authorize(const struct view *, const struct relay_facts *, struct authorization *out);
const char *relay_verdict_text(enum relay_verdict); /* "permitted", "not permitted", ... */
const char *relay_reason_text(enum relay_reason);   /* "login", "network", ... */

/*
 * Whether a login may use an envelope sender (enforce_sender; the map `login`): CX_OK,
 * CX_NOTFOUND: it may not, CX_ETEMP: don't know. NULL, the empty sender, is always allowed.
 */
enum status authorize_sender(const struct view *, struct span login,
    const struct address *sender);

#endif
