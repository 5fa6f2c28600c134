#ifndef CX_FUZZ_CONVERSATION_H
#define CX_FUZZ_CONVERSATION_H

#include <stdint.h>

#include "decide/view.h"
#include "policyd/session.h"
#include "policyd/workspace.h"

/*
 * What the fuzz targets of policyd's protocols share: a connection without a replica. The first
 * byte of an input is the size of the pieces in which the rest of it arrives, less one.
 */
struct conversation {
	struct view view; /* settings and a time; no snapshot */
	struct workspace workspace;
};

/* For protocol.complain: that there is a reason. */
void conversation_complain(void *context, const char *why, struct span what);

/*
 * Appends to `answers` what the protocol answers, which must be the same whether the input
 * arrives in pieces or as a whole. Its answer() is called with a struct conversation *.
 */
void conversation_hold(const struct protocol *, const uint8_t *data, size_t size,
    struct buf *answers);

#endif
