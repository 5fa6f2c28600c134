#ifndef CX_RESOLVE_H
#define CX_RESOLVE_H

#include "decide/view.h"
#include "replica/domain.h"
#include "value/arena.h"
#include "value/cidr.h"

/*
 * What becomes of a recipient (SPEC section 5): the one decision that the milter, the
 * policy service, the map service and coexistctl show. A pure function of the view and the
 * question: no clock, no I/O but reads of the snapshot, no log, no allocation; memory
 * comes from the caller's arena, and everything in the resolution lives there, unless it
 * says otherwise.
 */
enum verdict {
	VERDICT_DELIVER,
	VERDICT_FOREIGN,
	VERDICT_UNKNOWN,
	VERDICT_INVALID,
	VERDICT_DENIED,
	VERDICT_LOOP,
	VERDICT_HORIZON,
	VERDICT_BROKEN,
	VERDICT_DISABLED,
	VERDICT_PARKED,
	VERDICT_TOO_MANY,    /* over max_deliveries: 452 4.5.3; shown as "unavailable" */
	VERDICT_UNAVAILABLE,
	VERDICT_COUNT
};
const char *verdict_text(enum verdict); /* "deliver", ...: stable, for people and JSON */

/* How a delivery comes about; the lower wins where one address is reached twice. */
enum delivery_kind {
	DELIVERY_SELF,	   /* the addressed object itself, maybe under another of its addresses */
	DELIVERY_REDIRECT, /* instead of it: alternate recipient, target, forward, rewrite */
	DELIVERY_GROUP,	   /* a member of a group */
	DELIVERY_COPY,	   /* beside it: deliver to both */
};
const char *delivery_kind_text(enum delivery_kind);

/* The rule behind a delivery, a step or a verdict; texts are stable. */
enum rule {
	RULE_NONE,
	RULE_MAILBOX,		 /* "mailbox" */
	RULE_PRIMARY,		 /* "primary": a proxy address became the primary one */
	RULE_ALT_RECIPIENT,	 /* "altRecipient" */
	RULE_FORWARDING_ADDRESS, /* "forwardingAddress" */
	RULE_TARGET_ADDRESS,	 /* "targetAddress" */
	RULE_MEMBER,		 /* "member" */
	RULE_FORWARD_HOST,	 /* "forwardHost": unknown here, its domain says where */
	RULE_REWRITE_DOMAIN,	 /* "rewriteDomain" */
	RULE_POSTMASTER,	 /* "postmaster" */
	RULE_ONE_OFF,		 /* "oneOff": non-SMTP address taken by an address space */
	RULE_OBSERVE,		 /* "observe": unknown, let through and logged */
	RULE_FOREIGN,		 /* "foreign" */
	RULE_UNKNOWN,		 /* "unknown" */
	RULE_SYNTAX,		 /* "syntax" */
	RULE_ROUTE,		 /* "route": through a domain that is not ours, to one that is */
	RULE_REQUIRE_AUTH,	 /* "requireAuth" */
	RULE_PARKED,		 /* "parked" */
	RULE_DISABLED,		 /* "disabled" */
	RULE_MISSING,		 /* "missing": a reference to nothing */
	RULE_AMBIGUOUS,		 /* "ambiguous": two objects of one directory claim it */
	RULE_NO_ROUTE,		 /* "noRoute": a home server or space that is not there */
	RULE_LOOP,		 /* "loop" */
	RULE_DEPTH,		 /* "depth" */
	RULE_LIMIT,		 /* "limit" */
	RULE_SRS,		 /* "srs": what an address of SRS stands for */
	RULE_SPLIT_HORIZON,	 /* "splitHorizon" */
	RULE_AGE,		 /* "age" */
	RULE_REPLICA,		 /* "replica": unreadable */
	RULE_COUNT
};
const char *rule_text(enum rule);

/* What is known of the client. All zero: a stranger. */
struct client {
	bool has_ip;
	struct ip ip;
	bool is_authenticated; /* has a login */
	bool may_relay;	       /* authorize() permits it to */
	bool is_anyone;	       /* as whoever is entitled to most: the map "recipients" */
};

