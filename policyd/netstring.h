#ifndef CX_NETSTRING_H
#define CX_NETSTRING_H

#include "policyd/session.h"

/* Netstrings "5:hello,": what socketmap queries and replies travel in. Pure. */

/* Postfix asks for at most 10,000 bytes, Sendmail for an address. */
#define NETSTRING_QUERY_MAX 65536

/* The body is the string. No leading zeros, no blanks. */
enum frame_status netstring_frame(struct span input, size_t *scanned, struct frame *,
    const char **why);

#endif
