#ifndef CX_SYNC_NOTES_H
#define CX_SYNC_NOTES_H

#include <stdbool.h>
#include <stdint.h>

#include "value/buf.h"
#include "value/span.h"

/*
 * What syncd keeps beside the data of a directory, for itself and for people: entries that
 * were skipped, removals that were kept back. It writes them with store_put_meta() in
 * the transaction that they belong to; readers get them with snapshot_meta(). Reading
 * trusts nothing: damage ends the list.
 */

/* What there is, for sync_notes_key(). */
#define SYNC_NOTES_COOKIE   "cookie"
#define SYNC_NOTES_CONFHASH "confhash" /* of mapping and request; the cookie's, too */
#define SYNC_NOTES_PLACE    "place" /* where its entries come from: apply.h */
#define SYNC_NOTES_FULL	    "full" /* when every entry was last read: 8 bytes, little-endian */
#define SYNC_NOTES_POLL	    "poll" /* how far polling has come: confhash, then poll_mark.h */
#define SYNC_NOTES_SKIPPED  "skipped"
#define SYNC_NOTES_HELD     "held"
#define SYNC_NOTES_REMOVALS "removals" /* how many there were lately: valve.h */
#define SYNC_NOTES_AGENDA   "agenda" /* what must be read yet: ldap_agenda.c */

#define SYNC_NOTES_KEY_MAX 32
/* "src/3/cookie" */
void sync_notes_key(char out[SYNC_NOTES_KEY_MAX], uint8_t source, const char *what);

/* Entries that cannot be used, in order of uuid. */
struct skipped {
	const uint8_t *uuid;
	struct span dn, why; /* both empty from the SYNC_NOTES_SKIPPED_TEXTS th on */
};
#define SYNC_NOTES_SKIPPED_TEXTS 1000
bool skipped_next(struct span *rest, struct skipped *out);
void skipped_add(struct buf *list, const struct skipped *);
size_t skipped_count(struct span list);

/* Ids of records whose removal is kept back, ascending; their records are still there. */
bool held_next(struct span *rest, const uint8_t **uuid);
size_t held_count(struct span list);

#endif
