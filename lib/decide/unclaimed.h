#ifndef CX_UNCLAIMED_H
#define CX_UNCLAIMED_H

#include "decide/expand.h"

/*
 * An address of ours that no object has is judged by its domain (SPEC section 5, 5):
 * one-off, forwarded, rewritten, postmaster, or nobody's. Pure.
 */
void expand_unclaimed(struct expansion *, const struct address *, const struct domain *,
    const struct path *);

#endif