/*
 * Whether an object was expanded when this message was here before (SPEC section 6, trace): it
 * counts as visited, so that its alternates, members and foreign target add nothing. What is handed
 * to another system, be it an object's or nobody's, goes by an id made of it and of the next hop.
 * CX_OK: it was; CX_NOTFOUND; anything else: not known.
 */
typedef enum status question_was_expanded(void *context, const uint8_t id[16]);

/*
 * Whether a group was expanded as this kind, or a better one, for another recipient of the message, and
 * led to somebody. It adds nothing then: its members get the message for the other's sake.
 */
typedef bool question_is_covered(void *context, const struct record_id *group,
    enum delivery_kind);

struct question {
	const struct address *address;
	struct client client;
	bool is_sender_empty;  /* the envelope sender is: only then bounces go back by SRS */
	bool want_deliveries; /* else only the verdict: `deliveries` may be left empty */
	bool want_steps;
	question_was_expanded *was_expanded; /* NULL: the message was never here */
	void *was_expanded_context;
	question_is_covered *is_covered; /* NULL: no group is */
	void *is_covered_context;
};

/* A group that was expanded as this kind and led to somebody. */
struct expanded_group {
	struct record_id id;
	enum delivery_kind kind;
};

struct delivery {
	struct span address; /* external form, for the wire */
	struct span key;     /* address_key() of it */
	struct span next_hop; /* "transport:nexthop"; empty: the MTA routes it */
	enum delivery_kind kind;
	enum rule rule; /* what the object asked for has to do with it; the steps tell the rest */
	struct span object; /* DN of the object it belongs to; empty: none. Lent by the snapshot */
	bool is_foreign;    /* leaves for a domain that is not ours */
	bool needs_smtputf8;
	bool is_unchanged; /* the same address as the one asked for */
};

struct step {
	unsigned depth;
	enum rule rule;
	struct span subject; /* address or DN */
	struct span detail;  /* what the rule led to; may be empty */
};

struct resolution {
	enum verdict verdict;
	enum rule rule;	    /* what decided */
	struct span object; /* DN of the object that the address belongs to; empty: none */
	/* Let through by `observe` of a domain: what it would have been. */
	bool is_observed;
	enum verdict observed;
	bool is_ours;	   /* its domain is one of ours */
	bool is_known;	   /* the directory has the address */
	/* Members and other targets that were left out: how many, the first one (DN or address). */
	size_t missing_count;
	struct span missing;
	const struct delivery *deliveries;
	size_t delivery_count;
	const struct step *steps;
	size_t step_count;
	/* What was expanded or is handed to another system: for the trace. */
	const uint8_t (*expanded)[16];
	size_t expanded_count;
	/* For the question about other recipients of the message (is_covered). */
	const struct expanded_group *groups;
	size_t group_count;
	/*
	 * A group was left to another recipient. VERDICT_DELIVER may have no delivery then: whoever
	 * this leads to gets the message for the other's sake.
	 */
	bool is_covered;
	size_t entered; /* objects that were looked into, of some more than once */
	bool was_here; /* the message came back to something that it was expanded for before */
	uint32_t sources_read; /* bit n: precedence n */
};

/*
 * CX_OK: `out` is the answer (whatever it is; damage and a missing replica are
 * VERDICT_UNAVAILABLE). CX_EFULL: the arena is too small: enlarge it, reset it, ask again.
 * RESOLVE_MEMORY is enough for all but groups; double it up to RESOLVE_MEMORY_MAX.
 */
#define RESOLVE_MEMORY	   (64 * 1024)
#define RESOLVE_MEMORY_MAX (256 * 1024 * 1024)
enum status resolve(const struct view *, const struct question *, struct arena *,
    struct resolution *out);

/* An address that did not parse: what resolve() says of it (invalid). */
void resolution_invalid(struct resolution *out);
/* No snapshot could be had: unavailable. */
void resolution_unavailable(struct resolution *out);

/* Whether a domain (canonical) is one of ours: the object that speaks for it. */
enum status find_domain(const struct view *, struct span domain, struct domain *out,
    struct record_id *id);

#endif
