#ifndef CX_JOURNAL_H
#define CX_JOURNAL_H

#include <stdbool.h>

#include "daemon/log_line.h"

/*
 * systemd's journal, behind log.h: the only part that knows its protocol. Any thread.
 */

/* Whether standard error goes there (JOURNAL_STREAM, systemd.exec(5)). */
bool journal_has_stderr(void);
/* Whether it takes fields; never where systemd was configured out. */
bool journal_is_open(void);
/*
 * One entry: MESSAGE, PRIORITY (of syslog.h), SYSLOG_IDENTIFIER, SYSLOG_FACILITY (mail), and
 * the fields of `line`, which may be NULL. False: it was not taken.
 */
bool journal_send(int priority, const char *identifier, const char *message,
    const struct log_line *line);

#endif
