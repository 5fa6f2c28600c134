#ifndef CX_CTL_CONTROL_H
#define CX_CTL_CONTROL_H

#include "daemon/conf.h"
#include "value/buf.h"

/*
 * Asks coexist-syncd one question over its control socket: sends `request` as a line and reads one
 * line back into `answer` (a heap buf, without the newline). CX_NOTFOUND: nobody listens there; CX_EIO: it cannot be
 * asked, or does not answer; `err` says why.
 */
enum status control_ask(const struct conf *, const char *request, struct buf *answer,
    struct errbuf *err);

#endif
