#ifndef CX_SYNCD_LOOP_H
#define CX_SYNCD_LOOP_H

#include "daemon/process.h"

/*
 * syncd at work: one event loop with the directories, the control socket, signals
 * and the clock. Control socket and that for metrics (-1: none) become the loop's. Returns when
 * SIGTERM or SIGINT came and the transaction in hand was finished: CX_OK; else what kept it
 * from starting, or CX_EFORMAT: the replica was damaged in use, and the next start replaces it.
 */
struct loop_sockets {
	int control, metrics;
};
enum status loop_run(struct process *, struct conf *, struct loop_sockets,
    struct errbuf *);

#endif
