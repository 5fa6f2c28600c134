#ifndef CX_RECIPIENT_H
#define CX_RECIPIENT_H

#include "replica/record.h"

/* A mailbox, custom recipient or group, as lent by a snapshot (SPEC section 3). */

enum recipient_kind {
	RECIPIENT_MAILBOX,
	RECIPIENT_CUSTOM, /* has a target address, whatever else it is */
	RECIPIENT_GROUP,
};

enum recipient_flag {
	RECIPIENT_IS_GROUP = 1 << 0,
	RECIPIENT_DELIVER_AND_REDIRECT = 1 << 1,
	RECIPIENT_HIDDEN = 1 << 2,
	RECIPIENT_RELAY_FORBIDDEN = 1 << 3, /* coexistRelayAllowed FALSE */
	RECIPIENT_REQUIRE_AUTH = 1 << 4,
	RECIPIENT_PARKED = 1 << 5,
	RECIPIENT_IS_MAILBOX = 1 << 6, /* of a custom recipient: it is a mailbox as well */
	/* Its directory may not have the domain of its target: that is not its address. */
	RECIPIENT_TARGET_NOT_OWN = 1 << 7,
};

struct recipient {
	enum recipient_kind kind;
	uint32_t flags;
	struct span dn;
	struct span name;
	struct span target;
	struct span forwarding_address;
	struct span home_server;
	struct values primaries; /* SMTP: proxies */
	struct values mails;
	struct values proxies;
	struct values alternates; /* dn keys */
	struct values alternate_dns;
	struct values logins;
	struct values members; /* dn keys */
	struct values member_dns;
	struct values member_addresses;
};

/* CX_EFORMAT: not a recipient. */
enum status recipient_decode(const struct record *, struct recipient *out);

#endif
