#ifndef CX_COOKIE_H
#define CX_COOKIE_H

#include <stdbool.h>

#include "value/buf.h"

/*
 * Sync cookies (RFC 4533), pure text work. To the RFC a cookie is opaque; one in the form that
 * OpenLDAP writes,
 *
 *   rid=001,sid=002,csn=20260102030405.000006Z#000000#001#000000;...#002#...,delcsn=...
 *
 * is understood, because taking it as opaque loses changes with more than one provider
 * (ldap-sync.md, T4 and T5): a cookie in the persist stage speaks of one server only, and
 * a `sid=` that is sent to another provider makes that one keep back the changes of the
 * server named. What is stored and sent is "rid=000,csn=A;B;..." by server id.
 */
enum cookie_kind {
	COOKIE_EMPTY,
	COOKIE_NO_CSN, /* OpenLDAP's form, but it says nothing */
	COOKIE_CSN,    /* OpenLDAP's form */
	COOKIE_OPAQUE, /* another server's */
	COOKIE_BAD,    /* begins as OpenLDAP's and is damaged: as if there were none */
};

/* Servers in one cookie; the server id has 12 bits, sites have a handful. */
#define COOKIE_SERVERS_MAX 256
/* Longest cookie taken; longer is COOKIE_BAD. */
#define COOKIE_MAX 16384

enum cookie_kind cookie_kind(struct span);

/*
 * `theirs` came at the end of a refresh and is the whole truth: it takes the place of
 * `ours`. Nothing happens where it is empty, bad, or without a CSN.
 */
void cookie_replace(struct buf *ours, struct span theirs);
/*
 * `theirs` came in the persist stage: it takes the place of the CSNs of the servers that it
 * names. An opaque one replaces all.
 */
void cookie_merge(struct buf *ours, struct span theirs);
/* What to send for a stored cookie; false: nothing worth sending. */
bool cookie_for_request(struct span stored, struct buf *out);

/* Appends a CSN as contextCSN has it, as if a cookie had named it. False: not one. */
bool cookie_add_csn(struct buf *cookie, struct span csn);
/* Ours has a CSN of the same server that is as new. False too where `csn` is none. */
bool cookie_covers(struct span ours, struct span csn);
/* The newest CSN in ours, of any server; borrowed. False: ours is not in OpenLDAP's form. */
bool cookie_newest(struct span ours, struct span *out);
/* For every server that `theirs` names, ours has a CSN that is as new. */
bool cookie_covers_all(struct span ours, struct span theirs);

#endif
