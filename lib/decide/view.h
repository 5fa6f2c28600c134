#ifndef CX_VIEW_H
#define CX_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "forward/secrets.h"
#include "replica/store.h"

/*
 * What every decision looks at: one snapshot, the settings and the time.
 * Settings are immutable; conf.c fills them (SPEC section 11).
 */
#define SETTINGS_LOCAL_SERVERS_MAX 64

enum authenticated_relay {
	AUTHENTICATED_RELAY_DIRECTORY, /* logins that exactly one object has */
	AUTHENTICATED_RELAY_ANY,       /* every login that is not forbidden */
	AUTHENTICATED_RELAY_NONE,
};

struct settings {
	const char *organization;
	const char *const *local_servers; /* NULL-terminated; names, compared without case */
	const char *recipient_delimiter;
	const char *postmaster;
	const char *mailbox_transport; /* "" : Postfix's own classes decide */
	bool propagate_extension;
	bool rewrite_to_primary;
	bool enforce_sender;
	bool observe;
	enum authenticated_relay authenticated_relay;
	unsigned max_depth;
	unsigned max_deliveries;
	int64_t max_staleness_s;
	int64_t unknown_defer_after_s;
	const char *srs_domain; /* canonical; "" or NULL: SRS is off */
	const char *srs_hop; /* "transport:nexthop"; "" or NULL: there is no re-injection hop */
	int64_t srs_max_age_s;
};

struct domain_memo;

struct view {
	struct snapshot *snapshot;
	const struct settings *settings;
	int64_t now; /* seconds since the epoch */
	const struct secrets *srs_secrets; /* NULL: not known, and SRS addresses neither */
	struct domain_memo *memo; /* see lookup.h; callers leave it NULL */
};

#endif
