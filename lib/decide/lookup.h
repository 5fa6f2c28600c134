#ifndef CX_LOOKUP_H
#define CX_LOOKUP_H

#include "decide/view.h"
#include "replica/domain.h"
#include "replica/recipient.h"
#include "value/address.h"

/*
 * Look-ups that the decisions share: which object an address, a reference or a login
 * stands for. Pure. Every function notes the directories whose records it read in
 * `sources` (one bit for each precedence; may be NULL).
 */

/* How an address led to its object (SPEC section 4, order of look-up). */
enum found_by {
	FOUND_LITERALLY,
	FOUND_ENCAPSULATED, /* by the address inside an IMCEA local part */
	FOUND_BY_BASE,	    /* without its extension */
};

struct found {
	struct record_id id;
	struct recipient recipient;
	enum found_by by;
	enum address_rank rank;
	size_t base_len; /* folded length of the local part without extension */
};

/*
 * The object that has an address, which the caller knows to be in a domain of ours (or
 * to be of another type). CX_OK; CX_NOTFOUND; CX_EEXIST: two objects of one directory claim
 * it; CX_EINVAL: encapsulated and does not decode; CX_EFORMAT, CX_ETEMP.
 */
enum status lookup_address(const struct view *, const struct address *, struct found *out,
    uint32_t *sources);
/* The object behind a dn_key(). CX_NOTFOUND also where it is no recipient. */
enum status lookup_dn(const struct view *, struct span dn_key, struct found *out,
    uint32_t *sources);
/*
 * The one object that has a login name, as a login or as one of its addresses. The
 * directory named first wins, as with addresses. CX_NOTFOUND: none; CX_EEXIST: several
 * objects of the directory that wins.
 */
enum status lookup_login(const struct view *, struct span login, struct record_id *id,
    struct recipient *out);

/*
 * What an IMCEA address of ours may be routed by: its inner address, where the type may be
 * routed at all (not SMTP, X500 or EX). CX_NOTFOUND else; CX_ETEMP.
 */
enum status lookup_inner(const struct address *, struct address *inner);
/*
 * Whether the local part encapsulates a type that is never decapsulated (a relay trick). CX_OK: it
 * does; CX_NOTFOUND; CX_ETEMP.
 */
enum status lookup_trick(const struct address *);

/* The first of the object's addresses that lies in a domain of ours and is really its own. */
enum status lookup_primary(const struct view *, const struct found *, struct address *out);
/* The same, whoever has won the address. */
enum status lookup_claimed(const struct view *, const struct recipient *,
    struct address *out);

/*
 * The domain that find_domain() was asked for last, as one decision asks for the same one
 * again and again. resolve() and route() hang one of their own into a copy of the view: it
 * must not outlive the snapshot. Zeroed: nothing.
 */
struct domain_memo {
	size_t name_len; /* 0: nothing */
	char name[ADDRESS_DOMAIN_MAX];
	enum status status; /* CX_OK or CX_NOTFOUND */
	struct domain domain;
	struct record_id id;
};
/* The view with a memo, which is emptied; or as it is, where it has one. */
struct view lookup_with_memo(const struct view *, struct domain_memo *);

void lookup_note_source(const struct view *, uint8_t source, uint32_t *sources);

#endif
