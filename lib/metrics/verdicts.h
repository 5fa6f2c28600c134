#ifndef CX_METRICS_VERDICTS_H
#define CX_METRICS_VERDICTS_H

#include "decide/resolve.h"
#include "metrics/counter.h"
#include "value/buf.h"

/* The family coexist_decisions_total, one series for each text that verdicts have. */
void metrics_print_verdicts(struct buf *page,
    const struct counter counts[VERDICT_COUNT]);

#endif
