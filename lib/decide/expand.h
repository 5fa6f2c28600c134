#ifndef CX_EXPAND_H
#define CX_EXPAND_H

#include "decide/collect.h"
#include "decide/lookup.h"

/*
 * Expansion of an address to deliveries (SPEC section 5, 2 to 7), with what was met on the
 * way. Pure. resolve.c makes the verdict of it.
 *
 * Two classes of things are met. Some add nothing: a reference to nothing, a loop, a
 * recipient that does not take mail of this client; they matter where nothing is
 * left to deliver to. Others block the whole recipient, as leaving them out would lose mail:
 * a parked mailbox, a disabled domain, a route that is not there, a depth or number over the limit.
 */
struct expansion {
	const struct view *view;
	const struct question *question;
	struct key asked;
	struct collection list;
	uint32_t sources;
	enum status failure; /* CX_OK, CX_ETEMP, CX_EFORMAT */
	struct span object;  /* of the asked address */
	bool is_known;
	bool is_by_absence; /* somebody was taken for missing, or an address for nobody's */
	struct span missing; /* the first that was left out: in the arena */
	size_t missing_count;
	/* add nothing */
	bool is_unknown; /* the asked address is nobody's */
	bool is_invalid; /* it is encapsulated and does not decode */
	bool has_missing, has_loop, has_denied;
	bool was_here; /* something was expanded when the message was here before */
	/* Ends of the expansion met so far: deliveries, old and new, and what is covered. */
	size_t reached;
	size_t entered;	    /* objects */
	bool is_covered;    /* a group was left to another recipient of the message */
	bool has_extension; /* somebody's deliveries carry an extension along */
	/* block */
	bool has_parked, has_disabled, has_no_route, has_ambiguous, is_too_deep;
	bool is_observed; /* unknown, and its domain lets it through */
};

/* The objects that led to the present one: what it must not lead back to. */
struct frame {
	const struct record_id *id;
	const struct frame *up;
};

/* How the expansion came to where it is. */
struct path {
	unsigned depth; /* objects so far */
	bool is_asked;	/* still the address asked for (its domain may have been rewritten) */
	bool is_postmaster; /* the configured one, maybe rewritten since */
	enum delivery_kind kind;
	enum rule rule;	 /* the last step; the steps show it */
	enum rule leads; /* of the object asked for: what led away from it. RULE_NONE: nothing */
	struct span extension; /* goes along, with propagate_extension */
	const struct frame *up;
};

void expansion_init(struct expansion *, const struct view *, const struct question *,
    struct arena *);
/* Expands the address asked for, which is in a domain of ours or of another type. */
void expand_asked(struct expansion *);

/* For the files beside expand.c: an address met on the way. */
void expand_address(struct expansion *, const struct address *, const struct path *);
/*
 * Whether the message has been here and this was expanded or handed on then. It is noted why
 * it adds nothing.
 */
bool expansion_was_here(struct expansion *, const uint8_t id[16], const struct path *,
    struct span subject);
/* What cannot be read is not known: noted, and the whole recipient is unavailable. */
bool expansion_failed(struct expansion *, enum status);
/* May write to what is closed to strangers: authenticated, or allowed to relay. */
bool expansion_is_trusted(const struct expansion *);
/* May use one-off addresses. */
bool expansion_may_relay(const struct expansion *);

static inline enum delivery_kind worse_kind(enum delivery_kind a, enum delivery_kind b)
{
	return a > b ? a : b;
}

#endif
