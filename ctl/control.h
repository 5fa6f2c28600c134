#ifndef CX_CTL_CONTROL_H
#define CX_CTL_CONTROL_H

#include "daemon/conf.h"
#include "value/buf.h"

/*
 * Asks coexist-syncd one question over its control socket: sends `request` as a line and reads one
 * line back into `answer` (a heap buf, without the newline). CX_EIO: nobody answers; `err` says why.
 */
enum status control_ask(const struct conf *, const char *request, struct buf *answer,
    struct errbuf *err);

#endif
