#ifndef CX_SYNCD_STATUS_H
#define CX_SYNCD_STATUS_H

#include "syncd/sources.h"

/*
 * Appends what syncd knows of itself as one JSON object, without a newline:
 * {"running", "version", "pid", "started", "now", "directories": [{"name", "backend", "state",
 * "server", "loaded", "lastContact", "recipients", "domains", "connectors",
 * "skipped", "held", "changes", "refreshes", "errors", "lastError"}]}; times are seconds
 * since the epoch, lastContact is null before the first. CX_ENOMEM.
 */
enum status status_print(struct sources *, int64_t started, int64_t now,
    struct buf *out);

#endif
