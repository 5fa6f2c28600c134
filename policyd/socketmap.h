#ifndef CX_SOCKETMAP_H
#define CX_SOCKETMAP_H

#include "policyd/maps.h"
#include "policyd/netstring.h"

/* The socketmap protocol: "map key" in a netstring, one reply in another. Pure. */

/* Longest reply with its netstring: "65539:OK ...,". */
#define SOCKETMAP_REPLY_MAX (MAP_VALUE_MAX + 16)

/* A value is made in `scratch` first: its length comes before it. */
#define SOCKETMAP_SCRATCH_SIZE (MAP_VALUE_MAX + 2)

/*
 * Appends the reply to one query. `scratch` is memory of SOCKETMAP_SCRATCH_SIZE. What it
 * was; from MAP_NO_SUCH_MAP on a PERM, for a reason worth a line of log (*why, a constant).
 */
enum map_status socketmap_answer(const struct view *, struct span query, struct workspace *,
    char *scratch, struct buf *out, const char **why);

/* "PERM malformed request", for what is no netstring. */
void socketmap_farewell(struct buf *out);

#endif
