#ifndef CX_MILTER_LEFT_OUT_H
#define CX_MILTER_LEFT_OUT_H

#include "decide/resolve.h"

/*
 * Members and other targets that are left out since they do not exist or have no address: a line in
 * the log, once for as long as the process lives (SPEC section 5, 4), and again when it is
 * another number, or another one comes first. Of many groups with such, the oldest lines are
 * forgotten and may come again. Any thread.
 */
#define LEFT_OUT_MAX 4096

void left_out_report(const struct resolution *);

#endif
