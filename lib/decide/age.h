#ifndef CX_AGE_H
#define CX_AGE_H

#include "decide/view.h"

/*
 * How far the directories can be trusted (SPEC section 10, Age): a decision that delivers
 * depends on those whose records it read, one that refuses for good depends on all. Pure.
 */

/*
 * Seconds since the last proof of contact, 0 where it is a little ahead of our clock;
 * AGE_NEVER: never loaded, or so far in the future that the clock must have jumped.
 */
#define AGE_NEVER INT64_MAX
int64_t age_of(const struct source_info *, int64_t now);

/* A bit for each precedence. */
#define AGE_ALL_SOURCES UINT32_MAX

/* Every one of `sources` was loaded and had contact within max_staleness. */
bool age_allows_delivery(const struct view *, uint32_t sources);
/* Every directory was loaded and had contact within unknown_defer_after. */
bool age_allows_refusal(const struct view *);
/* Every directory that may say which domains are ours was loaded. */
bool age_knows_domains(const struct view *);
/* Every directory that may have recipients was loaded: what is in none of them is nowhere. */
bool age_knows_recipients(const struct view *);
/* Every directory that may name connectors was loaded. */
bool age_knows_connectors(const struct view *);

#endif
