#ifndef CX_SYNCD_LOOP_H
#define CX_SYNCD_LOOP_H

#include "daemon/process.h"

/*
 * syncd at work: one event loop with the directories, the control socket, signals
 * and the clock. `control_fd` (-1: none) becomes the loop's. Returns when SIGTERM or SIGINT
 * came and the transaction in hand was finished: CX_OK; else what kept it from starting.
 */
enum status loop_run(struct process *, struct conf *, int control_fd, struct errbuf *);

#endif
